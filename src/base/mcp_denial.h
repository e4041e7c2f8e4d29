// What a client of MCP is told of a call that has no room under its limits, apart from the message
// that carries it: the gateway's JSON-RPC, or a server of somebody's own. Pure; every Append adds
// one JSON text to the caller's string.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluicegate {

/// A value type; its views are the caller's.
struct McpDenial {
  std::string_view text;  ///< What a model or a person can act on.
  /// Absent: no wait helps.
  std::optional<std::uint64_t> retry_after_s = std::nullopt;
  // Of the limit that binds. An empty policy: none does, as for a ban.
  std::string_view policy = {};  ///< What the server calls it.
  std::uint64_t quota = 0;
  std::uint64_t remaining = 0;
  std::optional<std::uint64_t> window_s = std::nullopt;  ///< Absent: it counts what is in flight.
};

/// The result of tools/call: one that says `isError`, as models read those, with the numbers in
/// `_meta`. `modern`: of 2026-07-28, whose results say that they are complete.
void AppendToolResult(const McpDenial& denial, bool modern, std::string& out);

/// {"retryAfterSeconds":7,"limit":10,"remaining":0,"window":60,"policy":"search"}, without what is
/// absent.
void AppendDenialNumbers(const McpDenial& denial, std::string& out);

}  // namespace sluicegate
