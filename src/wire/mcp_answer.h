// What a client of MCP is told in place of its server's answer. Pure; every Append adds one JSON
// text to the caller's string.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluicegate::wire {

/// JSON-RPC's error of MCP's revision 2026-07-28: a header does not say what the body says.
inline constexpr int kMcpHeaderMismatch = -32020;
inline constexpr int kMcpInvalidRequest = -32600;

/// A message that has no room under its limits.
struct McpDenial {
  std::string_view id;    ///< The message's own, as JSON text.
  std::string_view text;  ///< What a model or a person can act on.
  /// Absent: no wait helps.
  std::optional<std::uint64_t> retry_after_s = std::nullopt;
  // Of the limit that binds. An empty policy: none does, as for a ban.
  std::string_view policy = {};  ///< The rule's name.
  std::uint64_t quota = 0;
  std::uint64_t remaining = 0;
  std::optional<std::uint64_t> window_s = std::nullopt;  ///< Absent: it counts what is in flight.
};

/// The numbers alone, as a JSON object: `retryAfterSeconds`, `limit`, `remaining`, `window`,
/// `policy`, each where it is known.
void AppendNumbers(const McpDenial& denial, std::string& out);

/// The answer to tools/call: a *result* that says `isError`, as models read those. `modern`: of
/// 2026-07-28, whose results say that they are complete. The numbers stand in `_meta`.
void AppendToolDenial(const McpDenial& denial, bool modern, std::string& out);

/// The answer to any other request: an error of `code`, with the numbers in `data`.
void AppendErrorDenial(const McpDenial& denial, int code, std::string& out);

/// An error without data. `id`: JSON text.
void AppendMcpError(std::string_view id, int code, std::string_view message, std::string& out);

}  // namespace sluicegate::wire
