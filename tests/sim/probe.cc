#include "probe.h"

#include "engine/weigher.h"

namespace sluicegate::sim {

using engine::RuleState;

std::string NumberText(std::uint64_t value) {
  return value == Decision::kNever ? "never" : std::to_string(value);
}

std::string Probe::Numbers::ToText() const {
  std::string text = NumberText(remaining) + " remaining, hold " + NumberText(hold_ns) +
                     ", reset " + NumberText(reset_ns) + ", retries";
  for (const std::uint64_t one_ns : retry_ns) text += " " + NumberText(one_ns);
  return text;
}

policy::KeyHashes Probe::HashKeys(std::size_t rule, const Request& request,
                                  std::size_t variant) const {
  return Rule(rule).HashKeys(secret_, request, static_cast<std::uint8_t>(variant));
}

std::uint64_t Probe::HashParent(std::size_t rule, const Request& request,
                                std::size_t variant) const {
  return Rule(rule).HashParent(secret_, request, static_cast<std::uint8_t>(variant));
}

std::uint64_t Probe::HashCeiling(std::size_t rule, const Request& request, std::size_t variant,
                                 unsigned bits) const {
  return Rule(rule).HashCeiling(secret_, request, static_cast<std::uint8_t>(variant), bits);
}

namespace {

std::size_t CeilingAt(const policy::Rule& rule, unsigned bits) {
  const auto ceilings = rule.ceilings();
  std::size_t i = 0;
  while (i < ceilings.size() && ceilings[i].prefix_bits != bits) ++i;
  return i;
}

}  // namespace

const std::shared_ptr<table::Table>& Probe::TableAt(const engine::Ruleset& rules, std::size_t rule,
                                                    Part part, unsigned bits) {
  static const std::shared_ptr<table::Table> kNone;
  const RuleState& state = rules.state(rule);
  switch (part) {
    case Part::kRates:
      return state.table;
    case Part::kLeases:
      return state.leases;
    case Part::kOverflow:
      return state.overflow;
    case Part::kParents:
      return state.parents;
    case Part::kBans:
      return kNone;
    case Part::kCeiling:
      break;
  }
  const std::size_t i = CeilingAt(rules.policy().rules()[rule], bits);
  return i < state.ceilings.size() ? state.ceilings[i] : kNone;
}

bool Probe::Has(std::size_t rule, Part part, unsigned bits) const {
  return TableAt(*rules_, rule, part, bits) != nullptr;
}

table::Table& Probe::TableOf(const Spot& spot) const {
  return *TableAt(*rules_, spot.rule, spot.part, spot.bits);
}

const policy::Layout& Probe::LayoutOf(const Spot& spot) const {
  const policy::Rule& rule = Rule(spot.rule);
  switch (spot.part) {
    case Part::kRates:
      return rule.rates();
    case Part::kLeases:
    case Part::kOverflow:
      return rule.leases();
    case Part::kParents:
      return rule.parents();
    case Part::kCeiling:
    case Part::kBans:
      break;
  }
  return rule.ceilings()[CeilingAt(rule, spot.bits)].layout;
}

Probe::Seen Probe::Look(const Spot& spot, Now now) const {
  table::Table& table = TableOf(spot);
  Seen seen;
  {
    const table::Cell cell = table.Lock(spot.hash);
    seen.present = cell.present();
    if (seen.present) seen.generation = cell.generation();
    if (!seen.present && (spot.part == Part::kLeases || spot.part == Part::kOverflow)) {
      seen.crowded = cell.IsCrowded(engine::LeaseWeigher(LayoutOf(spot)), now);
    }
  }
  if (!seen.present) seen.blocked_ns = table.BlockedFor(spot.hash, now);
  return seen;
}

Probe::BanSeen Probe::LookAtBan(std::size_t rule, std::uint64_t client_hash, Now now) const {
  const auto record = rules_->state(rule).bans->Find(client_hash, now);
  return {.left_ns = record.left_ns, .no_place = record.no_place};
}

Probe::Numbers Probe::Read(const Spot& spot, std::size_t variant, std::size_t line, Now now) const {
  const policy::BoundLimit& bound = LayoutOf(spot).variants[variant][line];
  const table::Cell cell = TableOf(spot).Lock(spot.hash);
  const std::byte* state = cell.state() + bound.offset;
  Numbers numbers{.remaining = bound.limit.Remaining(state, now),
                  .hold_ns = bound.limit.HoldFor(state, now),
                  .reset_ns = bound.limit.ResetAfter(state, now)};
  const auto costs = CostsOf(bound.limit.quota());
  for (std::size_t i = 0; i < costs.size(); ++i) {
    numbers.retry_ns[i] = bound.limit.RetryAfter(state, now, costs[i]);
  }
  return numbers;
}

}  // namespace sluicegate::sim
