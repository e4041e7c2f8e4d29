#include "gateway/quota_fields.h"

#include <algorithm>
#include <map>
#include <span>

#include "wire/rate_limit_fields.h"

namespace sluicegate::gateway {
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
std::string Members(const policy::LimitSet& set, const std::vector<std::string>& names) {
  std::vector<wire::QuotaPolicy> policies;
  for (std::size_t i = 0; i < set.limits.size(); ++i) {
    const limit::CompiledLimit& limit = set.limits[i].limit;
    policies.push_back({.name = names[i],
                        .quota = limit.quota(),
                        .window_s = wire::CeilSeconds(limit.window_ns())});
  }
  std::string line;
  wire::AppendRateLimitPolicy(policies, line);
  if (!line.starts_with(kPolicyField)) return {};
  return line.substr(kPolicyField.size(), line.size() - kPolicyField.size() - 2);
}

}  // namespace

void QuotaFields::Prepare(const engine::Ruleset& rules) {
  if (prepared_.get() == &rules.policy()) return;
  prepared_ = rules.shared_policy();
  rules_.clear();
  const auto counts = CountNames(*prepared_);
  for (const policy::Rule& rule : prepared_->rules()) {
    Rule& sets = rules_.emplace_back();
    for (const policy::LimitSet& limits : rule.variants()) {
      Set& set = sets.emplace_back();
      for (const policy::RuleLimit& limit : limits.limits) {
        const auto count = counts.find(limit.name);
        const bool unique = count != counts.end() && count->second == 1;
        set.names.push_back(unique ? limit.name : rule.name() + "/" + limit.name);
      }
      set.policy = Members(limits, set.names);
    }
  }
}

std::span<const std::string> QuotaFields::NamesOf(const engine::Ruleset& rules, std::uint16_t rule,
                                                  std::uint8_t variant) {
  Prepare(rules);
  return rules_[rule][variant].names;
}

void QuotaFields::AppendPolicyLine(const engine::Ruleset& rules, const Request& request,
                                   std::string& out) {
  const auto all = rules.policy().rules();
  bool first = true;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const policy::Rule& rule = all[i];
    if (rule.mode() != policy::Mode::kEnforce || !rule.Matches(request) || rule.Exempts(request)) {
      continue;
    }
    out += first ? kPolicyField : ", ";
    out += rules_[i][rule.VariantOf(request)].policy;
    first = false;
  }
  if (!first) out += "\r\n";
}

void QuotaFields::Append(const engine::Ruleset& rules, const Request& request,
                         const Decision& decision, Now now, QuotaLines& out) {
  if (decision.rule == Decision::kNone) return;
  const policy::Settings& settings = rules.policy().settings();
  const auto names = NamesOf(rules, decision.rule, decision.variant);
  const std::string_view name =
      decision.limit == Decision::kNone ? std::string_view() : names[decision.limit];
  if (Sends(settings, HeaderMode::kDraft11)) {
    AppendPolicyLine(rules, request, out.lines);
    if (!name.empty()) {
      wire::AppendRateLimit(
          {.name = name, .remaining = decision.remaining, .hold_ns = decision.hold_ns}, out.lines);
    }
  }
  if (Sends(settings, HeaderMode::kXRateLimitEpoch) && !name.empty()) {
    wire::AppendXRateLimitEpoch({.quota = decision.quota,
                                 .remaining = decision.remaining,
                                 .unix_ns = now.unix_ns,
                                 .reset_after_ns = decision.reset_after_ns},
                                out.epoch);
    out.remaining = decision.remaining;
  }
  if (decision.allowed()) return;
  wire::AppendRetryAfter({.retry_after_ns = decision.retry_after_ns,
                          .hold_ns = decision.hold_ns,
                          .key_hash = decision.key_hash},
                         out.lines);
}

}  // namespace sluicegate::gateway
