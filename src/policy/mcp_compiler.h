// What a policy says of MCP: its settings, and the rules that are built in. Private to policy.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "policy/config.h"
#include "policy/mcp.h"
#include "policy/mistakes.h"
#include "policy/rule.h"

namespace sluicegate::policy {

/// The settings of `mcp`, its defaults where it says nothing.
[[nodiscard]] Mcp CompileMcp(const Config& config, Mistakes& mistakes);

/// Warns where no message of MCP can meet the rule that was compiled from `config`.
void WarnOfUnmetMcp(const RuleConfig& config, const Match& match, const Mcp& mcp,
                    Mistakes& mistakes);

/// A built-in rule. One that the file has under its name stands in its place.
struct BuiltInRule {
  std::string_view name;
  McpClass reserved = McpClass::kNone;  ///< The messages that it is for.
};
[[nodiscard]] std::span<const BuiltInRule> BuiltInRules() noexcept;

/// The configurations of those that the file does not have, for a policy of so much memory.
[[nodiscard]] std::vector<RuleConfig> MakeBuiltInRules(const Config& config, std::size_t memory,
                                                       bool has_users);

}  // namespace sluicegate::policy
