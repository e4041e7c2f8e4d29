#include "http/quota_fields.h"

#include <algorithm>
#include <utility>

namespace sluicegate::http {
namespace {

using policy::HeaderMode;

// About what the lists of a few rules take.
constexpr std::size_t kAboutLines = 512;

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

// What a part of a key is called in RateLimit-Partition: the draft's own word, or else one with a
// vendor's prefix, as it asks for.
std::string_view DimensionOf(policy::KeyKind kind) {
  switch (kind) {
    case policy::KeyKind::kClient:
      return kClientDimension;
    case policy::KeyKind::kUser:
      return "user_id";
    case policy::KeyKind::kApiKey:
      return "client_id";
    case policy::KeyKind::kMethod:
      return "method";
    case policy::KeyKind::kPath:
      return "sluicegate-path";
    case policy::KeyKind::kHost:
      return "sluicegate-host";
    case policy::KeyKind::kHeader:
      return "sluicegate-header";
    case policy::KeyKind::kMcpMethod:
      return "sluicegate-mcp-method";
    case policy::KeyKind::kMcpTool:
      return "sluicegate-mcp-tool";
    case policy::KeyKind::kMcpArguments:
      return "sluicegate-mcp-args";
    case policy::KeyKind::kEntry:
      break;
  }
  return "sluicegate-entry";
}

// Each once, as the keys of parameters are. Under a ceiling the client's network stands for it.
std::vector<std::string_view> DimensionsOf(const policy::Rule& rule, bool ceiling) {
  std::vector<std::string_view> dimensions;
  for (const policy::KeyPart& part : rule.key()) {
    std::string_view dimension = DimensionOf(part.kind);
    if (ceiling && dimension == kClientDimension) dimension = "sluicegate-network";
    if (std::ranges::find(dimensions, dimension) == dimensions.end()) {
      dimensions.push_back(dimension);
    }
  }
  return dimensions;
}

// What the rule takes for the request, where the limit that binds was asked for it.
std::optional<std::uint64_t> CostUnder(const policy::Rule& rule, const Request& request,
                                       bool in_flight) {
  if (!in_flight && !rule.AsksRates(request)) return std::nullopt;
  return rule.CostOf(request);
}

// Which of the rule's ceilings binds, counted from 1; 0: none does. The quota tells a ceiling from
// a network that stands in for a client, which has the limits of one.
std::size_t BindingCeiling(const policy::Rule& rule, const Decision& decision) {
  if (decision.shared_bits == 0 || decision.limit == Decision::kNone) return 0;
  const auto ceilings = rule.ceilings();
  const auto binds = [&decision](const policy::Ceiling& ceiling) {
    if (ceiling.prefix_bits != decision.shared_bits) return false;
    const policy::BoundLimits& limits = ceiling.layout.variants[decision.variant];
    return std::ranges::any_of(limits, [&decision](const policy::BoundLimit& limit) {
      return limit.index == decision.limit && limit.limit.quota() == decision.quota;
    });
  };
  const auto found = std::ranges::find_if(ceilings, binds);
  return found == ceilings.end() ? 0 : static_cast<std::size_t>(found - ceilings.begin()) + 1;
}

}  // namespace

// A lease's length is no window: places come back when requests are over.
wire::QuotaPolicy QuotaPolicyOf(const limit::CompiledLimit& limit, std::string_view name) noexcept {
  if (limit.algorithm() == Algorithm::kConcurrency) {
    return {.name = name, .quota = limit.quota(), .unit = wire::QuotaUnit::kConcurrentRequests};
  }
  return {.name = name, .quota = limit.quota(), .window_s = wire::CeilSeconds(limit.window_ns())};
}

HeaderForms HeaderForms::Of(const policy::Settings& settings) noexcept {
  const auto has = [&settings](HeaderMode mode) {
    return std::ranges::find(settings.headers, mode) != settings.headers.end();
  };
  return {.left = {.draft11 = has(HeaderMode::kDraft11), .draft_next = has(HeaderMode::kDraftNext)},
          .draft03 = has(HeaderMode::kDraft03),
          .epoch = has(HeaderMode::kXRateLimitEpoch),
          .delta = has(HeaderMode::kXRateLimitDelta)};
}

QuotaMembers MembersOf(std::span<const wire::QuotaPolicy> policies,
                       std::span<const std::vector<std::string_view>> dimensions,
                       const HeaderForms& forms) {
  QuotaMembers members;
  if (forms.lists()) wire::AppendPolicyMembers(policies, members.policy);
  if (forms.draft03) wire::AppendDraft03Members(policies, members.draft03);
  for (std::size_t i = 0; forms.left.draft_next && i < policies.size(); ++i) {
    if (i > 0) members.partition += ", ";
    wire::AppendPartitionMember(policies[i].name, dimensions[i], members.partition);
  }
  return members;
}

// A place in flight may come back at any moment, so nobody knows a time for it. Clients take a
// triple for a quota a window, and would wait for its end: of requests in flight only a denial says
// something that holds for them.
void PutBinding(const BindingLimit& limit, const Decision& decision, Now now,
                const HeaderForms& forms, std::string_view draft03, TextWriter& lines,
                QuotaLines& out) {
  if (forms.lists()) {
    wire::QuotaLeft left{
        .name = limit.name, .remaining = decision.remaining, .hold_ns = {}, .cost = limit.cost};
    if (!limit.in_flight) left.hold_ns = decision.hold_ns;
    wire::PutRateLimit(left, forms.left, lines);
  }
  if (limit.in_flight && decision.allowed()) return;
  out.remaining = decision.remaining;
  wire::QuotaTriple triple{
      .quota = limit.quota, .remaining = decision.remaining, .reset_after_ns = decision.hold_ns};
  // The draft's reset is the time in which no more than the rest can be used, which Retry-After is
  // never before. X-RateLimit-Reset tells when the limit is as if never used.
  if (forms.draft03) {
    TextWriter text(out.draft03, wire::kAboutFields + draft03.size());
    wire::PutDraft03(triple, draft03, text);
  }
  if (!limit.in_flight) triple.reset_after_ns = decision.reset_after_ns;
  if (!forms.epoch && !forms.delta) return;
  TextWriter text(out.x_ratelimit, wire::kAboutFields);
  if (forms.epoch) wire::PutXRateLimitEpoch(triple, now.unix_ns, text);
  if (forms.delta) wire::PutXRateLimitDelta(triple, text);
}

wire::RetryAfter RetryAfterOf(const Decision& decision) noexcept {
  return {.retry_after_ns = decision.retry_after_ns,
          .hold_ns = decision.hold_ns,
          .key_hash = decision.key_hash};
}

bool CountsInFlight(const engine::Ruleset& rules, const Decision& decision) noexcept {
  const policy::RuleLimit* const limit = rules.policy().BindingLimit(decision);
  return limit != nullptr && limit->limit.algorithm() == Algorithm::kConcurrency;
}

QuotaFields::Names::Names(std::vector<std::string> names) : plain(std::move(names)) {
  quoted.reserve(plain.size());
  for (const std::string& name : plain) wire::AppendStructuredString(name, quoted.emplace_back());
}

QuotaFields::Set QuotaFields::MakeSet(const policy::Rule& rule, std::size_t variant,
                                      const std::map<std::string, unsigned>& counts) const {
  const std::vector<policy::RuleLimit>& limits = rule.variants()[variant].limits;
  std::vector<std::string> own;
  for (const policy::RuleLimit& limit : limits) {
    const auto count = counts.find(limit.name);
    const bool unique = count != counts.end() && count->second == 1;
    own.push_back(unique ? limit.name : rule.name() + "/" + limit.name);
  }
  Set set;
  set.names.reserve(1 + rule.ceilings().size());  // Policies are views of the names.
  const Names& names = set.names.emplace_back(own);
  std::vector<wire::QuotaPolicy> policies;
  policies.reserve(limits.size() * (1 + rule.ceilings().size()));
  for (std::size_t i = 0; i < limits.size(); ++i) {
    policies.push_back(QuotaPolicyOf(limits[i].limit, names.plain[i]));
  }
  std::vector<std::vector<std::string_view>> dimensions(limits.size(), DimensionsOf(rule, false));
  set.v4 = MembersOf(policies, dimensions, forms_);
  for (const policy::Ceiling& ceiling : rule.ceilings()) {
    std::vector<std::string> shared = own;
    for (std::string& name : shared) name += "/" + std::to_string(ceiling.prefix_bits);
    const Names& under = set.names.emplace_back(std::move(shared));
    for (const policy::BoundLimit& limit : ceiling.layout.variants[variant]) {
      policies.push_back(QuotaPolicyOf(limit.limit, under.plain[limit.index]));
    }
  }
  dimensions.resize(policies.size(), DimensionsOf(rule, true));
  set.v6 = MembersOf(policies, dimensions, forms_);
  return set;
}

void QuotaFields::Prepare(const engine::Ruleset& rules) {
  if (prepared_.get() == &rules.policy()) return;
  prepared_ = rules.shared_policy();
  forms_ = HeaderForms::Of(prepared_->settings());
  applied_.clear();
  rules_.clear();
  const auto counts = CountNames(*prepared_);
  for (const policy::Rule& rule : prepared_->rules()) {
    Rule& sets = rules_.emplace_back();
    for (std::size_t variant = 0; variant < rule.variants().size(); ++variant) {
      sets.push_back(MakeSet(rule, variant, counts));
    }
  }
}

QuotaFields::Names& QuotaFields::NamesOf(const engine::Ruleset& rules, const Decision& decision) {
  const policy::Rule& rule = rules.policy().rules()[decision.rule];
  return rules_[decision.rule][decision.variant].names[BindingCeiling(rule, decision)];
}

std::span<const std::string_view> QuotaFields::Violated(const engine::Ruleset& rules,
                                                        const Decision& decision) {
  Prepare(rules);
  violated_.clear();
  const std::vector<std::string>& names = NamesOf(rules, decision).plain;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (decision.Denies(i)) violated_.emplace_back(names[i]);
  }
  return violated_;
}

