#include "engine/engine.h"

#include <algorithm>
#include <span>
#include <utility>

#include "engine/claims.h"
#include "engine/rebind.h"
#include "engine/weigher.h"

namespace sluicegate::engine {
namespace {

using policy::Mode;
using policy::Rule;

// The rules that match one request. Room for all on the stack, left unwritten until used: zeroing
// it would cost more than most decisions.
struct Matches {
  std::size_t enforced = 0;
  std::size_t observed = 0;
  bool exempt = false;
  union {
    std::array<Hit, policy::kMaxMatches> enforce;
  };
  union {
    std::array<Hit, policy::kMaxMatches> observe;
  };
  Matches() noexcept {}  // NOLINT(modernize-use-equals-default): a union member has no default.
};

Hit HitOf(const Rule& rule, std::uint16_t index, const Request& request,
          const HashSecret& secret) noexcept {
  const std::uint8_t variant = rule.VariantOf(request);
  return {.rule = index,
          .variant = variant,
          .cost = rule.CostOf(request),
          .hashes = rule.HashKeys(secret, request, variant)};
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
    Hit& hit = enforced ? matches.enforce[matches.enforced++] : matches.observe[matches.observed++];
    hit = HitOf(rule, index, request, secret);
  }
}

struct RunningBan {
  const Hit* hit = nullptr;  // Null: none runs.
  std::uint64_t left_ns = 0;
  bool sealed = false;
  const Hit* stuck = nullptr;  // Nobody can say whether one runs, and the rule fails closed.
};

// The longest ban that runs on one of the keys. Marks the keys that could not be banned.
RunningBan FindRunningBan(const Ruleset& rules, std::span<Hit> hits, Now now) noexcept {
  RunningBan ban;
  for (Hit& hit : hits) {
    const RuleState& state = rules.state(hit.rule);
    if (state.bans == nullptr) continue;
    const shield::Bans::Record record = state.bans->Find(hit.hashes.client, now);
    hit.no_ban_place = record.no_place && state.parents != nullptr;
    if (record.left_ns > ban.left_ns) ban = {.hit = &hit, .left_ns = record.left_ns};
    if (record.sealed) return {.sealed = true};
    if (record.stuck && !rules.policy().rules()[hit.rule].fails_open()) ban.stuck = &hit;
  }
  return ban;
}

std::optional<Decision> Banned(const Ruleset& rules, std::span<const Hit> hits, Claims& claims,
                               const RunningBan& ban, Now now) noexcept {
  // A limit may have no room yet when the ban ends.
  const auto retry_after_ns = RetryAfterOf(claims.sorted(), now);
  if (!retry_after_ns && retry_after_ns.error() == Hindrance::kSealed) return std::nullopt;
  const bool peek = std::ranges::all_of(hits, [](const Hit& hit) { return hit.cost == 0; });
  if (!peek) rules.state(ban.hit->rule).counters->Add(Count::kBanned);
  Decision decision;
  decision.verdict = Verdict::kBanned;
  decision.variant = ban.hit->variant;
  decision.rule = ban.hit->rule;
  decision.hold_ns = decision.reset_after_ns = ban.left_ns;
  decision.retry_after_ns = std::max(ban.left_ns, retry_after_ns.value_or(0));
  decision.key_hash = ban.hit->hashes.limits;
  return decision;
}

// What a rule that fails closed answers where its state cannot be had.
Decision Unknown(const Ruleset& rules, std::uint16_t rule) noexcept {
  rules.state(rule).counters->Add(Count::kLimited);
  Decision decision = Undecided();
  decision.rule = rule;
  return decision;
}

// What a limited decision does to the rules that denied: counters, and a step towards a ban unless
// others than the client used the limit up. The longest ban that it began, in ns.
std::uint64_t Punish(const Ruleset& rules, std::span<const Hit> hits, std::span<const Claim> claims,
                     Now now) noexcept {
  std::uint64_t longest_ns = 0;
  for (const Hit& hit : hits) {
    bool denied = false;
    bool own = false;
    bool blocked = false;
    for (const Claim& claim : claims) {
      if (claim.rule != hit.rule || claim.denied == 0) continue;
      denied = true;
      own |= !claim.shared;
      blocked |= claim.blocked_ns > 0;
    }
    if (!denied) continue;
    const RuleState& state = rules.state(hit.rule);
    state.counters->Add(Count::kLimited);
    if (blocked) state.counters->Add(Count::kBlocked);
    if (state.bans == nullptr || !own) continue;
    const shield::Violation violation =
        state.bans->RecordViolation(hit.hashes.client, state.penalty, now);
    if (violation.counted) state.counters->Add(Count::kViolations);
    if (violation.ban_ns > 0) state.counters->Add(Count::kBans);
    longest_ns = std::max(longest_ns, violation.ban_ns);
  }
  return longest_ns;
}

// A peek takes nothing, so it is no admission.
void CountAdmitted(const Ruleset& rules, std::span<const Hit> hits) noexcept {
  for (const Hit& hit : hits) {
    if (hit.cost > 0) rules.state(hit.rule).counters->Add(Count::kAdmitted);
  }
}

// Adds the leases among `stamps` to a receipt.
void KeepLeases(std::span<const Stamp> stamps, Receipt& receipt) noexcept {
  for (const Stamp& stamp : stamps) {
    if (stamp.lease) receipt.charges[receipt.size++] = stamp;
  }
}

// Observed rules move when the request was admitted and they have room; they never change its fate.
// A rule whose table has moved meanwhile misses this one.
void Observe(const Ruleset& rules, const Request& request, const HashSecret& secret,
             std::span<const Hit> hits, Now now, Receipt* receipt) noexcept {
  for (const Hit& hit : hits) {
    if (hit.cost == 0) continue;
    Claims claims(rules, request, secret, now);
    claims.Append(hit);
    std::array<Stamp, 3 + policy::kMaxCeilings> stamps;
    Decision decision;
    if (claims.Decide(decision, stamps).hindrance != Hindrance::kNone) continue;
    RuleCounters& counters = *rules.state(hit.rule).counters;
    counters.Add(Count::kObserved);
    if (!decision.allowed()) {
      counters.Add(Count::kObservedDenials);
      continue;
    }
    claims.CountNewKeys();
    if (receipt != nullptr) KeepLeases({stamps.data(), claims.all().size()}, *receipt);
  }
}

std::uint64_t BytesOf(const RuleState& state) {
  std::uint64_t bytes = 0;
  const auto add = [&bytes](const auto& part) { bytes += part == nullptr ? 0 : part->bytes(); };
  add(state.table);
  add(state.sketch);
  add(state.leases);
  add(state.overflow);
  for (const auto& ceiling : state.ceilings) add(ceiling);
  add(state.parents);
  add(state.bans);
  return bytes;
}

// The tables whose victims the sketch remembers.
void AddEvictions(RuleReport& report, const RuleState& state) {
  const auto add = [&report](const auto& table) {
    if (table == nullptr) return;
    const table::TableCounts counts = table->counts();
    report.evictions += counts.evictions;
    report.evictions_at_limit += counts.evictions_at_limit;
    report.forgotten += counts.forgotten;
  };
  add(state.table);
  add(state.parents);
  for (const auto& ceiling : state.ceilings) add(ceiling);
}

// What is counted.
RuleReport CountsOf(const Rule& rule, const RuleState& state, Now now) {
  const RuleCounters& counters = *state.counters;
  RuleReport report{.rule = rule.name(),
                    .admitted = counters.Sum(Count::kAdmitted),
                    .limited = counters.Sum(Count::kLimited),
                    .banned = counters.Sum(Count::kBanned),
                    .exempt = counters.Sum(Count::kExempt),
                    .observed = counters.Sum(Count::kObserved),
                    .observed_denials = counters.Sum(Count::kObservedDenials),
                    .violations = counters.Sum(Count::kViolations),
                    .bans = counters.Sum(Count::kBans),
                    .blocked = counters.Sum(Count::kBlocked),
                    .network_for_key = counters.Sum(Count::kNetworkForKey),
                    .network_for_lease = counters.Sum(Count::kNetworkForLease),
                    .network_for_ban = counters.Sum(Count::kNetworkForBan),
                    .bytes = BytesOf(state)};
  AddEvictions(report, state);
  if (state.table != nullptr) report.capacity = state.table->capacity();
  if (state.sketch != nullptr) report.sketch_refused_ppm = state.sketch->RefusedPpm(now.engine_ns);
  if (state.leases != nullptr) report.lease_capacity = state.leases->capacity();
  if (state.bans != nullptr) {
    report.bans_refused = state.bans->refused();
    report.ban_evictions = state.bans->evictions();
  }
  return report;
}

// And what is estimated.
RuleReport ReportOf(const Rule& rule, const RuleState& state, Now now) {
  RuleReport report = CountsOf(rule, state, now);
  if (state.table != nullptr) {
    report.tracked_keys = state.table->EstimateLive(LimitWeigher(rule.rates()), now);
  }
  if (state.leases != nullptr) {
    report.keys_in_flight = state.leases->EstimateLive(LeaseWeigher(rule.leases()), now);
  }
  if (state.bans != nullptr) report.tracked_offenders = state.bans->EstimateLive(now);
  return report;
}

}  // namespace

