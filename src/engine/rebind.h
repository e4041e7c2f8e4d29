// Rebind: one rule of a new policy takes over what it kept under the old one. In steps, so that
// nothing moves before all memory is there, and nothing can fail between the first table that is
// sealed and the ruleset that counts with the new ones. Bound to one reload.
#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/move.h"
#include "engine/regions.h"
#include "engine/ruleset.h"
#include "policy/capacity.h"

namespace sluicegate::engine {

class Rebind {
 public:
  /// `old` and `before` are null where the rule is new.
  Rebind(const policy::Rule* old, const RuleState* before, const policy::Rule& rule,
         const Storage& storage)
      : old_(old), before_(before), rule_(rule), plan_(policy::PlanMemory(rule)) {
    if (storage.file == nullptr) return;
    regions_.emplace(*storage.file, rule.name(), storage.now, LeaverOf(storage, before));
  }

  /// The tables: those of before where they still fit, else new ones.
  [[nodiscard]] std::expected<RuleState, std::string> MakeState();
  /// Fills the new ones from those of before.
  void Move(Now now) noexcept;
  /// Where nothing came of it: the rule goes on with the tables of before.
  static void ComeBack(const RuleState& before, table::StateFile& file) noexcept;
  /// A line for each limit that nothing could be moved to, and for what found no place.
  void Tell(std::vector<std::string>& lines) const;

 private:
  using TablePtr = std::shared_ptr<table::Table>;
  /// What stood in a table's place, if the rule had one.
  struct Predecessor {
    const TablePtr* table = nullptr;
    const policy::Layout* layout = nullptr;
  };
  [[nodiscard]] std::expected<void, std::string> MakeSketch(RuleState& state);
  [[nodiscard]] std::expected<void, std::string> MakeBans(RuleState& state);
  /// What is to stand in a table's place.
  struct Wanted {
    std::string part;  ///< Of the rule: names its region in a file.
    const policy::Layout& layout;
    std::size_t bytes = 0;
    bool leases = false;
  };
  [[nodiscard]] std::expected<TablePtr, std::string> MakeTable(const Predecessor& before,
                                                               const Wanted& wanted);
  [[nodiscard]] Predecessor CeilingOf(unsigned prefix_bits) const;
  /// Makes this process leave the tables of before, and wait for those who are about to lock one.
  [[nodiscard]] static Regions::BeforeCopying LeaverOf(const Storage& storage,
                                                       const RuleState* before);

  const policy::Rule* old_;
  const RuleState* before_;
  const policy::Rule& rule_;
  std::optional<Regions> regions_;  // Nothing: its tables lie in memory.
  const policy::MemoryPlan plan_;
  std::shared_ptr<table::BlockedSketch> sketch_;
  /// Moves, and says how many keys that never give way found no place.
  struct Step {
    std::function<std::uint64_t(Now)> move;
    std::string_view what;  ///< Of such keys; empty: all of these may give way.
    std::uint64_t lost = 0;
  };
  std::vector<Step> steps_;
  std::set<std::string> afresh_;  // Names of limits.
};

/// A ruleset, and the rules that are still to take over what they kept before.
struct Bound {
  std::shared_ptr<Ruleset> ruleset;
  std::vector<Rebind> rebinds;
};

}  // namespace sluicegate::engine
