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

bool Mcp::Matches(std::string_view path) const noexcept {
  return std::ranges::any_of(paths, [path](const Glob& glob) { return glob.Matches(path); });
}

bool Mcp::Fold(std::string_view path, std::string& folded) const {
  const auto differs = [](char c) { return c == ';' || (c >= 'A' && c <= 'Z'); };
  if (path == "/") return false;
  if (!path.ends_with('/') && std::ranges::none_of(path, differs)) return false;
  folded.clear();
  bool parameter = false;
  for (const char c : path) {
    parameter = c != '/' && (parameter || c == ';');
    if (!parameter) folded += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  while (folded.size() > 1 && folded.ends_with('/')) folded.pop_back();
  return folded != path && Matches(folded);
}

bool Mcp::IsAt(std::string_view path) const {
  std::string folded;
  return Matches(path) || Fold(path, folded);
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