std::string_view QuotaFields::BodyOf(const engine::Ruleset& rules, const Decision& decision,
                                     const wire::Problem& problem) {
  Prepare(rules);
  Body& body = NamesOf(rules, decision).body;
  if (body.denied != decision.denied_limits || body.detail != problem.detail || body.text.empty()) {
    body = {.denied = decision.denied_limits, .detail = std::string(problem.detail), .text = {}};
    wire::AppendProblem(problem, body.text);
  }
  return body.text;
}

void QuotaFields::Gather(const engine::Ruleset& rules, std::span<const Request> requests,
                         const Decision& decision) {
  applied_.clear();
  const auto all = rules.policy().rules();
  for (std::size_t i = 0; i < all.size(); ++i) {
    const policy::Rule& rule = all[i];
    const auto bound = std::ranges::find_if(
        requests, [&rule](const Request& request) { return rule.Binds(request); });
    if (bound == requests.end()) continue;
    const Set& set = rules_[i][i == decision.rule ? decision.variant : rule.VariantOf(*bound)];
    applied_.push_back(bound->client.is_v4() ? &set.v4 : &set.v6);
  }
}

void QuotaFields::PutApplied(std::string QuotaMembers::* members, Ends ends,
                             TextWriter& out) const {
  bool any = false;
  for (const QuotaMembers* const one : applied_) {
    if ((one->*members).empty()) continue;
    out.Put(any ? ", " : ends.before);
    out.Put(one->*members);
    any = true;
  }
  if (any) out.Put(ends.after);
}

