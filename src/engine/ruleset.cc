#include "engine/ruleset.h"

#include <algorithm>
#include <utility>

#include "engine/rebind.h"
#include "sluicegate/decision.h"

namespace sluicegate::engine {

using policy::Rule;

Ruleset::Ruleset(std::shared_ptr<const policy::Policy> policy) : policy_(std::move(policy)) {
  states_.reserve(policy_->rules().size());
}

std::expected<Bound, std::string> Ruleset::Bind(std::shared_ptr<const policy::Policy> policy,
                                                const Ruleset* before, const Storage& storage) {
  Bound bound{.ruleset = std::shared_ptr<Ruleset>(new Ruleset(std::move(policy))), .rebinds = {}};
  Ruleset& ruleset = *bound.ruleset;
  for (const Rule& rule : ruleset.policy_->rules()) {
    if (rule.mode() == policy::Mode::kOff) {
      ruleset.states_.emplace_back();
      continue;
    }
    const std::uint16_t old = before == nullptr ? Decision::kNone : before->RuleNamed(rule.name());
    const bool known = old != Decision::kNone && before->state(old).on();
    Rebind rebind(known ? &before->policy().rules()[old] : nullptr,
                  known ? &before->state(old) : nullptr, rule, storage);
    auto state = rebind.MakeState();
    if (!state) return std::unexpected("rule " + rule.name() + ": " + state.error());
    ruleset.states_.push_back(std::move(*state));
    bound.rebinds.push_back(std::move(rebind));
  }
  ruleset.SortLockOrder();
  return bound;
}

void Ruleset::SortLockOrder() {
  for (std::size_t i = 0; i < states_.size(); ++i) {
    if (!states_[i].on()) continue;
    lock_order_.push_back(static_cast<std::uint16_t>(i));
    has_leases_ = has_leases_ || states_[i].leases != nullptr;
  }
  std::ranges::sort(lock_order_, {}, [this](std::uint16_t i) { return states_[i].id(); });
}

std::uint16_t Ruleset::RuleNamed(const std::string& name) const noexcept {
  const auto rules = policy_->rules();
  const auto found = std::ranges::find(rules, name, &Rule::name);
  return found == rules.end() ? Decision::kNone : static_cast<std::uint16_t>(found - rules.begin());
}

Ruleset::Place Ruleset::PlaceOf(const Stamp& charge) const noexcept {
  for (const std::uint16_t index : lock_order_) {
    const RuleState& state = states_[index];
    const Rule& rule = policy_->rules()[index];
    const auto is = [&charge](const auto& table) {
      return table != nullptr && table->id() == charge.table;
    };
    if (is(state.table)) return {.table = state.table.get(), .layout = &rule.rates()};
    if (is(state.leases)) return {.table = state.leases.get(), .layout = &rule.leases()};
    if (is(state.overflow)) return {.table = state.overflow.get(), .layout = &rule.leases()};
    // Not the new keys behind the rates: those were charged for entering, not for the request.
    if (is(state.parents)) return {.table = state.parents.get(), .layout = &rule.rates()};
    for (std::size_t i = 0; i < state.ceilings.size(); ++i) {
      if (is(state.ceilings[i])) {
        return {.table = state.ceilings[i].get(), .layout = &rule.ceilings()[i].layout};
      }
    }
  }
  return {};
}

}  // namespace sluicegate::engine
