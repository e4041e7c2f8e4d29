// Bans: what repeated violations of one rule earn, key by key. Thread-safe. Owns its table.
//
// Violations are counted by a token bucket of `violations` per `within`; the one that empties it
// begins a ban of base x escalate[level] and raises the level; a level is lost after 24 clean
// hours, counted from the last violation or the last ban's end. A running ban is never evicted:
// when a bucket holds nothing else, the newcomer's violation is not recorded and counted as
// refused.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "limit/saturating.h"
#include "sluicegate/time.h"
#include "table/state_file.h"
#include "table/table.h"

namespace sluicegate::shield {

/// The rule of a penalty, in the units of the arithmetic.
struct PenaltyTerms {
  static constexpr std::size_t kMaxLevels = 8;
  std::uint64_t violations = 1;  ///< At least 1: so many within `within_ns` begin a ban.
  std::uint64_t within_ns = 0;
  std::uint64_t ban_ns = 0;
  std::uint64_t escalate[kMaxLevels] = {1};
  std::size_t levels = 1;  ///< 1 to kMaxLevels; the last one repeats.

  /// What one violation weighs: ceil(within / violations).
  [[nodiscard]] std::uint64_t interval_ns() const noexcept {
    return limit::DivideRoundingUp(within_ns, violations);
  }
};

/// What is remembered of an offender. All zero for a key never seen.
struct BanState {
  std::uint64_t violations_tat_ns = 0;  ///< The token bucket's word.
  std::uint64_t until_ns = 0;           ///< The last ban's end.
  std::uint64_t clean_since_ns = 0;     ///< When the hours that forgive a level began.
  std::uint64_t level = 0;              ///< Index of the next ban's factor.
};

/// Time left of a ban; 0: none. Pure.
[[nodiscard]] std::uint64_t BanLeft(const BanState& state, std::uint64_t now_ns) noexcept;
/// Until nothing is left to remember: ban, violations and levels. Pure.
[[nodiscard]] std::uint64_t MemoryLeft(const BanState& state, std::uint64_t now_ns) noexcept;
/// Counts a violation; true if it begins a ban. Pure but for `state`. REQUIRES: no ban is running.
bool AddViolation(BanState& state, const PenaltyTerms& terms, std::uint64_t now_ns) noexcept;

/// What became of a violation. A value type.
struct Violation {
  bool counted = false;      ///< False: a ban runs already, or there was no place for it.
  std::uint64_t ban_ns = 0;  ///< It began a ban of this length; 0: it did not.
};

class Bans {
 public:
  [[nodiscard]] static std::expected<std::unique_ptr<Bans>, std::string> Create(std::size_t bytes);

  /// The bans in a region of a file that processes share. Where it is fresh, what was there under
  /// that name, of whatever size and terms, is copied into it.
  [[nodiscard]] static std::expected<std::unique_ptr<Bans>, std::string> Attach(
      table::StateFile& file, std::string name, std::size_t bytes, const PenaltyTerms& terms,
      Now now, const std::function<void(const table::StateFile::Fresh&)>& before_copying);
  /// What Attach says of such a region: "bans", and what a violation weighs.
  [[nodiscard]] static std::string Describe(const PenaltyTerms& terms);
  /// A look at a region of that description; null: it is no bans.
  [[nodiscard]] static std::unique_ptr<Bans> OfRegion(std::string_view description,
                                                      std::shared_ptr<table::Mapping> region,
                                                      table::Owners& owners);

  /// Bans of another size that can take these over by MoveInto.
  [[nodiscard]] std::expected<std::unique_ptr<Bans>, std::string> CreateSuccessor(
      std::size_t bytes) const;

  /// What stands against a key. A value type.
  struct Record {
    std::uint64_t left_ns = 0;  ///< Of its ban; 0: not banned.
    std::uint64_t debt_ns = 0;  ///< Of its violations: until none counts any more.
    bool no_place = false;      ///< Nothing, and nothing could: running bans have all places.
    bool sealed = false;        ///< The table has moved: ask the newest.
    bool stuck = false;         ///< Its bucket is held by a process that is stopped.
  };
  [[nodiscard]] Record Find(std::uint64_t hash, Now now) noexcept;
  /// Counts an enforced denial. Does nothing while a ban runs.
  Violation RecordViolation(std::uint64_t hash, const PenaltyTerms& terms, Now now) noexcept;
  /// Forgets the key: its violations, its ban and its level. False: a stopped process holds it.
  bool Forget(std::uint64_t hash) noexcept;
  /// Forgets all keys; see Table::Clear.
  void ForgetAll(Now now) noexcept;
  /// Whether Create would make a table of this size.
  [[nodiscard]] bool Fits(std::size_t bytes) const noexcept {
    return table_->Fits(table_->shape(), bytes);
  }
  /// Moves everything to a table of another size, or of terms under which a violation weighs
  /// otherwise; see Table::MoveInto.
  void MoveInto(Bans& next, const PenaltyTerms& before, const PenaltyTerms& after,
                Now now) noexcept;
  /// Violations that found no place since the start, as every slot held a running ban.
  [[nodiscard]] std::uint64_t refused() const noexcept { return table_->counts().refusals; }
  /// Keys whose violations or level gave way to another key's since the start.
  [[nodiscard]] std::uint64_t evictions() const noexcept { return table_->counts().evictions; }
  /// Keys of which something is remembered; see Table::EstimateLive.
  [[nodiscard]] std::uint64_t EstimateLive(Now now) const noexcept;
  [[nodiscard]] std::size_t bytes() const noexcept { return table_->bytes(); }
  /// See table::Table.
  void Depart() { table_->Depart(); }
  void ComeBack(table::Owners& owners) noexcept { table_->ComeBack(owners); }
  [[nodiscard]] std::uint64_t capacity() const noexcept { return table_->capacity(); }

 private:
  explicit Bans(std::unique_ptr<table::Table> table) noexcept : table_(std::move(table)) {}
  const std::unique_ptr<table::Table> table_;
};

}  // namespace sluicegate::shield