Engine::Engine(std::shared_ptr<const Ruleset> first, const HashSecret& secret,
               std::shared_ptr<table::StateFile> file)
    : secret_(secret), file_(std::move(file)), rulesets_(std::move(first)) {}

std::expected<std::unique_ptr<Engine>, std::string> Engine::Create(
    std::shared_ptr<const policy::Policy> policy, const HashSecret& secret) {
  auto first = Ruleset::Bind(std::move(policy), nullptr);
  if (!first) return std::unexpected(std::move(first.error()));
  return std::unique_ptr<Engine>(new Engine(std::move(first->ruleset), secret, nullptr));
}

std::expected<std::unique_ptr<Engine>, std::string> Engine::Attach(
    std::shared_ptr<const policy::Policy> policy, std::shared_ptr<table::StateFile> file, Now now,
    std::vector<std::string>& lines) {
  auto first = Ruleset::Bind(std::move(policy), nullptr, {.file = file.get(), .now = now});
  if (!first) return std::unexpected(std::move(first.error()));
  for (const Rebind& rebind : first->rebinds) rebind.Tell(lines);
  const HashSecret secret = file->secret();
  return std::unique_ptr<Engine>(new Engine(std::move(first->ruleset), secret, std::move(file)));
}

std::optional<Decision> Engine::Decide(const Ruleset& rules, const Request& request, Now now,
                                       Receipt* receipt) noexcept {
  if (receipt != nullptr) receipt->size = 0;
  std::optional<Decision> result(std::in_place);
  if (!rules.policy().enabled()) return result;
  Matches matches;
  Match(matches, rules, request, secret_);
  const std::span<Hit> enforced(matches.enforce.data(), matches.enforced);
  const std::span<Hit> observed(matches.observe.data(), matches.observed);
  if (enforced.empty() && observed.empty() && !matches.exempt) {
    unmatched_.fetch_add(1, std::memory_order_relaxed);
    return result;
  }

  const RunningBan ban = FindRunningBan(rules, enforced, now);
  if (ban.sealed) {
    WaitForNewer(rules);
    return std::nullopt;
  }
  if (ban.stuck != nullptr) return Unknown(rules, ban.stuck->rule);
  Claims claims(rules, request, secret_, now);
  for (const Hit& hit : enforced) claims.Append(hit);
  if (ban.hit != nullptr) {
    result = Banned(rules, enforced, claims, ban, now);
    if (!result) WaitForNewer(rules);
    return result;
  }
  const std::span<Stamp> stamps =
      receipt == nullptr ? std::span<Stamp>() : std::span(receipt->charges);
  for (;;) {
    const Attempt attempt = claims.Decide(*result, stamps);
    if (attempt.hindrance == Hindrance::kNone) break;
    if (attempt.hindrance == Hindrance::kSealed) {
      WaitForNewer(rules);
      return std::nullopt;
    }
    const std::uint16_t rule = claims.all()[attempt.claim].rule;
    if (!rules.policy().rules()[rule].fails_open()) return Unknown(rules, rule);
    claims.Drop(rule);
  }
  if (!result->allowed()) {
    const std::uint64_t ban_ns = Punish(rules, enforced, claims.all(), now);
    result->retry_after_ns = std::max(result->retry_after_ns, ban_ns);
    return result;
  }
  if (receipt != nullptr) receipt->size = claims.all().size();
  claims.CountNewKeys();
  CountAdmitted(rules, enforced);
  Observe(rules, request, secret_, observed, now, receipt);
  if (enforced.empty() && matches.exempt) result->verdict = Verdict::kExempt;
  return result;
}

