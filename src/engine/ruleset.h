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
#include "table/state_file.h"
#include "table/table.h"

namespace sluicegate::engine {

/// What one rule keeps. Null: it has none of it; all null for a rule whose mode is off.
struct RuleState {
  std::shared_ptr<table::Table> table;  ///< Keys and their rates.
  std::shared_ptr<table::BlockedSketch> sketch;
  std::shared_ptr<table::Table> leases;    ///< Keys and their requests in flight.
  std::shared_ptr<table::Table> overflow;  ///< Of leases: one key, for those that found no place.
  std::vector<std::shared_ptr<table::Table>> ceilings;  ///< As the rule's.
  std::shared_ptr<table::Table> parents;  ///< Networks that stand in for their clients.
  std::shared_ptr<shield::Bans> bans;
  shield::PenaltyTerms penalty;  ///< Read only where `bans` is set.
  std::shared_ptr<RuleCounters> counters;

  [[nodiscard]] bool on() const noexcept { return counters != nullptr; }
  /// Of the table, or of the leases of a rule that has no rates: names the rule among others.
  [[nodiscard]] std::uint32_t id() const noexcept {
    return table != nullptr ? table->id() : leases->id();
  }
};

struct Bound;

/// Where the tables of a ruleset lie: in this process' memory, or in a file.
struct Storage {
  table::StateFile* file = nullptr;  ///< Null: in memory. Outlives the ruleset.
  Now now{};                         ///< When what is there is taken over.
  bool* leaves = nullptr;  ///< Out: decisions under the ruleset of before wait for this one.
};

class Ruleset {
 public:
  /// Binds a policy to new tables, or to those of `before` where they still fit (null: none). What
  /// does not fit is still to be moved, and is sealed under `before` then; in a file it is copied
  /// at once, for those who still use it. The error says whose memory could not be had; `before`
  /// goes on as it was.
  [[nodiscard]] static std::expected<Bound, std::string> Bind(
      std::shared_ptr<const policy::Policy> policy, const Ruleset* before,
      const Storage& storage = {});

  [[nodiscard]] const policy::Policy& policy() const noexcept { return *policy_; }
  [[nodiscard]] const std::shared_ptr<const policy::Policy>& shared_policy() const noexcept {
    return policy_;
  }
  [[nodiscard]] const RuleState& state(std::size_t rule) const noexcept { return states_[rule]; }
  /// The rules that are not off, in the order in which their buckets are locked: by table id, which
  /// a reload keeps. Claims of one request come in this order as long as each rule has one.
  [[nodiscard]] std::span<const std::uint16_t> lock_order() const noexcept { return lock_order_; }
  /// Whether some rule counts requests in flight, so that each must be told to be over.
  [[nodiscard]] bool has_leases() const noexcept { return has_leases_; }

  /// Where a stamp's charge lies.
  struct Place {
    table::Table* table = nullptr;  ///< Null: in none of this ruleset.
    const policy::Layout* layout = nullptr;
  };
  [[nodiscard]] Place PlaceOf(const Stamp& charge) const noexcept;

 private:
  explicit Ruleset(std::shared_ptr<const policy::Policy> policy);
  void SortLockOrder();
  [[nodiscard]] std::uint16_t RuleNamed(const std::string& name) const noexcept;

  std::shared_ptr<const policy::Policy> policy_;
  std::vector<RuleState> states_;  // As the policy's rules.
  std::vector<std::uint16_t> lock_order_;
  bool has_leases_ = false;
};

}  // namespace sluicegate::engine
