// What a client of MCP is told in place of its server's answer. Pure; every Append adds one JSON
// text to the caller's string.
#pragma once

#include <string>
#include <string_view>

#include "base/mcp_denial.h"

namespace sluicegate::wire {

/// JSON-RPC's error of MCP's revision 2026-07-28: a header does not say what the body says.
inline constexpr int kMcpHeaderMismatch = -32020;
inline constexpr int kMcpInvalidRequest = -32600;

/// The answer to a denied tools/call: a *result*, as models read those (AppendToolResult). `id`, of
/// each: the message's own, as JSON text.
void AppendToolDenial(std::string_view id, const McpDenial& denial, bool modern, std::string& out);

/// The answer to any other request: an error of `code`, with the numbers in `data`.
void AppendErrorDenial(std::string_view id, const McpDenial& denial, int code, std::string& out);

/// An error without data.
void AppendMcpError(std::string_view id, int code, std::string_view message, std::string& out);

}  // namespace sluicegate::wire