std::optional<Decision> Engine::FindBan(const Ruleset& rules, const Request& request,
                                        Now now) noexcept {
  std::optional<Decision> longest;
  if (!rules.policy().enabled()) return longest;
  for (const std::uint16_t index : rules.lock_order()) {
    const Rule& rule = rules.policy().rules()[index];
    const RuleState& state = rules.state(index);
    if (state.bans == nullptr || !rule.Binds(request)) continue;
    const std::uint8_t variant = rule.VariantOf(request);
    const policy::KeyHashes hashes = rule.HashKeys(secret_, request, variant);
    const std::uint64_t left_ns = state.bans->Find(hashes.client, now).left_ns;
    if (left_ns <= (longest ? longest->retry_after_ns : 0)) continue;
    longest.emplace();
    longest->verdict = Verdict::kBanned;
    longest->variant = variant;
    longest->rule = index;
    longest->hold_ns = longest->reset_after_ns = longest->retry_after_ns = left_ns;
    longest->key_hash = hashes.limits;
  }
  if (!longest) return longest;
  rules.state(longest->rule).counters->Add(Count::kBanned);
  // A limit may have no room yet when the ban ends.
  Claims claims(rules, request, secret_, now);
  for (const std::uint16_t index : rules.lock_order()) {
    const Rule& rule = rules.policy().rules()[index];
    if (rule.Binds(request)) claims.Append(HitOf(rule, index, request, secret_));
  }
  const std::uint64_t wait_ns = RetryAfterOf(claims.sorted(), now).value_or(0);
  longest->retry_after_ns = std::max(longest->retry_after_ns, wait_ns);
  return longest;
}

