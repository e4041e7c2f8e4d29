// The pages of the admin API about the tools of MCP that clients called. Pure. Their names come
// from clients: they are shown here, as JSON strings, and nowhere else.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "sluicegate/tool_statistics.h"

namespace sluicegate::admin {

/// {"tools": [...]}, in the order given.
[[nodiscard]] std::string RenderTools(std::span<const ToolReport> reports);
/// {"tool": "search", "total_calls": 3, "limited_calls": 1, "last_limited": "2026-11-26T12:33:35Z",
/// "limited_rate": 0.333}; `last_limited` is null if none was limited.
[[nodiscard]] std::string RenderTool(const ToolReport& report);

/// The name that is written in a path, where any byte may be escaped. Nothing: a `%` without two
/// hexadecimal digits.
[[nodiscard]] std::optional<std::string> ToolNameOf(std::string_view escaped);

}  // namespace sluicegate::admin
