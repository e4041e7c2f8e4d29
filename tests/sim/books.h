// Books: what every key has used of every limit as the oracle counts it, and the bounds that hold
// over it. It asks the engine only whether a key still has its place, and judges whether it may
// have lost it. Bound to one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "bound.h"
#include "laid_policy.h"
#include "ledger.h"
#include "offender.h"
#include "probe.h"

namespace sluicegate::sim {

/// The engine did what it must not, told in a sentence.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// What one key has in one table.
struct Book {
  std::size_t variant = 0;
  std::uint64_t hash = 0;
  std::uint64_t life = 0;  ///< Another number each time that it enters the table.
  bool away = false;       ///< It lost its place, and the sketch remembers it.
  // As the lines of its layout.
  std::vector<Ledger> ledgers;
  std::vector<Bound> bounds;
};

/// One table.
struct Shelf {
  std::uint64_t epoch = 0;  ///< Another number for each table that begins with nothing.
  std::unordered_map<std::string, Book> books;
  std::uint64_t stamps_from_ns = 0;  ///< What was charged before is over.
  /// What keys had at reloads before: a table of another size holds some keys twice, and the next
  /// reload takes the heavier for the key's own.
  std::unordered_map<std::string, std::vector<Book>> copies;
  /// Keys by the bits that are part of a fingerprint in every table.
  std::unordered_map<std::uint32_t, std::string> fingerprints;
  std::uint64_t forgotten = 0;  ///< Offenders that turned out to be.
  std::uint64_t lost = 0;       ///< Keys with requests in flight that a reload had no place for,
  std::uint64_t refused = 0;    ///< and what the table had refused before.
};

/// One key of a table of bans.
struct Record {
  Offender offender;
  std::uint64_t hash = 0;
};

/// As engine::RuleReport's, where the oracle knows them.
struct Counts {
  std::uint64_t admitted = 0, limited = 0, banned = 0, exempt = 0;
  std::uint64_t observed = 0, observed_denials = 0;
  std::uint64_t violations = 0, bans = 0, blocked = 0;
  std::uint64_t network_for_key = 0, network_for_lease = 0, network_for_ban = 0;
};

struct RuleBooks {
  std::map<std::pair<Part, unsigned>, Shelf> shelves;
  std::map<std::string, Record> offenders;
  Counts counts;
  std::uint64_t bans_refused = 0;  ///< As the engine counted them before a reload.
  std::set<std::string> heard;     ///< Keys that ever asked for a place.
  std::uint64_t newcomers =
      0;                      ///< Of these the ones that asked while the sketch was in its bounds,
  std::uint64_t refused = 0;  ///< and how many it took for offenders.
  const void* sketch = nullptr;  ///< The last one,
  std::uint64_t folded = 0;      ///< what it had taken in,
  bool in_bounds = true;  ///< and whether it was: one that a reload made need not be at first.
};

class Books {
 public:
  /// `roomy`: no table is ever full, so no key may lose its place.
  Books(Probe& probe, bool roomy) : probe_(probe), roomy_(roomy) {}
  /// Begins with nothing.
  void Open(const LaidPolicy& policy);

  [[nodiscard]] RuleBooks& Of(const std::string& rule) { return rules_[rule]; }
  [[nodiscard]] Shelf& ShelfOf(const std::string& rule, const Spot& spot) {
    return rules_[rule].shelves[{spot.part, spot.bits}];
  }
  /// The latest readings of any loop: what is past by them may be gone.
  void Advance(Now now);
  [[nodiscard]] Now newest() const { return newest_; }

  /// False: another key has bits of its hash in common with this one, so many that the two may be
  /// one to the engine.
  [[nodiscard]] bool IsAlone(const std::string& rule, const Spot& spot, const std::string& key);
  /// The book of a key that has a place; null: it has none, or nothing in it.
  [[nodiscard]] Book* Find(const std::string& rule, const Spot& spot, const std::string& key,
                           const Probe::Seen& seen, Now now);
  /// A new one. `lines` must outlive it.
  Book& Make(const std::string& rule, const Spot& spot, const std::string& key, std::size_t variant,
             const Lines& lines);

  /// Lets go of what lost its place. Before and after a reload, as that changes what a limit is.
  void Settle(const LaidPolicy& policy, Now now);
  /// Before a reload: notes what the tables counted. A smaller one may have no place for all.
  void NoteRefusals(const LaidPolicy& policy);
  /// Behind a reload: every key that has a place has there what it had before, or what a copy had.
  /// The number of keys that have what a copy had.
  std::uint64_t Reconcile(const LaidPolicy& policy, Now now);
  /// Whether the engine moved a table of a rule to another.
  using HasMoved = std::function<bool(const std::string& rule, std::pair<Part, unsigned> place)>;
  /// Every key takes what it used over to the new policy's limits; the result has a line for each
  /// limit that begins with nothing.
  [[nodiscard]] std::set<std::string> Reload(const LaidPolicy& before, const LaidPolicy& after,
                                             const HasMoved& moved, Now now);

 private:
  [[nodiscard]] bool IsForgotten(const Book& book, const Probe::Seen& seen, Now now) const;
  void JudgeLease(const std::string& rule, const Spot& spot, const std::string& key);
  void ReconcileBans(const std::string& rule, std::size_t index, Now now);
  void Judge(const std::string& rule, const Spot& spot, const std::string& key, const Book& book,
             const Probe::Seen& seen, Now now);
  void ForgetBelow(Book& book);
  [[nodiscard]] bool Agrees(const Spot& spot, const Book& book, Now now) const;
  bool ReconcileKey(const std::string& rule, const Spot& spot, const std::string& key, Now now);

  Probe& probe_;
  const bool roomy_;
  std::map<std::string, RuleBooks> rules_;
  Now newest_;
  bool reloaded_ = false;  // Just now.
  std::uint64_t numbers_ = 0;
};

}  // namespace sluicegate::sim
