#include "http/mcp_words.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "http/quota_fields.h"
#include "wire/rate_limit_fields.h"

namespace sluicegate::http {
namespace {

struct Unit {
  std::uint64_t ns;
  std::string_view name;
};
constexpr std::uint64_t kSecondNs = 1'000'000'000;
constexpr std::array kUnits = {
    Unit{.ns = 604'800 * kSecondNs, .name = "week"}, Unit{.ns = 86'400 * kSecondNs, .name = "day"},
    Unit{.ns = 3600 * kSecondNs, .name = "hour"},    Unit{.ns = 60 * kSecondNs, .name = "minute"},
    Unit{.ns = kSecondNs, .name = "second"},         Unit{.ns = 1'000'000, .name = "millisecond"}};

std::string Counted(std::uint64_t count, std::string_view what) {
  return std::to_string(count) + ' ' + std::string(what) + (count == 1 ? "" : "s");
}

// "minute", "30 seconds": in the longest unit that it is a whole number of.
std::string WindowWords(std::uint64_t ns) {
  for (const Unit& unit : kUnits) {
    if (ns % unit.ns != 0) continue;
    const std::uint64_t count = ns / unit.ns;
    return count == 1 ? std::string(unit.name) : Counted(count, unit.name);
  }
  return std::to_string(ns) + " nanoseconds";
}

// Nothing: none of a rule's limits binds.
std::optional<DenyingLimit> LimitOf(const engine::Ruleset& rules,
                                    const Decision& decision) noexcept {
  const policy::RuleLimit* const binding = rules.policy().BindingLimit(decision);
  if (binding == nullptr) return std::nullopt;
  DenyingLimit limit{.quota = decision.quota, .window_ns = std::nullopt};
  if (!CountsInFlight(rules, decision)) limit.window_ns = binding->limit.window_ns();
  return limit;
}

std::string Reason(const Decision& decision, const std::optional<DenyingLimit>& limit) {
  if (decision.verdict == Verdict::kBanned) {
    return decision.retry_after_ns == Decision::kNever
               ? ": calls went on after many denials, and this one costs more than is ever "
                 "allowed. "
               : ": calls went on after many denials. ";
  }
  if (!limit) return ": its limit cannot be asked at the moment. ";
  std::string words = std::to_string(limit->quota);
  words += limit->window_ns ? " per " + WindowWords(*limit->window_ns) : " at the same time";
  if (decision.retry_after_ns != Decision::kNever) return ": " + words + ". ";
  return ": it costs more than " + words + " ever allows. ";
}

std::uint64_t WaitSeconds(const Decision& decision) noexcept {
  return std::max<std::uint64_t>(wire::CeilSeconds(decision.retry_after_ns), 1);
}

}  // namespace

std::string WhatIsAsked(std::string_view method, std::string_view tool) {
  if (!tool.empty()) return "tool " + std::string(tool);
  return method.empty() ? "this request" : std::string(method);
}

std::string DenialText(const Decision& decision, const std::optional<DenyingLimit>& limit,
                       std::string_view what) {
  return "Rate limit exceeded for " + std::string(what) + Reason(decision, limit) +
         RetryText(decision);
}

std::string DenialText(const engine::Ruleset& rules, const Decision& decision,
                       std::string_view what) {
  return DenialText(decision, LimitOf(rules, decision), what);
}

std::string RetryText(const Decision& decision) {
  if (decision.retry_after_ns == Decision::kNever) return "Ask for less.";
  return "Retry after " + Counted(WaitSeconds(decision), "second") + '.';
}

McpDenial DenialNumbers(const engine::Ruleset& rules, const Decision& decision) noexcept {
  McpDenial denial{.text = {}};
  if (decision.retry_after_ns != Decision::kNever) denial.retry_after_s = WaitSeconds(decision);
  const auto limit = LimitOf(rules, decision);
  if (!limit) return denial;
  denial.policy = rules.policy().rules()[decision.rule].name();
  denial.quota = limit->quota;
  denial.remaining = decision.remaining;
  if (limit->window_ns) {
    denial.window_s = std::max<std::uint64_t>(wire::CeilSeconds(*limit->window_ns), 1);
  }
  return denial;
}

}  // namespace sluicegate::http