void QuotaFields::Append(const engine::Ruleset& rules, std::span<const Request> requests,
                         const Decision& decision, Now now, QuotaLines& out) {
  if (decision.rule == Decision::kNone) return;
  Prepare(rules);
  if (forms_.lists() || forms_.draft03) Gather(rules, requests, decision);
  TextWriter lines(out.lines, kAboutLines);
  if (forms_.lists()) {
    PutApplied(&QuotaMembers::policy, {.before = "RateLimit-Policy: ", .after = "\r\n"}, lines);
  }
  if (forms_.left.draft_next) {
    PutApplied(&QuotaMembers::partition, {.before = "RateLimit-Partition: ", .after = "\r\n"},
               lines);
  }
  if (decision.limit != Decision::kNone) {
    draft03_.clear();
    if (forms_.draft03) {
      TextWriter text(draft03_, kAboutLines);
      PutApplied(&QuotaMembers::draft03, {}, text);
    }
    BindingLimit binding{.name = NamesOf(rules, decision).quoted[decision.limit],
                         .quota = decision.quota,
                         .in_flight = CountsInFlight(rules, decision),
                         .cost = {}};
    if (forms_.left.draft_next && requests.size() == 1) {
      binding.cost =
          CostUnder(rules.policy().rules()[decision.rule], requests.front(), binding.in_flight);
    }
    PutBinding(binding, decision, now, forms_, draft03_, lines, out);
  }
  if (!decision.allowed()) wire::PutRetryAfter(RetryAfterOf(decision), lines);
}

}  // namespace sluicegate::http
