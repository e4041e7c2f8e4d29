// What a door tells the engine about one request. Everything is a view: the door keeps the bytes
// alive for the call.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/ip.h"

namespace sluicegate {

struct Request {
  /// The client's address, already chosen by the door (doc/gateway.md). Masked to its /64 by the
  /// key, not here.
  IpAddress client{};
  std::string_view method{};      ///< "GET"; empty where the door has none.
  std::string_view path{};        ///< Normalised (wire/path.h), without the query.
  std::string_view host{};        ///< Lower case, without the port.
  std::string_view user{};        ///< A verified or trusted identity; empty: none.
  std::string_view api_key_id{};  ///< The id of a verified API key (never the key); empty: none.
  std::string_view mcp_method{};
  std::string_view mcp_tool{};
  /// Values of the fields that the policy asked for (Policy::asked_headers), same order; empty:
  /// absent.
  std::span<const std::string_view> headers{};
  /// Arguments of an MCP call that rules name (Policy::asked_arguments), as JSON text, same order;
  /// empty: absent.
  std::span<const std::string_view> mcp_arguments{};
  /// Units in place of the rule's own cost; 0 peeks. `kRuleCost`: as the rule says.
  static constexpr std::uint64_t kRuleCost = ~std::uint64_t{0};
  std::uint64_t cost = kRuleCost;
};

}  // namespace sluicegate
