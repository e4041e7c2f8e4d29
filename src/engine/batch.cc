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

bool IsTooMuch(const Rule& rule, const Sum& sum) noexcept {
  return std::ranges::any_of(
      rule.variants()[sum.variant].limits, [&sum](const policy::RuleLimit& limit) {
        const bool lease = limit.limit.algorithm() == Algorithm::kConcurrency;
        return limit.limit.quota() < (lease ? sum.places : sum.units);
      });
}

}  // namespace

// Requests that are each within a quota may be above it together, and then no wait helps. One that
// asks for all at once, in the words of one of them.
std::optional<Request> Engine::FindTooMuch(const Ruleset& rules,
                                           std::span<const Request> requests) const {
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
      if (!IsTooMuch(rule, *sum)) continue;
      Request all = request;
      all.cost = sum->places;
      return all;
    }
  }
  return std::nullopt;
}

std::optional<Decision> Engine::DecideAll(const Ruleset& rules, std::span<const Request> requests,
                                          Now now, std::vector<Stamp>& leases) {
  if (requests.size() > 1 && rules.policy().enabled()) {
    if (const auto all = FindTooMuch(rules, requests)) {
      const auto denied = Decide(rules, *all, now);  // As any: it may be banned, and is punished.
      if (!denied || !denied->allowed()) return denied;
    }
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
