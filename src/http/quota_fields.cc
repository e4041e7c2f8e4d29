#include "http/quota_fields.h"

#include <algorithm>

namespace sluicegate::http {
namespace {

using policy::HeaderMode;

bool Sends(const policy::Settings& settings, HeaderMode mode) {
  return std::ranges::find(settings.headers, mode) != settings.headers.end();
}

// How many enforced rules have a limit of each name.
std::map<std::string, unsigned> CountNames(const policy::Policy& policy) {
  std::map<std::string, unsigned> counts;
  for (const policy::Rule& rule : policy.rules()) {
    if (rule.mode() != policy::Mode::kEnforce) continue;
    std::map<std::string, bool> own;
    for (const policy::LimitSet& set : rule.variants()) {
      for (const policy::RuleLimit& limit : set.limits) own[limit.name] = true;
    }
    for (const auto& [name, seen] : own) ++counts[name];
  }
  return counts;
}

constexpr std::string_view kPolicyField = "RateLimit-Policy: ";

// "name";q=60;w=60 without the field's name and end.
std::string Members(const std::vector<wire::QuotaPolicy>& policies) {
  std::string line;
  wire::AppendRateLimitPolicy(policies, line);
  if (!line.starts_with(kPolicyField)) return {};
  return line.substr(kPolicyField.size(), line.size() - kPolicyField.size() - 2);
}

// Which of the rule's ceilings binds; as many as there are: none does. The quota tells a ceiling
// from a network that stands in for a client, which has the limits of one.
std::size_t BindingCeiling(const policy::Rule& rule, const Decision& decision) {
  const auto ceilings = rule.ceilings();
  if (decision.shared_bits == 0 || decision.limit == Decision::kNone) return ceilings.size();
  const auto binds = [&decision](const policy::Ceiling& ceiling) {
    if (ceiling.prefix_bits != decision.shared_bits) return false;
    const policy::BoundLimits& limits = ceiling.layout.variants[decision.variant];
    return std::ranges::any_of(limits, [&decision](const policy::BoundLimit& limit) {
      return limit.index == decision.limit && limit.limit.quota() == decision.quota;
    });
  };
  return static_cast<std::size_t>(std::ranges::find_if(ceilings, binds) - ceilings.begin());
}

}  // namespace

// A lease's length is no window: places come back when requests are over.
wire::QuotaPolicy QuotaPolicyOf(const limit::CompiledLimit& limit, std::string_view name) noexcept {
  if (limit.algorithm() == Algorithm::kConcurrency) {
    return {.name = name, .quota = limit.quota(), .unit = wire::QuotaUnit::kConcurrentRequests};
  }
  return {.name = name, .quota = limit.quota(), .window_s = wire::CeilSeconds(limit.window_ns())};
}

// A place in flight may come back at any moment.
void AppendLeft(const BindingLimit& limit, const Decision& decision, std::string& out) {
  wire::QuotaLeft left{.name = limit.name, .remaining = decision.remaining, .hold_ns = {}};
  if (!limit.in_flight) left.hold_ns = decision.hold_ns;
  wire::AppendRateLimit(left, out);
}

// Clients take these for a quota a window, and would wait for its end: of requests in flight only a
// denial says something that holds for them.
void AppendEpoch(const BindingLimit& limit, const Decision& decision, Now now, std::string& out) {
  if (limit.in_flight && decision.allowed()) return;
  wire::AppendXRateLimitEpoch(
      {.quota = limit.quota,
       .remaining = decision.remaining,
       .unix_ns = now.unix_ns,
       .reset_after_ns = limit.in_flight ? decision.hold_ns : decision.reset_after_ns},
      out);
}

wire::RetryAfter RetryAfterOf(const Decision& decision) noexcept {
  return {.retry_after_ns = decision.retry_after_ns,
          .hold_ns = decision.hold_ns,
          .key_hash = decision.key_hash};
}

bool CountsInFlight(const engine::Ruleset& rules, const Decision& decision) noexcept {
  if (decision.limit == Decision::kNone) return false;
  const policy::Rule& rule = rules.policy().rules()[decision.rule];
  const policy::RuleLimit& limit = rule.variants()[decision.variant].limits[decision.limit];
  return limit.limit.algorithm() == Algorithm::kConcurrency;
}

QuotaFields::Set QuotaFields::MakeSet(const policy::Rule& rule, std::size_t variant,
                                      const std::map<std::string, unsigned>& counts) {
  Set set;
  const std::vector<policy::RuleLimit>& limits = rule.variants()[variant].limits;
  for (const policy::RuleLimit& limit : limits) {
    const auto count = counts.find(limit.name);
    const bool unique = count != counts.end() && count->second == 1;
    set.names.push_back(unique ? limit.name : rule.name() + "/" + limit.name);
  }
  std::vector<wire::QuotaPolicy> policies;
  policies.reserve(limits.size() * (1 + rule.ceilings().size()));
  for (std::size_t i = 0; i < limits.size(); ++i) {
    policies.push_back(QuotaPolicyOf(limits[i].limit, set.names[i]));
  }
  set.policy_v4 = Members(policies);
  for (const policy::Ceiling& ceiling : rule.ceilings()) {
    const std::string suffix = "/" + std::to_string(ceiling.prefix_bits);
    auto& names = set.ceiling_names.emplace_back();
    for (const std::string& name : set.names) names.push_back(name + suffix);
    for (const policy::BoundLimit& limit : ceiling.layout.variants[variant]) {
      policies.push_back(QuotaPolicyOf(limit.limit, names[limit.index]));
    }
  }
  set.policy_v6 = Members(policies);
  return set;
}

void QuotaFields::Prepare(const engine::Ruleset& rules) {
  if (prepared_.get() == &rules.policy()) return;
  prepared_ = rules.shared_policy();
  rules_.clear();
  const auto counts = CountNames(*prepared_);
  for (const policy::Rule& rule : prepared_->rules()) {
    Rule& sets = rules_.emplace_back();
    for (std::size_t variant = 0; variant < rule.variants().size(); ++variant) {
      sets.push_back(MakeSet(rule, variant, counts));
    }
  }
}

std::string_view QuotaFields::NameOf(const engine::Ruleset& rules, const Decision& decision) const {
  if (decision.limit == Decision::kNone) return {};
  const Set& set = rules_[decision.rule][decision.variant];
  const policy::Rule& rule = rules.policy().rules()[decision.rule];
  const std::size_t ceiling = BindingCeiling(rule, decision);
  return ceiling < set.ceiling_names.size() ? set.ceiling_names[ceiling][decision.limit]
                                            : set.names[decision.limit];
}

std::span<const std::string_view> QuotaFields::Violated(const engine::Ruleset& rules,
                                                        const Decision& decision) {
  Prepare(rules);
  violated_.clear();
  const Set& set = rules_[decision.rule][decision.variant];
  const std::size_t ceiling = BindingCeiling(rules.policy().rules()[decision.rule], decision);
  const std::vector<std::string>& names =
      ceiling < set.ceiling_names.size() ? set.ceiling_names[ceiling] : set.names;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (decision.Denies(i)) violated_.emplace_back(names[i]);
  }
  return violated_;
}

