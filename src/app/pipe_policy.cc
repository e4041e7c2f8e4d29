#include "app/pipe_policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "policy/glob.h"

namespace sluicegate::app {
namespace {

using policy::RuleConfig;

bool SaysOfMemory(const policy::Config& config) {
  return config.state_memory.has_value() || config.state_sketch || config.state_file ||
         std::ranges::any_of(config.rules,
                             [](const RuleConfig& rule) { return rule.memory.has_value(); });
}

// Patterns of which one must match, and none does what is not there.
bool AllNeedText(const std::vector<policy::Text>& patterns, policy::Glob::Subject subject) {
  const auto matches = [subject](const policy::Text& pattern) {
    const auto glob = policy::Glob::Compile(pattern.value, subject);
    return !glob || glob->Matches("");  // What is no pattern is a mistake that is told elsewhere.
  };
  return !patterns.empty() && std::ranges::none_of(patterns, matches);
}

// What it asks for in vain; empty: nothing.
std::string_view Missing(const policy::MatchConfig& match) {
  if (AllNeedText(match.path, policy::Glob::Subject::kPath)) return "path";
  if (!match.method.empty()) return "method of HTTP";
  if (AllNeedText(match.host, policy::Glob::Subject::kText)) return "host";
  return match.header.empty() ? "" : "header";
}

}  // namespace

void FitToPipe(policy::Config& config) {
  if (SaysOfMemory(config)) return;
  config.state_memory = policy::Text{.value = kPipeMemory, .at = {}};
}

Lines NotesOnPipe(const policy::Config& config) {
  Lines notes;
  for (const RuleConfig& rule : config.rules) {
    const std::string_view missing = Missing(rule.match);
    if (missing.empty()) continue;
    notes.push_back(
        fmt::format("rule '{}' asks for a {}, which no message on a pipe has, so it limits nothing "
                    "here. Name tools or methods of MCP (mcp_tool, mcp_method), or nothing.",
                    rule.name ? rule.name->value : "", missing));
  }
  return notes;
}

}  // namespace sluicegate::app
