// What the templates of mcp.h leave to be compiled once, and the program's statistics.
#include "sluicegate/mcp.h"

#include <algorithm>

#include "base/mcp_denial.h"
#include "engine/tool_statistics.h"
#include "limit/compiled_limit.h"
#include "limit/saturating.h"

namespace sluicegate {
namespace {

// Never destroyed, so that destructors of statics may still call tools.
engine::ToolStatistics& Tools() {
  static auto* const tools = new engine::ToolStatistics;
  return *tools;
}

std::uint64_t SecondsOf(std::uint64_t ns) noexcept {
  return std::max<std::uint64_t>(limit::DivideRoundingUp(ns, 1'000'000'000), 1);
}

std::optional<std::uint64_t> WindowSeconds(const Limit& limit) {
  if (limit.algorithm == Algorithm::kConcurrency) return std::nullopt;
  const auto compiled = limit::CompiledLimit::Compile(limit);
  return compiled ? std::optional(SecondsOf(compiled->window_ns())) : std::nullopt;
}

}  // namespace

std::optional<ToolReport> GetToolStatistics(std::string_view tool) { return Tools().Read(tool); }
std::vector<ToolReport> GetAllToolStatistics() { return Tools().Read(); }
bool ResetToolStatistics(std::string_view tool) { return Tools().Reset(tool); }
void ResetAllToolStatistics() { Tools().ResetAll(); }

std::string ToolDenied::message() const { return Denied::message("tool " + tool); }

std::string ToolDenied::result() const {
  const std::string text = message();
  const std::uint64_t wait_ns = decision.retry_after_ns;
  const McpDenial denial{.text = text,
                         .retry_after_s = wait_ns == Decision::kNever
                                              ? std::nullopt
                                              : std::optional(SecondsOf(wait_ns)),
                         .policy = limit.name,
                         .quota = limit.quota,
                         .remaining = decision.remaining,
                         .window_s = WindowSeconds(limit)};
  std::string json;
  AppendToolResult(denial, modern, json);
  return json;
}

void internal::CountToolCall(std::string_view tool, bool limited) {
  Tools().Count(tool, limited, limited ? SystemClock().Read() : Now{});
}

}  // namespace sluicegate
