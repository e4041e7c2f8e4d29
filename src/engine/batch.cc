// Engine::DecideAll: several requests as one.
#include <algorithm>
#include <tuple>
#include <vector>

#include "engine/claims.h"
#include "engine/engine.h"
#include "limit/saturating.h"

namespace sluicegate::engine {
namespace {

using policy::Rule;

// What all requests together ask of one key under one rule's limits.
struct Sum {
  const Request* request = nullptr;  // The first of them.
  std::uint16_t rule = 0;
  std::uint8_t variant = 0;
  policy::KeyHashes hashes;
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

std::vector<Sum> SumsOf(const Ruleset& rules, std::span<const Request> requests,
                        const HashSecret& secret) {
  std::vector<Sum> sums;
  for (const Request& request : requests) {
    for (const std::uint16_t index : rules.lock_order()) {
      const Rule& rule = rules.policy().rules()[index];
      if (!rule.Binds(request)) continue;
      const std::uint8_t variant = rule.VariantOf(request);
      const policy::KeyHashes hashes = rule.HashKeys(secret, request, variant);
      auto sum = std::ranges::find_if(sums, [&](const Sum& other) {
        return std::tie(other.rule, other.variant, other.hashes.limits) ==
               std::tie(index, variant, hashes.limits);
      });
      if (sum == sums.end()) {
        sums.push_back({.request = &request, .rule = index, .variant = variant, .hashes = hashes});
        sum = sums.end() - 1;
      }
      const std::uint64_t cost = rule.CostOf(request);
      sum->places = limit::AddSaturating(sum->places, cost);
      if (rule.AsksRates(request)) sum->units = limit::AddSaturating(sum->units, cost);
    }
  }
  return sums;
}

// Until all of them fit together. What takes places alone is asked for these.
std::uint64_t WaitOf(const Ruleset& rules, std::span<const Sum> sums, const HashSecret& secret,
                     Now now) {
  std::uint64_t longest_ns = 0;
  for (const Sum& sum : sums) {
    Claims claims(rules, *sum.request, secret, now);
    claims.Append({.rule = sum.rule,
                   .variant = sum.variant,
                   .cost = sum.units > 0 ? sum.units : sum.places,
                   .hashes = sum.hashes});
    longest_ns = std::max(longest_ns, RetryAfterOf(claims.sorted(), now).value_or(0));
  }
  return longest_ns;
}

// Of requests that are each within a quota and above it together: the first sum that is, and what
// it exceeds.
struct Excess {
  const Sum* sum = nullptr;
  const policy::RuleLimit* limit = nullptr;
};

Excess FindExcess(const Ruleset& rules, std::span<const Sum> sums) noexcept {
  for (const Sum& sum : sums) {
    const auto* const limit = FindTooSmall(rules.policy().rules()[sum.rule], sum);
    if (limit != nullptr) return {.sum = &sum, .limit = limit};
  }
  return {};
}

// No wait helps: a denial by the rule that they exceed, and a violation of that rule alone.
Decision DenyExcess(const Ruleset& rules, const Excess& excess, Now now) {
  const Sum& sum = *excess.sum;
  const RuleState& state = rules.state(sum.rule);
  state.counters->Add(Count::kLimited);
  if (state.bans != nullptr) {
    const shield::Violation violation =
        state.bans->RecordViolation(sum.hashes.client, state.penalty, now);
    if (violation.counted) state.counters->Add(Count::kViolations);
    if (violation.ban_ns > 0) state.counters->Add(Count::kBans);
  }
  const auto& limits = rules.policy().rules()[sum.rule].variants()[sum.variant].limits;
  const auto at = excess.limit - limits.data();
  Decision decision;
  decision.verdict = Verdict::kLimited;
  decision.variant = sum.variant;
  decision.rule = sum.rule;
  decision.limit = static_cast<std::uint16_t>(at);
  decision.denied_limits = static_cast<std::uint8_t>(1U << static_cast<unsigned>(at));
  decision.quota = excess.limit->limit.quota();
  decision.retry_after_ns = Decision::kNever;
  decision.key_hash = sum.hashes.limits;
  return decision;
}

}  // namespace

std::optional<Decision> Engine::DecideAll(const Ruleset& rules, std::span<const Request> requests,
                                          Now now, std::vector<Stamp>& leases) {
  std::vector<Sum> sums;
  if (requests.size() > 1 && rules.policy().enabled()) {
    sums = SumsOf(rules, requests, secret_);
    if (const Excess excess = FindExcess(rules, sums); excess.sum != nullptr) {
      auto ban = FindBan(rules, *excess.sum->request, now);
      if (!ban) return DenyExcess(rules, excess, now);
      ban->retry_after_ns = Decision::kNever;
      return ban;
    }
  }
  std::optional<Decision> tightest;
  std::vector<Stamp> charged;
  Receipt receipt;
  for (const Request& request : requests) {
    std::optional<Decision> decision = Decide(rules, request, now, &receipt);
    if (!decision || !decision->allowed()) {
      const auto newest = rulesets_.Get();  // A reload may have moved them.
      for (const Stamp& stamp : charged) GiveBack(*newest, stamp, now);
      leases.clear();
      // This one may fit long before all do.
      if (decision && !sums.empty()) {
        const std::uint64_t wait_ns = WaitOf(rules, sums, secret_, now);
        decision->retry_after_ns = std::max(decision->retry_after_ns, wait_ns);
      }
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
