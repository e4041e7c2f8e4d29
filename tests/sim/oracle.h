// Oracle: foresees every decision of the engine from the policy, the books and the clock. Written
// from doc/algorithms.md, doc/decision.md and doc/policy.md and apart from src/engine; where
// several limits bind alike it names them all. Bound to one thread.
//
// In three files: oracle.cc asks (who is meant), judge.cc says (what they answer), settle.cc counts
// (what comes of it, and whether the engine agrees).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "books.h"
#include "engine/engine.h"

namespace sluicegate::sim {

/// What is asked of one table.
struct Asked {
  Spot spot;
  std::string key;
  std::size_t variant = 0;
  const Lines* lines = nullptr;
  Book* book = nullptr;  ///< Null: nothing was ever used.
  bool present = false;
  bool crowded = false;
  std::uint64_t blocked_ns = 0;
  std::uint64_t cost = 0;
  bool shared = false;
  unsigned shared_bits = 0;
  unsigned denied = 0;  ///< Bit i: the limit of index i has no room.
};

/// A rule that matches, and what it asks.
struct Hit {
  std::size_t rule = 0;
  std::size_t variant = 0;
  std::uint64_t cost = 0;
  std::string client_key;
  std::uint64_t client_hash = 0;
  std::string own_key;  ///< In the table of rates; empty: it asks none.
  bool own_present = false;
  std::uint64_t own_blocked_ns = 0;
  bool one_key_too_many = false;  ///< The network's stands in for it.
  bool no_ban_place = false;
  bool stands_in = false;  ///< Its lease found no place.
  bool denied = false;     ///< Observed: it had no room.
  std::vector<Asked> asked;
};

/// What a decision may tell of the limit that binds.
struct Told {
  std::size_t rule = 0, variant = 0, limit = 0;
  unsigned shared_bits = 0;
  std::uint64_t quota = 0, remaining = 0, hold_ns = 0, reset_ns = 0;
  friend auto operator<=>(const Told&, const Told&) = default;
};

struct Forecast {
  Verdict verdict = Verdict::kAllowed;
  bool counts = true;  ///< False: the policy is not enabled.
  bool exempt = false;
  std::vector<std::size_t> exempting;  ///< Rules.
  std::vector<Hit> enforced;
  std::vector<Hit> observed;
  std::uint64_t retry_ns = 0;     ///< As far as limits and running bans go.
  std::set<Told> told;            ///< One of these; empty: nothing binds.
  std::set<std::size_t> banning;  ///< Banned: one of these rules.
  std::uint64_t ban_left_ns = 0;
};

/// One charge, for a give-back. A value type.
struct Charge {
  Stamp stamp;
  std::string rule;
  Spot spot;
  std::string key;
  std::uint64_t epoch = 0;
  std::uint64_t life = 0;
  std::uint64_t admission = 0;
};

class Oracle {
 public:
  Oracle(std::shared_ptr<const LaidPolicy> policy, Probe& probe, bool roomy);

  /// The decision to come. Nothing: two keys are one to the engine, so nobody should ask.
  [[nodiscard]] std::optional<Forecast> Foresee(const Ask& ask, Now now);
  /// Compares the decision that came with the forecast, counts what it does, and compares the
  /// states of all keys that it touched. The charges that may be given back. Throws Failure.
  std::vector<Charge> Settle(const Ask& ask, Forecast& forecast, const Decision& decision,
                             const engine::Receipt& receipt, Now now);
  /// Whether the engine promises what a give-back of this charge does now.
  [[nodiscard]] bool IsDefined(const Charge& charge);
  /// The engine has given it back.
  void GiveBack(const Charge& charge, Now now);

  /// Around the engine's reload.
  void BeforeReload(Now now);
  void AfterReload(std::shared_ptr<const LaidPolicy> policy, const std::vector<std::string>& afresh,
                   Now now);
  /// Compares the engine's counters, and its bytes with those since the last reload.
  void CheckReport(const engine::Report& report);

  [[nodiscard]] const LaidPolicy& policy() const { return *policy_; }
  [[nodiscard]] Books& books() { return books_; }
  /// Keys that a reload gave back what had been given back.
  [[nodiscard]] std::uint64_t came_back() const { return came_back_; }

 private:
  [[nodiscard]] const LaidRule& Rule(std::size_t rule) const { return policy_->rules()[rule]; }
  [[nodiscard]] const std::string& NameOf(std::size_t rule) const { return Rule(rule).spec->name; }
  [[nodiscard]] RuleBooks& BooksOf(std::size_t rule) { return books_.Of(NameOf(rule)); }

  void Match(const Ask& ask, Forecast& forecast) const;
  void FindBans(Forecast& forecast, Now now);
  // False: see Foresee.
  [[nodiscard]] bool AskAll(const Ask& ask, Hit& hit, bool banned, Now now);
  [[nodiscard]] bool AskRates(const Ask& ask, Hit& hit, Now now);
  [[nodiscard]] bool AskCeilings(const Ask& ask, Hit& hit, Now now);
  [[nodiscard]] bool AskLeases(const Ask& ask, Hit& hit, bool banned, Now now);
  [[nodiscard]] bool IsOneTooMany(const Ask& ask, const Hit& hit, const Asked& own, bool& too_many,
                                  Now now);
  [[nodiscard]] Asked AskedOf(const Hit& hit, Part part, const Lines& lines) const;
  [[nodiscard]] Asked ParentOf(const Ask& ask, const Hit& hit, Part part, const Lines& lines) const;
  [[nodiscard]] bool Look(Asked& asked, Now now);

  void Judge(Forecast& forecast, Now now) const;
  void JudgeBanned(Forecast& forecast, Now now) const;

  void Compare(const Forecast& forecast, const Decision& decision) const;
  std::uint64_t Punish(Forecast& forecast, Now now);
  std::uint64_t Violate(const Hit& hit, Now now);
  [[nodiscard]] bool SketchIsInBounds(std::size_t rule);
  void CountNewcomers(const Hit& hit);
  void ChargeAll(const Ask& ask, Hit& hit, Now now);
  void Charge1(Asked& asked, std::uint64_t cost, std::size_t first, std::size_t last, Now now);
  void CountNewKey(const Ask& ask, const Hit& hit, Now now);
  void CountNetworks(const Hit& hit);
  void Observe(const Ask& ask, Hit& hit, Now now);
  void CompareStates(const Spot& spot, const std::string& key, std::size_t variant,
                     std::size_t lines, Now now);
  [[nodiscard]] std::vector<Charge> ReadReceipt(const Forecast& forecast,
                                                const engine::Receipt& receipt);

  std::shared_ptr<const LaidPolicy> policy_;
  Probe& probe_;
  Books books_;
  std::uint64_t admissions_ = 0;
  std::uint64_t unmatched_ = 0;
  std::uint64_t came_back_ = 0;
  std::map<std::string, std::uint64_t> bytes_;
};

/// Whether some limit has no room; marks those. Pure but for that.
[[nodiscard]] bool MarkDenials(std::vector<Asked>& asked, Now now);

}  // namespace sluicegate::sim
