#include "engine/ruleset.h"

#include <algorithm>
#include <utility>

#include "sluicegate/decision.h"

namespace sluicegate::engine {
namespace {

using policy::LimitSet;
using policy::Rule;

// A rule with a penalty gives this part of its memory to the offenders: 448 bytes a bucket of 12,
// so of a default rule's 64 MiB room for 224,000 of them.
constexpr std::size_t kBanShare = 8;

table::Table::Shape ShapeOf(const Rule& rule) {
  return {.state_bytes = rule.slot_bytes(), .tagged = rule.variants().size() > 1};
}

bool SharesStates(const LimitSet& a, const LimitSet& b) {
  return std::ranges::equal(a.limits, b.limits, [](const auto& x, const auto& y) {
    return x.offset == y.offset && x.limit.SharesState(y.limit);
  });
}

// Whether every state of `old` means the same under `rule`, key for key.
bool KeepsState(const Rule& old, const Rule& rule) {
  return old.mode() != policy::Mode::kOff && old.memory() == rule.memory() &&
         ShapeOf(old) == ShapeOf(rule) && old.penalty().has_value() == rule.penalty().has_value() &&
         std::ranges::equal(old.variants(), rule.variants(), SharesStates);
}

shield::PenaltyTerms TermsOf(const policy::Penalty& penalty) {
  shield::PenaltyTerms terms{
      .violations = penalty.violations,
      .within_ns = static_cast<std::uint64_t>(penalty.within.count()),
      .ban_ns = static_cast<std::uint64_t>(penalty.ban.count()),
      .levels = std::min(penalty.escalate.size(), shield::PenaltyTerms::kMaxLevels)};
  std::copy_n(penalty.escalate.begin(), terms.levels, terms.escalate);
  return terms;
}

std::expected<RuleState, std::string> FreshState(const Rule& rule) {
  RuleState state;
  state.counters = std::make_shared<RuleCounters>();
  std::size_t memory = rule.memory();
  if (rule.penalty()) {
    auto bans = shield::Bans::Create(memory / kBanShare);
    if (!bans) return std::unexpected("rule " + rule.name() + ": " + bans.error());
    state.bans = std::move(*bans);
    state.penalty = TermsOf(*rule.penalty());
    memory -= state.bans->bytes();
  }
  auto table = table::Table::Create(ShapeOf(rule), memory);
  if (!table) return std::unexpected("rule " + rule.name() + ": " + table.error());
  state.table = std::move(*table);
  return state;
}

}  // namespace

Ruleset::Ruleset(std::shared_ptr<const policy::Policy> policy) : policy_(std::move(policy)) {
  states_.reserve(policy_->rules().size());
}

std::expected<std::shared_ptr<const Ruleset>, std::string> Ruleset::Bind(
    std::shared_ptr<const policy::Policy> policy, const Ruleset* before,
    std::vector<std::string>& afresh) {
  std::shared_ptr<Ruleset> ruleset(new Ruleset(std::move(policy)));
  for (const Rule& rule : ruleset->policy_->rules()) {
    auto state = ruleset->StateFor(rule, before, afresh);
    if (!state) return std::unexpected(std::move(state.error()));
    ruleset->states_.push_back(std::move(*state));
  }
  ruleset->SortLockOrder();
  return ruleset;
}

std::expected<RuleState, std::string> Ruleset::StateFor(const Rule& rule, const Ruleset* before,
                                                        std::vector<std::string>& afresh) {
  if (rule.mode() == policy::Mode::kOff) return RuleState{};
  const std::uint16_t old = before == nullptr ? Decision::kNone : before->RuleNamed(rule.name());
  const bool known = old != Decision::kNone && before->state(old).table != nullptr;
  if (known && KeepsState(before->policy().rules()[old], rule)) {
    RuleState kept = before->state(old);
    if (rule.penalty()) kept.penalty = TermsOf(*rule.penalty());
    return kept;
  }
  auto fresh = FreshState(rule);
  if (fresh && known) {
    fresh->counters = before->state(old).counters;
    afresh.push_back("rule " + rule.name() +
                     ": its memory, overrides, windows or algorithms changed, so it counts afresh");
  }
  return fresh;
}

void Ruleset::SortLockOrder() {
  for (std::size_t i = 0; i < states_.size(); ++i) {
    if (states_[i].table != nullptr) lock_order_.push_back(static_cast<std::uint16_t>(i));
  }
  std::ranges::sort(lock_order_, {}, [this](std::uint16_t i) { return states_[i].table->id(); });
}

std::uint16_t Ruleset::RuleNamed(const std::string& name) const noexcept {
  const auto rules = policy_->rules();
  const auto found = std::ranges::find(rules, name, &Rule::name);
  return found == rules.end() ? Decision::kNone : static_cast<std::uint16_t>(found - rules.begin());
}

std::uint16_t Ruleset::RuleOfTable(std::uint32_t id) const noexcept {
  for (const std::uint16_t rule : lock_order_) {
    if (states_[rule].table->id() == id) return rule;
  }
  return Decision::kNone;
}

}  // namespace sluicegate::engine
