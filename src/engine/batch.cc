// Engine::DecideAll: several requests as one.
#include <algorithm>
#include <tuple>
#include <vector>

#include "engine/engine.h"
#include "limit/saturating.h"

namespace sluicegate::engine {
namespace {

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

// A key of which the requests together ask more than a limit ever has.
struct Excess {
  const Request* request = nullptr;  // The one that went beyond it.
  Sum sum;
  std::uint64_t client = 0;  // The hash that bans go by.
  const policy::RuleLimit* limit = nullptr;
};

std::optional<Excess> FindExcess(const Ruleset& rules, std::span<const Request> requests,
                                 const HashSecret& secret) {
  std::vector<Sum> sums;
  for (const Request& request : requests) {
    for (const std::uint16_t index : rules.lock_order()) {
      const Rule& rule = rules.policy().rules()[index];
      if (!rule.Binds(request)) continue;
      const std::uint8_t variant = rule.VariantOf(request);
      const policy::KeyHashes hashes = rule.HashKeys(secret, request, variant);
      auto sum = std::ranges::find_if(sums, [&](const Sum& other) {
        return std::tie(other.rule, other.variant, other.hash) ==
               std::tie(index, variant, hashes.limits);
      });
      if (sum == sums.end()) {
        sums.push_back({.rule = index, .variant = variant, .hash = hashes.limits});
        sum = sums.end() - 1;
      }
      const std::uint64_t cost = rule.CostOf(request);
      sum->places = limit::AddSaturating(sum->places, cost);
      if (rule.AsksRates(request)) sum->units = limit::AddSaturating(sum->units, cost);
      const policy::RuleLimit* const limit = FindTooSmall(rule, *sum);
      if (limit == nullptr) continue;
      return Excess{.request = &request, .sum = *sum, .client = hashes.client, .limit = limit};
    }
  }
  return std::nullopt;
}

}  // namespace

// Requests that are each within a quota may be above it together, and then no wait helps: a denial
// by the rule that they exceed, and a violation of that rule alone.
std::optional<Decision> Engine::DenyTooMuch(const Ruleset& rules, std::span<const Request> requests,
                                            Now now) {
  const std::optional<Excess> excess = FindExcess(rules, requests, secret_);
  if (!excess) return std::nullopt;
  if (auto ban = FindBan(rules, *excess->request, now)) return ban;
  const Sum& sum = excess->sum;
  const RuleState& state = rules.state(sum.rule);
  state.counters->Add(Count::kLimited);
  if (state.bans != nullptr) {
    const shield::Violation violation =
        state.bans->RecordViolation(excess->client, state.penalty, now);
    if (violation.counted) state.counters->Add(Count::kViolations);
    if (violation.ban_ns > 0) state.counters->Add(Count::kBans);
  }
  const auto& limits = rules.policy().rules()[sum.rule].variants()[sum.variant].limits;
  const auto at = excess->limit - limits.data();
  Decision decision;
  decision.verdict = Verdict::kLimited;
  decision.variant = sum.variant;
  decision.rule = sum.rule;
  decision.limit = static_cast<std::uint16_t>(at);
  decision.denied_limits = static_cast<std::uint8_t>(1U << static_cast<unsigned>(at));
  decision.quota = excess->limit->limit.quota();
  decision.retry_after_ns = Decision::kNever;
  decision.key_hash = sum.hash;
  return decision;
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
