// Ruleset: a policy bound to the tables that hold its rules' state. Immutable but for that state,
// which is thread-safe. Tables and counters are shared with the rulesets before and after it where
// a reload keeps them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/counters.h"
#include "policy/policy.h"
#include "shield/bans.h"
#include "table/table.h"

namespace sluicegate::engine {

/// What one rule keeps. All null for a rule whose mode is off; `bans` null without a penalty.
struct RuleState {
  std::shared_ptr<table::Table> table;
  std::shared_ptr<shield::Bans> bans;
  shield::PenaltyTerms penalty;  ///< Read only where `bans` is set.
  std::shared_ptr<RuleCounters> counters;
};

class Ruleset {
 public:
  /// Binds a policy to new tables, or to those of `before` where they still fit (null: none).
  /// `afresh` gets a line for each rule of `before` whose state could not be kept. The error says
  /// whose memory could not be had.
  [[nodiscard]] static std::expected<std::shared_ptr<const Ruleset>, std::string> Bind(
      std::shared_ptr<const policy::Policy> policy, const Ruleset* before,
      std::vector<std::string>& afresh);

  [[nodiscard]] const policy::Policy& policy() const noexcept { return *policy_; }
  [[nodiscard]] const std::shared_ptr<const policy::Policy>& shared_policy() const noexcept {
    return policy_;
  }
  [[nodiscard]] const RuleState& state(std::size_t rule) const noexcept { return states_[rule]; }
  /// The rules that are not off, in the order in which their buckets are locked: by table id, which
  /// a reload keeps.
  [[nodiscard]] std::span<const std::uint16_t> lock_order() const noexcept { return lock_order_; }
  /// The rule whose table has this id, or Decision::kNone.
  [[nodiscard]] std::uint16_t RuleOfTable(std::uint32_t id) const noexcept;

 private:
  explicit Ruleset(std::shared_ptr<const policy::Policy> policy);
  [[nodiscard]] static std::expected<RuleState, std::string> StateFor(
      const policy::Rule& rule, const Ruleset* before, std::vector<std::string>& afresh);
  void SortLockOrder();
  [[nodiscard]] std::uint16_t RuleNamed(const std::string& name) const noexcept;

  std::shared_ptr<const policy::Policy> policy_;
  std::vector<RuleState> states_;  // As the policy's rules.
  std::vector<std::uint16_t> lock_order_;
};

}  // namespace sluicegate::engine
