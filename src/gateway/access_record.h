// AccessRecord: one request, when it is over, for the access log. A value type.
//
// It never holds an address, a query, a field of the request or anything else that could be a
// secret: what a client sent of it is its method, path, host and the words of MCP, each cut to a
// bound, and they may have any bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sluicegate/decision.h"
#include "sluicegate/time.h"

namespace sluicegate::gateway {

struct AccessRecord {
  // Of what clients send so many bytes are kept at most, so that a line has a bound, and so has
  // what a connection keeps room for.
  static constexpr std::size_t kMostPath = 2048;
  static constexpr std::size_t kMostName = 256;  ///< Of a host or a word of MCP.
  static constexpr std::size_t kMostMethod = 32;

  std::string request_id;           ///< Empty: the policy has none.
  Now begun;                        ///< When its first byte was seen.
  std::uint64_t duration_ns = 0;    ///< Until its end.
  std::string method;               ///< Empty: its head was refused, or did not come.
  std::string path;                 ///< Normalised, without the query. Empty: likewise, or no path.
  std::string host;                 ///< As it came.
  std::uint16_t status = 0;         ///< 0: no answer was begun.
  std::uint64_t request_bytes = 0;  ///< Of its body: as announced, or as far as chunks were read.
  std::uint64_t response_bytes = 0;  ///< That the system took for the client, heads included.
  bool whole = false;                ///< The answer was written to its end.
  std::optional<Verdict> verdict;    ///< Absent: refused before anything was decided.
  std::string rule;                  ///< Which binds; empty: none.
  std::string limit;                 ///< Likewise; empty also with a ban.
  std::uint64_t key_hash = 0;        ///< Of the rule that binds. Never to be written as it is.
  std::string upstream;              ///< The URL of the server that answered; empty: none.
  bool upstream_reused = false;      ///< On a connection that was used before.
  std::string trace_id;              ///< Of W3C Trace Context; empty: none.
  std::string mcp_method;            ///< Of the first message; empty: no MCP.
  std::string mcp_tool;
  bool tls = false;
  bool websocket = false;  ///< It went on as one.

  /// As new, but for the strings' room.
  void Clear() noexcept;
};

inline void AccessRecord::Clear() noexcept {
  for (std::string* text : {&request_id, &method, &path, &host, &rule, &limit, &upstream, &trace_id,
                            &mcp_method, &mcp_tool}) {
    text->clear();
  }
  duration_ns = request_bytes = response_bytes = key_hash = 0;
  status = 0;
  verdict.reset();
  whole = upstream_reused = tls = websocket = false;
}

}  // namespace sluicegate::gateway