// Whoever moves tables publishes what counts with the new ones as soon as all have moved.
void Engine::WaitForNewer(const Ruleset& rules) const noexcept {
  while (rulesets_.Get().get() == &rules) table::YieldCore();
}

void Engine::GiveBack(const Ruleset& rules, const Stamp& charge, Now now) noexcept {
  const Ruleset::Place place = rules.PlaceOf(charge);
  if (place.table == nullptr || GiveBackCharge(*place.table, *place.layout, charge, now)) return;
  WaitForNewer(rules);
  GiveBack(*rulesets_.Get(), charge, now);
}

void Engine::Renew(const Ruleset& rules, Stamp& lease, Now now) noexcept {
  const Ruleset::Place place = rules.PlaceOf(lease);
  if (place.table == nullptr || RenewCharge(*place.table, *place.layout, lease, now)) return;
  WaitForNewer(rules);
  Renew(*rulesets_.Get(), lease, now);
}

std::expected<std::vector<std::string>, std::string> Engine::Publish(
    std::shared_ptr<const policy::Policy> policy, Now now) {
  // Two at once would bind to the same ruleset, and one of their new tables would be lost.
  const std::lock_guard lock(publishing_);
  const std::shared_ptr<const Ruleset> before = rulesets_.Get();
  bool leaves = false;
  auto next = Ruleset::Bind(std::move(policy), before.get(),
                            {.file = file_.get(), .now = now, .leaves = &leaves});
  if (!next) {
    if (leaves) GoOn(*before);
    return std::unexpected(std::move(next.error()));
  }
  // From here to the next ruleset nothing may fail: who meets a sealed table waits for it.
  for (Rebind& rebind : next->rebinds) rebind.Move(now);
  rulesets_.Publish(std::move(next->ruleset));
  std::vector<std::string> lines;
  for (const Rebind& rebind : next->rebinds) rebind.Tell(lines);
  return lines;
}

// Who waits for a newer ruleset gets one that is the same.
void Engine::GoOn(const Ruleset& before) {
  for (std::size_t i = 0; i < before.policy().rules().size(); ++i) {
    Rebind::ComeBack(before.state(i), *file_);
  }
  rulesets_.Publish(std::make_shared<Ruleset>(before));
}

Report Engine::Statistics(Now now) const {
  const std::shared_ptr<const Ruleset> rules = rulesets_.Get();
  Report report;
  report.latency = latency_.Read();
  report.unmatched = unmatched_.load(std::memory_order_relaxed);
  for (std::size_t i = 0; i < rules->policy().rules().size(); ++i) {
    if (rules->state(i).on()) {
      report.rules.push_back(ReportOf(rules->policy().rules()[i], rules->state(i), now));
    }
  }
  return report;
}

std::vector<RuleReport> Engine::Counts(Now now) const {
  const std::shared_ptr<const Ruleset> rules = rulesets_.Get();
  std::vector<RuleReport> counts;
  for (std::size_t i = 0; i < rules->policy().rules().size(); ++i) {
    if (rules->state(i).on()) {
      counts.push_back(CountsOf(rules->policy().rules()[i], rules->state(i), now));
    }
  }
  return counts;
}

}  // namespace sluicegate::engine
