#include "policy/mcp.h"

#include <algorithm>
#include <array>
#include <string>

namespace sluicegate::policy {
namespace {

// What a client needs to begin and to know what there is.
constexpr std::array<std::string_view, 8> kSetup = {
    "initialize",     "server/discover",          "ping", "tools/list", "prompts/list",
    "resources/list", "resources/templates/list", ""};

}  // namespace

bool Mcp::IsAt(std::string_view path) const {
  const auto matches = [this](std::string_view text) {
    return std::ranges::any_of(paths, [text](const Glob& glob) { return glob.Matches(text); });
  };
  if (matches(path)) return true;
  // Servers serve /mcp/ and some /MCP as well.
  std::string folded(path);
  for (char& c : folded) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  while (folded.size() > 1 && folded.ends_with('/')) folded.pop_back();
  return folded != path && matches(folded);
}

void Mcp::Classify(Request& request, bool accepts_events) const noexcept {
  if (!own_budgets) return;
  if (request.method == "GET" && accepts_events) {
    request.mcp_class = McpClass::kStream;
    request.places_only = true;
  }
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
