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
    Unit{.ns = 86'400 * kSecondNs, .name = "day"}, Unit{.ns = 3600 * kSecondNs, .name = "hour"},
    Unit{.ns = 60 * kSecondNs, .name = "minute"}, Unit{.ns = kSecondNs, .name = "second"},
    Unit{.ns = 1'000'000, .name = "millisecond"}};

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

std::uint64_t WindowOf(const engine::Ruleset& rules, const Decision& decision) noexcept {
  const policy::Rule& rule = rules.policy().rules()[decision.rule];
  return rule.variants()[decision.variant].limits[decision.limit].limit.window_ns();
}

std::string Reason(const engine::Ruleset& rules, const Decision& decision) {
  if (decision.verdict == Verdict::kBanned) return ": calls went on after many denials. ";
  if (decision.limit == Decision::kNone) return ": its limit cannot be asked at the moment. ";
  const std::string quota = std::to_string(decision.quota);
  const std::string limit = CountsInFlight(rules, decision)
                                ? quota + " at the same time"
                                : quota + " per " + WindowWords(WindowOf(rules, decision));
  if (decision.retry_after_ns != Decision::kNever) return ": " + limit + ". ";
  return ": it costs more than " + limit + " ever allows. ";
}

std::uint64_t WaitSeconds(const Decision& decision) noexcept {
  return std::max<std::uint64_t>(wire::CeilSeconds(decision.retry_after_ns), 1);
}

}  // namespace

std::string DenialText(const engine::Ruleset& rules, const Decision& decision,
                       std::string_view what) {
  std::string text = "Rate limit exceeded for " + std::string(what) + Reason(rules, decision);
  text += decision.retry_after_ns == Decision::kNever
              ? "Ask for less."
              : "Retry after " + Counted(WaitSeconds(decision), "second") + '.';
  return text;
}

wire::McpDenial DenialNumbers(const engine::Ruleset& rules, const Decision& decision) noexcept {
  wire::McpDenial denial{.id = {}, .text = {}};
  if (decision.retry_after_ns != Decision::kNever) denial.retry_after_s = WaitSeconds(decision);
  if (decision.rule == Decision::kNone || decision.limit == Decision::kNone) return denial;
  denial.policy = rules.policy().rules()[decision.rule].name();
  denial.quota = decision.quota;
  denial.remaining = decision.remaining;
  if (!CountsInFlight(rules, decision)) {
    denial.window_s = std::max<std::uint64_t>(wire::CeilSeconds(WindowOf(rules, decision)), 1);
  }
  return denial;
}

}  // namespace sluicegate::http
