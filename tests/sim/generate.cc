#include "generate.h"

#include <algorithm>
#include <array>
#include <utility>

namespace sluicegate::sim {
namespace {

IpPrefix Prefix(std::string_view text) {
  IpPrefix prefix;
  (void)IpPrefix::Parse(text, prefix);
  return prefix;
}

void Shuffle(auto& all, Random& random) {
  for (std::size_t i = all.size(); i > 1; --i) std::swap(all[i - 1], all[random.Below(i)]);
}

bool HasRates(const RuleSpec& rule) {
  const auto any = [](const std::vector<LimitSpec>& limits) {
    return std::ranges::any_of(limits, [](const LimitSpec& limit) { return !limit.is_lease(); });
  };
  return any(rule.limits) || std::ranges::any_of(rule.overrides, any, &OverrideSpec::limits);
}

// A refill of more than 1,000,000 a second is refused, also times the factor of a ceiling.
void SlowDown(std::vector<LimitSpec>& limits, std::uint64_t factor) {
  for (LimitSpec& limit : limits) {
    if (limit.algorithm != Algorithm::kTokenBucket) continue;
    limit.window_ns = std::max(limit.window_ns, limit.refill * factor * 1000);
  }
}

std::uint64_t LeastQuota(const RuleSpec& rule) {
  std::uint64_t least = ~std::uint64_t{0};
  for (std::size_t variant = 0; variant <= rule.overrides.size(); ++variant) {
    for (const LimitSpec& limit : rule.LimitsOf(variant)) least = std::min(least, limit.quota);
  }
  return least;
}

}  // namespace

std::uint64_t Generator::Quota() {
  constexpr std::array<std::uint64_t, 4> kWide = {65'535, 65'536, 70'000, 200'000};
  if (random_.Percent(4)) return random_.OneOf(kWide);
  return random_.Percent(15) ? 1 : random_.Magnitude(40);
}

LimitSpec Generator::Limit(const std::string& name) {
  LimitSpec limit{.quota = Quota(), .name = name};
  limit.window_ns = random_.Magnitude(setting_.longest_ns);
  const std::uint64_t kind = random_.Below(100);
  if (kind < 45) return limit;
  if (kind < 70) {
    limit.algorithm = Algorithm::kTokenBucket;
    limit.refill = random_.Magnitude(20);
    limit.window_ns = std::max(limit.window_ns, limit.refill * 1000);
    return limit;
  }
  if (kind < 85) {
    limit.algorithm = Algorithm::kFixedWindow;
    limit.unit = static_cast<CalendarUnit>(random_.Below(7));
    limit.window_ns = 1;
    return limit;
  }
  limit.algorithm = Algorithm::kConcurrency;
  limit.quota = random_.Magnitude(8);
  return limit;
}

std::vector<LimitSpec> Generator::Limits() {
  std::vector<LimitSpec> limits;
  const std::uint64_t count = random_.Percent(5) ? 8 : random_.Between(1, 4);
  for (std::uint64_t i = 0; i < count; ++i) limits.push_back(Limit("l" + std::to_string(i)));
  return limits;
}

std::uint64_t Generator::Memory() {
  if (setting_.roomy) return (std::uint64_t{3} + random_.Below(3)) << 20U;
  return std::uint64_t{2048} << random_.Below(5);
}

WhoSpec Generator::Who(bool one) {
  static const std::array<IpPrefix, 6> kNetworks = {
      Prefix("10.0.0.0/24"),   Prefix("10.0.1.0/25"),         Prefix("10.0.0.3"),
      Prefix("2001:db8::/48"), Prefix("2001:db8:1:100::/56"), Prefix("2001:db8:2::/64")};
  WhoSpec who;
  if (random_.Percent(50)) who.clients.push_back(random_.OneOf(kNetworks));
  if (random_.Percent(40)) who.users.push_back(random_.OneOf(kUsers));
  if (one && who.empty()) who.users.push_back(random_.OneOf(kUsers));
  return who;
}

PenaltySpec Generator::Penalty() {
  PenaltySpec penalty;
  penalty.violations = random_.Magnitude(10);
  penalty.within_ns = std::max(random_.Magnitude(setting_.longest_ns), penalty.violations * 1000);
  penalty.ban_ns = random_.Magnitude(setting_.longest_ns * 4);
  const std::uint64_t levels = random_.Between(1, 4);
  for (std::uint64_t i = 0; i < levels; ++i) {
    penalty.escalate.push_back(static_cast<std::uint32_t>(random_.Magnitude(50)));
  }
  return penalty;
}

LimitSpec Generator::NewKeys() {
  return {.quota = random_.Magnitude(20),
          .window_ns = random_.Magnitude(setting_.longest_ns),
          .name = "new_keys"};
}

std::vector<CeilingSpec> Generator::Ceilings() {
  std::vector<CeilingSpec> ceilings;
  std::uint64_t factor = random_.Between(1, 4);
  if (random_.Percent(70)) ceilings.push_back({.bits = 56, .factor = factor});
  factor += random_.Below(4);
  if (random_.Percent(70)) ceilings.push_back({.bits = 48, .factor = factor});
  return ceilings;
}

RuleSpec Generator::Rule() {
  static const std::vector<std::vector<std::string>> kKeys = {
      {"client"}, {"client"}, {"client"}, {"client", "host"}, {"client", "path"},
      {"user"},   {"host"},   {},         {"client", "user"}, {"user", "host"}};
  RuleSpec rule;
  rule.name = "r" + std::to_string(names_++);
  const std::uint64_t mode = random_.Below(100);
  rule.mode = mode < 75 ? ModeSpec::kEnforce : mode < 90 ? ModeSpec::kObserve : ModeSpec::kOff;
  if (random_.Percent(40)) rule.paths = {random_.OneOf(kPaths)};
  rule.key = random_.OneOf(kKeys);
  rule.limits = Limits();
  if (random_.Percent(30)) rule.ceilings = Ceilings();
  if (random_.Percent(20)) rule.new_keys = NewKeys();
  if (random_.Percent(20)) rule.exempt = Who(false);
  while (random_.Percent(25)) rule.overrides.push_back({.when = Who(true), .limits = Limits()});
  if (random_.Percent(35)) rule.penalty = Penalty();
  if (random_.Percent(15)) rule.cost = random_.Magnitude(3);
  rule.memory = Memory();
  rule.protect = random_.Percent(20);
  return rule;
}

void Generator::Mend(RuleSpec& rule) {
  std::uint64_t factor = 1;
  for (const CeilingSpec& one : rule.ceilings) factor = std::max(factor, one.factor);
  SlowDown(rule.limits, factor);
  for (OverrideSpec& one : rule.overrides) SlowDown(one.limits, factor);
  rule.cost = std::min(rule.cost, LeastQuota(rule));
  if (!HasRates(rule) || !rule.has_client()) {
    rule.ceilings.clear();
    rule.new_keys.reset();
  }
}

PolicySpec Generator::Policy() {
  PolicySpec policy;
  const std::uint64_t count = random_.Between(1, 4);
  for (std::uint64_t i = 0; i < count; ++i) policy.rules.push_back(Rule());
  for (RuleSpec& rule : policy.rules) Mend(rule);
  if (random_.Percent(30)) policy.sketch_percent = random_.Between(5, 50);
  return policy;
}

PolicySpec Generator::Edited(const PolicySpec& policy) {
  PolicySpec edited = policy;
  edited.enabled = true;
  do {
    if (random_.Percent(25)) {
      EditPolicy(edited);
    } else {
      EditRule(random_.OneOf(edited.rules));
    }
  } while (random_.Percent(40));
  for (RuleSpec& rule : edited.rules) Mend(rule);
  return edited;
}

void Generator::EditPolicy(PolicySpec& policy) {
  auto& rules = policy.rules;
  switch (random_.Below(6)) {
    case 0:
      if (rules.size() < 6)
        rules.insert(rules.begin() + static_cast<std::ptrdiff_t>(random_.Below(rules.size() + 1)),
                     Rule());
      break;
    case 1:
      if (rules.size() > 1)
        rules.erase(rules.begin() + static_cast<std::ptrdiff_t>(random_.Below(rules.size())));
      break;
    case 2:
      Shuffle(rules, random_);
      break;
    case 3:
      random_.OneOf(rules).name = "r" + std::to_string(names_++);
      break;
    case 4:
      policy.enabled = !random_.Percent(50);
      break;
    default:
      policy.sketch_percent = random_.Between(5, 50);
      break;
  }
}

void Generator::EditRule(RuleSpec& rule) {
  switch (random_.Below(14)) {
    case 0:
      rule.memory = Memory();
      break;
    case 1:
      rule.mode = static_cast<ModeSpec>(random_.Below(3));
      break;
    case 2:
      if (rule.penalty && random_.Percent(40)) {
        rule.penalty.reset();
      } else {
        rule.penalty = Penalty();
      }
      break;
    case 3:
      rule.exempt = Who(false);
      break;
    case 4:
      rule.ceilings = Ceilings();
      break;
    case 5:
      rule.new_keys.reset();
      if (random_.Percent(60)) rule.new_keys = NewKeys();
      break;
    case 6:
      rule.cost = random_.Magnitude(3);
      rule.protect = random_.Percent(20);
      break;
    case 7:
    case 8:
    case 9:
      EditOverrides(rule);
      break;
    default:
      EditLimits(rule.limits);
      break;
  }
}

void Generator::EditOverrides(RuleSpec& rule) {
  auto& all = rule.overrides;
  const std::uint64_t kind = random_.Below(4);
  if (all.empty() || (kind == 0 && all.size() < 4)) {
    all.insert(all.begin() + static_cast<std::ptrdiff_t>(random_.Below(all.size() + 1)),
               {.when = Who(true), .limits = Limits()});
  } else if (kind == 1) {
    all.erase(all.begin() + static_cast<std::ptrdiff_t>(random_.Below(all.size())));
  } else if (kind == 2) {
    Shuffle(all, random_);
  } else {
    EditLimits(random_.OneOf(all).limits);
  }
}

void Generator::EditLimits(std::vector<LimitSpec>& limits) {
  switch (random_.Below(6)) {
    case 0:
      if (limits.size() < 8) {
        // Often beside one of the same window.
        const std::string name = "n" + std::to_string(names_++);
        limits.push_back(random_.Percent(40) ? LimitSpec(random_.OneOf(limits)) : Limit(name));
        limits.back().name = name;
        Shuffle(limits, random_);
      }
      break;
    case 1:
      if (limits.size() > 1)
        limits.erase(limits.begin() + static_cast<std::ptrdiff_t>(random_.Below(limits.size())));
      break;
    case 2:
      Shuffle(limits, random_);
      break;
    default:
      EditLimit(random_.OneOf(limits));
      break;
  }
}

void Generator::EditLimit(LimitSpec& limit) {
  switch (random_.Below(5)) {
    case 0:
      limit.name = "n" + std::to_string(names_++);
      break;
    case 1:
      limit = Limit(limit.name);
      break;
    default:
      limit.quota = limit.is_lease() ? random_.Magnitude(8) : Quota();
      if (limit.algorithm == Algorithm::kTokenBucket && random_.Percent(60)) {
        limit.refill = random_.Magnitude(20);
        limit.window_ns = random_.Magnitude(setting_.longest_ns);
      }
      break;
  }
}

}  // namespace sluicegate::sim
