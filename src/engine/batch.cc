// Engine::DecideAll: several requests as one.
#include <algorithm>
#include <tuple>
#include <vector>

#include "engine/engine.h"
#include "limit/saturating.h"

namespace sluicegate::engine {
namespace {

using policy::Mode;
using policy::Rule;

// What all requests together ask of one key under one rule's limits.
struct Sum {
  std::uint16_t rule = 0;
  std::uint8_t variant = 0;
  std::uint64_t hash = 0;
  std::uint64_t units = 0;
  std::uint64_t places = 0;
};

const policy::RuleLimit* FindTooSmall(const Rule& rule, const Sum& sum) noexcept {
  const auto& limits = rule.variants()[sum.variant].limits;
  const auto found = std::ranges::find_if(limits, [&sum](const policy::RuleLimit& limit) {
    const bool lease = limit.limit.algorithm() == Algorithm::kConcurrency;
    return limit.limit.quota() < (lease ? sum.places : sum.units);
  });
  return found == limits.end() ? nullptr : &*found;
}

}  // namespace

// Requests that are each within a quota may be above it together, and then no wait helps: a denial
// by the rule that they exceed, and a violation of that rule alone.
std::optional<Decision> Engine::DenyTooMuch(const Ruleset& rules, std::span<const Request> requests,
                                            Now now) {
  std::vector<Sum> sums;
  for (const Request& request : requests) {
    for (const std::uint16_t index : rules.lock_order()) {
      const Rule& rule = rules.policy().rules()[index];
      if (rule.mode() != Mode::kEnforce || !rule.Matches(request) || rule.Exempts(request)) {
        continue;
      }
      const std::uint8_t variant = rule.VariantOf(request);
      const std::uint64_t hash = rule.HashKey(secret_, request, variant);
      auto sum = std::ranges::find_if(sums, [&](const Sum& other) {
        return std::tie(other.rule, other.variant, other.hash) == std::tie(index, variant, hash);
      });
      if (sum == sums.end()) {
        sums.push_back({.rule = index, .variant = variant, .hash = hash});
        sum = sums.end() - 1;
      }
      const std::uint64_t cost = rule.CostOf(request);
      sum->places = limit::AddSaturating(sum->places, cost);
      if (rule.AsksRates(request)) sum->units = limit::AddSaturating(sum->units, cost);
      const policy::RuleLimit* const limit = FindTooSmall(rule, *sum);
      if (limit == nullptr) continue;
      if (auto ban = FindBan(rules, request, now)) return ban;
      const RuleState& state = rules.state(index);
      state.counters->Add(Count::kLimited);
      if (state.bans != nullptr) {
        const std::uint64_t client = rule.HashKeys(secret_, request, variant).client;
        const shield::Violation violation = state.bans->RecordViolation(client, state.penalty, now);
        if (violation.counted) state.counters->Add(Count::kViolations);
        if (violation.ban_ns > 0) state.counters->Add(Count::kBans);
      }
      const auto at = limit - rule.variants()[variant].limits.data();
      Decision decision;
      decision.verdict = Verdict::kLimited;
      decision.variant = variant;
      decision.rule = index;
      decision.limit = static_cast<std::uint16_t>(at);
      decision.denied_limits = static_cast<std::uint8_t>(1U << static_cast<unsigned>(at));
      decision.quota = limit->limit.quota();
      decision.retry_after_ns = Decision::kNever;
      decision.key_hash = hash;
      return decision;
    }
  }
  return std::nullopt;
}

std::optional<Decision> Engine::DecideAll(const Ruleset& rules, std::span<const Request> requests,
                                          Now now, std::vector<Stamp>& leases) {
  if (requests.size() > 1 && rules.policy().enabled()) {
    if (auto denied = DenyTooMuch(rules, requests, now)) return denied;
  }
  std::optional<Decision> tightest;
  std::vector<Stamp> charged;
  Receipt receipt;
  for (const Request& request : requests) {
    const std::optional<Decision> decision = Decide(rules, request, now, &receipt);
    if (!decision || !decision->allowed()) {
      const auto newest = rulesets_.Get();  // A reload may have moved them.
      for (const Stamp& stamp : charged) GiveBack(*newest, stamp, now);
      leases.clear();
      return decision;
    }
    for (std::size_t i = 0; i < receipt.size; ++i) {
      if (requests.size() > 1) charged.push_back(receipt.charges[i]);
      if (receipt.charges[i].lease) leases.push_back(receipt.charges[i]);
    }
    const bool bound = decision->rule != Decision::kNone;
    const bool tighter =
        bound && tightest &&
        (tightest->rule == Decision::kNone || decision->remaining < tightest->remaining);
    if (!tightest || tighter) tightest = decision;
  }
  return tightest ? tightest : std::optional<Decision>(std::in_place);
}

}  // namespace sluicegate::engine
