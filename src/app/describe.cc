#include "app/describe.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>
#include <vector>

#include "app/words.h"
#include "limit/compiled_limit.h"
#include "limit/saturating.h"

namespace sluicegate::app {
namespace {

using Json = nlohmann::ordered_json;
using policy::Glob;
using policy::Rule;

bool Denies(const policy::Policy& policy, const Rule& rule) {
  return policy.enabled() && rule.mode() == policy::Mode::kEnforce;
}

std::string Patterns(std::span<const Glob> globs) {
  std::string text;
  for (const Glob& glob : globs) {
    text += fmt::format("{}`{}`", text.empty() ? "" : " or ", glob.pattern());
  }
  return text;
}

void AddCondition(std::string& text, std::string_view what, const std::string& patterns) {
  if (patterns.empty()) return;
  text += fmt::format("{}{} {}", text.empty() ? "" : ", ", what, patterns);
}

/// "path `/api/**`, method GET", or "every request".
std::string AppliesTo(const policy::Policy& policy, const Rule& rule) {
  const policy::Match& match = rule.match();
  std::string text;
  AddCondition(text, "path", Patterns(match.paths));
  AddCondition(text, "method", fmt::format("{}", fmt::join(match.methods, " or ")));
  AddCondition(text, "host", Patterns(match.hosts));
  for (const policy::Match::Header& header : match.headers) {
    AddCondition(text, fmt::format("field {}", policy.asked_headers()[header.index]),
                 Patterns(header.values));
  }
  AddCondition(text, "MCP method", Patterns(match.mcp_methods));
  AddCondition(text, "MCP tool", Patterns(match.mcp_tools));
  if (match.reserved == McpClass::kStream) AddCondition(text, "streams", "of MCP");
  if (match.reserved == McpClass::kSetup && match.mcp_methods.empty()) {
    AddCondition(text, "handshakes, lists and notifications", "of MCP");
  }
  return text.empty() ? "every request" : text;
}

std::string CountedBy(const Rule& rule) {
  std::vector<std::string_view> parts;
  for (const policy::KeyPart& part : rule.key()) parts.push_back(part.text);
  return parts.empty() ? "all clients together" : fmt::format("{}", fmt::join(parts, " and "));
}

Json LimitsJson(const policy::LimitSet& set) {
  Json limits = Json::array();
  for (const policy::RuleLimit& limit : set.limits) {
    const bool lease = limit.limit.algorithm() == Algorithm::kConcurrency;
    limits.push_back({{"name", limit.name},
                      {"algorithm", limit::AlgorithmName(limit.limit.algorithm())},
                      {"quota", limit.limit.quota()},
                      {lease ? "lease_seconds" : "window_seconds",
                       static_cast<double>(limit.limit.window_ns()) / 1e9},
                      {"text", LimitText(limit)}});
  }
  return limits;
}

std::string PenaltyText(const policy::Penalty& penalty) {
  const std::uint64_t first_ns = limit::MultiplySaturating(
      static_cast<std::uint64_t>(penalty.ban.count()), penalty.escalate.front());
  const bool grows = std::ranges::max(penalty.escalate) > penalty.escalate.front();
  return fmt::format(
      "{} denied requests within {} lead to a ban of {}{}.{}", CountText(penalty.violations),
      DurationText(static_cast<std::uint64_t>(penalty.within.count())), DurationText(first_ns),
      grows ? ", longer when repeated" : "",
      penalty.drop ? " While it lasts, connections are closed without an answer." : "");
}

std::string TimesText(std::uint64_t factor) {
  return factor == 1 ? "once" : fmt::format("{} times", CountText(factor));
}

/// What the clients of a network share. REQUIRES: the rule has ceilings.
std::string CeilingsText(const Rule& rule) {
  std::string text;
  for (const policy::Ceiling& ceiling : rule.ceilings()) {
    text += text.empty() ? fmt::format("Together the clients of an IPv6 /{} have these limits {}",
                                       ceiling.prefix_bits, TimesText(ceiling.factor))
                         : fmt::format(", those of a /{} {}", ceiling.prefix_bits,
                                       TimesText(ceiling.factor));
  }
  const bool leases = rule.leases().slot_bytes > 0;
  return text + (leases ? ". Requests at the same time are not counted together." : ".");
}

/// REQUIRES: the rule has a budget of new keys.
std::string NewKeysText(const Rule& rule) {
  const limit::CompiledLimit& budget = rule.new_keys()->limit;
  return fmt::format(
      "A network that brings more than {} new clients in {} shares these limits among further "
      "ones.",
      CountText(budget.quota()), DurationText(budget.window_ns()));
}

void AppendRule(const policy::Policy& policy, const Rule& rule, std::string& page) {
  page += fmt::format("\n## {}\n\nApplies to {}; counted by {}.", rule.name(),
                      AppliesTo(policy, rule), CountedBy(rule));
  if (rule.cost().fallback != 1) {
    page += fmt::format(" A request takes {} units.", rule.cost().fallback);
  }
  if (rule.Tightens(policy.settings().max_body)) {
    page += fmt::format(" A request's body has at most {}.", BytesText(rule.max_body()));
  }
  page += "\n\n| limit | what is allowed |\n|---|---|\n";
  for (const policy::RuleLimit& limit : rule.variants()[0].limits) {
    page += fmt::format("| {} | {} |\n", limit.name, LimitText(limit));
  }
  if (rule.variants().size() > 1) page += "\nSome callers have limits of their own.\n";
  if (!rule.ceilings().empty()) page += "\n" + CeilingsText(rule) + "\n";
  if (rule.new_keys()) page += "\n" + NewKeysText(rule) + "\n";
  if (rule.penalty()) page += "\n" + PenaltyText(*rule.penalty()) + "\n";
}

constexpr std::string_view kAdvice =
    "\n## When a limit is reached\n\n"
    "The answer is 429 with a body of type `application/problem+json` and `Retry-After`: the "
    "seconds\n"
    "after which the same request fits all limits at once. A denied request takes nothing from "
    "any\n"
    "limit. Wait as long, do not retry sooner, and spread requests over time.\n";

// Clients of MCP read no other answers.
std::string McpAdvice(const policy::Mcp& mcp) {
  const std::string error =
      fmt::format("status {} and a JSON-RPC error of code {}", mcp.status, mcp.code);
  const std::string call = mcp.tool_results ? "a call of a tool with status 200 and a result whose "
                                              "`isError` is true, any other one with "
                                            : "with ";
  return fmt::format(
      "\nMessages of MCP, at {}, are denied otherwise: {}{}. `retryAfterSeconds` is in it.\n",
      Patterns(mcp.paths), call, error);
}

}  // namespace

std::string DescribeMarkdown(const policy::Policy& policy) {
  std::string page = "# Rate limits\n";
  const std::uint64_t max_body = policy.settings().max_body;
  if (max_body > 0) {
    page += fmt::format("\nNo request's body has more than {}.\n", BytesText(max_body));
  }
  bool any = false;
  for (const Rule& rule : policy.rules()) {
    if (!Denies(policy, rule)) continue;
    AppendRule(policy, rule, page);
    any = true;
  }
  if (any) {
    const policy::Mcp& mcp = policy.settings().mcp;
    return page + std::string(kAdvice) + (mcp.paths.empty() ? "" : McpAdvice(mcp));
  }
  return page + (max_body > 0 ? "\nNothing else is limited.\n" : "\nNothing is limited.\n");
}

std::string DescribeJson(const policy::Policy& policy) {
  Json rules = Json::array();
  for (const Rule& rule : policy.rules()) {
    if (!Denies(policy, rule)) continue;
    Json told{{"name", rule.name()},
              {"applies_to", AppliesTo(policy, rule)},
              {"counted_by", CountedBy(rule)},
              {"cost", rule.cost().fallback},
              {"limits", LimitsJson(rule.variants()[0])}};
    if (rule.Tightens(policy.settings().max_body)) told["max_body_bytes"] = rule.max_body();
    if (!rule.ceilings().empty()) told["ceilings"] = CeilingsText(rule);
    if (rule.new_keys()) told["new_keys"] = NewKeysText(rule);
    if (rule.penalty()) told["penalty"] = PenaltyText(*rule.penalty());
    rules.push_back(std::move(told));
  }
  Json page = Json::object();
  if (policy.settings().max_body > 0) page["max_body_bytes"] = policy.settings().max_body;
  page["rules"] = std::move(rules);
  return page.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

}  // namespace sluicegate::app
