#include "policy/mcp.h"

#include <algorithm>
#include <array>

namespace sluicegate::policy {
namespace {

// What a client needs to begin and to know what there is.
constexpr std::array<std::string_view, 8> kSetup = {
    "initialize",     "server/discover",          "ping", "tools/list", "prompts/list",
    "resources/list", "resources/templates/list", ""};

}  // namespace

bool Mcp::IsAt(std::string_view path) const noexcept {
  return std::ranges::any_of(paths, [path](const Glob& glob) { return glob.Matches(path); });
}

void Mcp::Classify(Request& request) const noexcept {
  if (!own_budgets) return;
  request.places_only = request.method == "GET";
  if (request.places_only) request.mcp_class = McpClass::kStream;
  if (request.method == "DELETE") request.mcp_class = McpClass::kSetup;
}

McpClass Mcp::ClassOf(std::string_view method) const noexcept {
  if (!own_budgets) return McpClass::kNone;
  if (method == "subscriptions/listen") return McpClass::kStream;
  const bool setup =
      method.starts_with("notifications/") || std::ranges::find(kSetup, method) != kSetup.end();
  return setup ? McpClass::kSetup : McpClass::kNone;
}

}  // namespace sluicegate::policy