void QuotaFields::AppendPolicyLine(const engine::Ruleset& rules, const Request& request,
                                   const Decision& decision, std::string& out) {
  const auto all = rules.policy().rules();
  bool first = true;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const policy::Rule& rule = all[i];
    if (rule.mode() != policy::Mode::kEnforce || !rule.Matches(request) || rule.Exempts(request)) {
      continue;
    }
    out += first ? kPolicyField : ", ";
    const Set& set = rules_[i][i == decision.rule ? decision.variant : rule.VariantOf(request)];
    out += request.client.is_v4() ? set.policy_v4 : set.policy_v6;
    first = false;
  }
  if (!first) out += "\r\n";
}

void QuotaFields::Append(const engine::Ruleset& rules, const Request& request,
                         const Decision& decision, Now now, QuotaLines& out) {
  if (decision.rule == Decision::kNone) return;
  Prepare(rules);
  const policy::Settings& settings = rules.policy().settings();
  const std::string_view name = NameOf(rules, decision);
  const BindingLimit binding{
      .name = name, .quota = decision.quota, .in_flight = CountsInFlight(rules, decision)};
  if (Sends(settings, HeaderMode::kDraft11)) {
    AppendPolicyLine(rules, request, decision, out.lines);
    if (!name.empty()) AppendLeft(binding, decision, out.lines);
  }
  if (Sends(settings, HeaderMode::kXRateLimitEpoch) && !name.empty()) {
    AppendEpoch(binding, decision, now, out.epoch);
    out.remaining = decision.remaining;
  }
  if (!decision.allowed()) wire::AppendRetryAfter(RetryAfterOf(decision), out.lines);
}

}  // namespace sluicegate::http
