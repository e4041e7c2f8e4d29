#include "engine/engine.h"

#include <algorithm>
#include <span>
#include <utility>

#include "engine/decide.h"
#include "engine/weigher.h"

namespace sluicegate::engine {
namespace {

using policy::Mode;
using policy::Rule;

// The rules that match one request, sorted into what the decision does with them. Room for all on
// the stack, left unwritten until used: zeroing it would cost more than most decisions.
struct Matches {
  std::size_t enforced = 0;
  std::size_t observed = 0;
  bool exempt = false;
  union {
    std::array<Claim, policy::kMaxRules> enforce;
  };
  union {
    std::array<Claim, policy::kMaxRules> observe;
  };
  Matches() noexcept {}  // NOLINT(modernize-use-equals-default): a union member has no default.
};

Claim ClaimOf(const Ruleset& rules, std::uint16_t index, const Request& request,
              const HashSecret& secret) noexcept {
  const Rule& rule = rules.policy().rules()[index];
  const std::uint8_t variant = rule.VariantOf(request);
  const policy::KeyHashes hashes = rule.HashKeys(secret, request, variant);
  return {.table = rules.state(index).table.get(),
          .limits = &rule.variants()[variant],
          .variants = rule.variants(),
          .hash = hashes.limits,
          .ban_hash = hashes.client,
          .cost = rule.CostOf(request),
          .rule = index,
          .variant = variant};
}

void Match(Matches& matches, const Ruleset& rules, const Request& request,
           const HashSecret& secret) noexcept {
  for (const std::uint16_t index : rules.lock_order()) {
    const Rule& rule = rules.policy().rules()[index];
    if (!rule.Matches(request)) continue;
    if (rule.Exempts(request)) {
      matches.exempt = true;
      rules.state(index).counters->Add(Count::kExempt);
      continue;
    }
    const bool enforced = rule.mode() == Mode::kEnforce;
    Claim& claim =
        enforced ? matches.enforce[matches.enforced++] : matches.observe[matches.observed++];
    claim = ClaimOf(rules, index, request, secret);
  }
}

struct Ban {
  const Claim* claim = nullptr;  // Null: none runs.
  std::uint64_t left_ns = 0;
};

// The longest ban that runs on one of the claims' keys.
Ban FindBan(const Ruleset& rules, std::span<const Claim> claims, Now now) noexcept {
  Ban ban;
  for (const Claim& claim : claims) {
    const RuleState& state = rules.state(claim.rule);
    if (state.bans == nullptr) continue;
    const std::uint64_t left_ns = state.bans->Left(claim.ban_hash, now);
    if (left_ns > ban.left_ns) ban = {.claim = &claim, .left_ns = left_ns};
  }
  return ban;
}

Decision Banned(const Ruleset& rules, std::span<const Claim> claims, const Ban& ban,
                Now now) noexcept {
  const bool peek = std::ranges::all_of(claims, [](const Claim& c) { return c.cost == 0; });
  if (!peek) rules.state(ban.claim->rule).counters->Add(Count::kBanned);
  Decision decision;
  decision.verdict = Verdict::kBanned;
  decision.variant = ban.claim->variant;
  decision.rule = ban.claim->rule;
  decision.hold_ns = decision.reset_after_ns = ban.left_ns;
  // A limit may have no room yet when the ban ends.
  decision.retry_after_ns = std::max(ban.left_ns, RetryAfterOf(claims, now));
  decision.key_hash = ban.claim->hash;
  return decision;
}

// What a limited decision does to the rules that denied: counters, and a step towards a ban. The
// longest ban that it began, in ns.
std::uint64_t Punish(const Ruleset& rules, std::span<const Claim> claims, Now now) noexcept {
  std::uint64_t longest_ns = 0;
  for (const Claim& claim : claims) {
    if (claim.denied == 0) continue;
    const RuleState& state = rules.state(claim.rule);
    state.counters->Add(Count::kLimited);
    if (state.bans == nullptr) continue;
    const shield::Violation violation =
        state.bans->RecordViolation(claim.ban_hash, state.penalty, now);
    if (violation.counted) state.counters->Add(Count::kViolations);
    if (violation.ban_ns > 0) state.counters->Add(Count::kBans);
    longest_ns = std::max(longest_ns, violation.ban_ns);
  }
  return longest_ns;
}

// A peek takes nothing, so it is no admission.
void CountAdmitted(const Ruleset& rules, std::span<const Claim> claims) noexcept {
  for (const Claim& claim : claims) {
    if (claim.cost > 0) rules.state(claim.rule).counters->Add(Count::kAdmitted);
  }
}

// Observed rules move when the request was admitted and they have room; they never change its fate.
void Observe(const Ruleset& rules, std::span<Claim> claims, Now now) noexcept {
  for (Claim& claim : claims) {
    if (claim.cost == 0) continue;
    RuleCounters& counters = *rules.state(claim.rule).counters;
    counters.Add(Count::kObserved);
    if (!DecideClaims({&claim, 1}, now).allowed()) counters.Add(Count::kObservedDenials);
  }
}

RuleReport ReportOf(const Rule& rule, const RuleState& state, Now now) {
  const RuleCounters& counters = *state.counters;
  const table::TableCounts table = state.table->counts();
  RuleReport report{.rule = rule.name(),
                    .admitted = counters.Sum(Count::kAdmitted),
                    .limited = counters.Sum(Count::kLimited),
                    .banned = counters.Sum(Count::kBanned),
                    .exempt = counters.Sum(Count::kExempt),
                    .observed = counters.Sum(Count::kObserved),
                    .observed_denials = counters.Sum(Count::kObservedDenials),
                    .violations = counters.Sum(Count::kViolations),
                    .bans = counters.Sum(Count::kBans),
                    .capacity = state.table->capacity(),
                    .bytes = state.table->bytes(),
                    .tracked_keys = state.table->EstimateLive(LimitWeigher(rule.variants()), now),
                    .evictions = table.evictions,
                    .evictions_at_limit = table.evictions_at_limit};
  if (state.bans == nullptr) return report;
  report.bans_refused = state.bans->refused();
  report.ban_evictions = state.bans->evictions();
  report.tracked_offenders = state.bans->EstimateLive(now);
  report.bytes += state.bans->bytes();
  return report;
}

}  // namespace

Engine::Engine(std::shared_ptr<const Ruleset> first, const HashSecret& secret)
    : secret_(secret), rulesets_(std::move(first)) {}

std::expected<std::unique_ptr<Engine>, std::string> Engine::Create(
    std::shared_ptr<const policy::Policy> policy, const HashSecret& secret) {
  std::vector<std::string> afresh;
  auto first = Ruleset::Bind(std::move(policy), nullptr, afresh);
  if (!first) return std::unexpected(std::move(first.error()));
  return std::unique_ptr<Engine>(new Engine(std::move(*first), secret));
}

Decision Engine::Decide(const Ruleset& rules, const Request& request, Now now,
                        Receipt* receipt) noexcept {
  if (receipt != nullptr) receipt->size = 0;
  if (!rules.policy().enabled()) return {};
  Matches matches;
  Match(matches, rules, request, secret_);
  const std::span<Claim> enforced(matches.enforce.data(), matches.enforced);
  const std::span<Claim> observed(matches.observe.data(), matches.observed);
  if (enforced.empty() && observed.empty() && !matches.exempt) {
    unmatched_.fetch_add(1, std::memory_order_relaxed);
    return {};
  }

  const Ban ban = FindBan(rules, enforced, now);
  if (ban.claim != nullptr) return Banned(rules, enforced, ban, now);
  const std::span<Stamp> stamps =
      receipt == nullptr ? std::span<Stamp>() : std::span(receipt->charges).first(enforced.size());
  Decision decision = DecideClaims(enforced, now, stamps);
  if (!decision.allowed()) {
    const std::uint64_t ban_ns = Punish(rules, enforced, now);
    decision.retry_after_ns = std::max(decision.retry_after_ns, ban_ns);
    return decision;
  }
  if (receipt != nullptr) receipt->size = enforced.size();
  CountAdmitted(rules, enforced);
  Observe(rules, observed, now);
  if (enforced.empty() && matches.exempt) decision.verdict = Verdict::kExempt;
  return decision;
}

void Engine::GiveBack(const Ruleset& rules, const Stamp& charge, Now now) noexcept {
  const std::uint16_t rule = rules.RuleOfTable(charge.table);
  if (rule == Decision::kNone) return;
  const auto variants = rules.policy().rules()[rule].variants();
  if (charge.variant >= variants.size()) return;
  GiveBackCharge(*rules.state(rule).table, variants[charge.variant], charge, now);
}

std::expected<std::vector<std::string>, std::string> Engine::Publish(
    std::shared_ptr<const policy::Policy> policy) {
  // Two at once would bind to the same ruleset, and one of their new tables would be lost.
  const std::lock_guard lock(publishing_);
  std::vector<std::string> afresh;
  auto next = Ruleset::Bind(std::move(policy), rulesets_.Get().get(), afresh);
  if (!next) return std::unexpected(std::move(next.error()));
  rulesets_.Publish(std::move(*next));
  return afresh;
}

Report Engine::Statistics(Now now) const {
  const std::shared_ptr<const Ruleset> rules = rulesets_.Get();
  Report report;
  report.latency = latency_.Read();
  report.unmatched = unmatched_.load(std::memory_order_relaxed);
  for (std::size_t i = 0; i < rules->policy().rules().size(); ++i) {
    if (rules->state(i).table != nullptr) {
      report.rules.push_back(ReportOf(rules->policy().rules()[i], rules->state(i), now));
    }
  }
  return report;
}

}  // namespace sluicegate::engine
