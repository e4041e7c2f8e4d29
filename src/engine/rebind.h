// Rebind: one rule of a new policy takes over what it kept under the old one. In two steps, so that
// nothing moves before all memory is there: MakeState, then Move. Bound to one reload.
#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/move.h"
#include "engine/ruleset.h"
#include "policy/capacity.h"

namespace sluicegate::engine {

class Rebind {
 public:
  /// `old` and `before` are null where the rule is new.
  Rebind(const policy::Rule* old, const RuleState* before, const policy::Rule& rule)
      : old_(old), before_(before), rule_(rule), plan_(policy::PlanMemory(rule)) {}

  /// The tables: those of before where they still fit, else new ones.
  [[nodiscard]] std::expected<RuleState, std::string> MakeState();
  /// Fills the new ones from those of before. `afresh` gets a line for each limit that nothing
  /// could be moved to.
  void Move(Now now, std::vector<std::string>& afresh);

 private:
  using TablePtr = std::shared_ptr<table::Table>;
  /// What stood in a table's place, if the rule had one.
  struct Predecessor {
    const TablePtr* table = nullptr;
    const policy::Layout* layout = nullptr;
  };
  [[nodiscard]] std::expected<void, std::string> MakeSketch(RuleState& state);
  [[nodiscard]] std::expected<void, std::string> MakeBans(RuleState& state);
  [[nodiscard]] std::expected<TablePtr, std::string> MakeTable(const Predecessor& before,
                                                               const policy::Layout& layout,
                                                               std::size_t bytes, bool leases);
  [[nodiscard]] Predecessor CeilingOf(unsigned prefix_bits) const;
  [[nodiscard]] LayoutMover::Rise SteepestRise() const;

  const policy::Rule* old_;
  const RuleState* before_;
  const policy::Rule& rule_;
  const policy::MemoryPlan plan_;
  std::shared_ptr<table::BlockedSketch> sketch_;
  std::vector<std::function<void(Now, std::vector<std::string>&)>> moves_;
};

}  // namespace sluicegate::engine
