// What a door tells the engine about one request. Everything is a view: the door keeps the bytes
// alive for the call.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/ip.h"

namespace sluicegate {

/// What a message of MCP is to the rules. Doors give one only under a policy whose
/// settings().mcp.own_budgets says so.
enum class McpClass : std::uint8_t {
  kNone,    ///< No MCP, or a request that does something: like every other.
  kSetup,   ///< A handshake, a list, a notification or an answer: it has a budget of its own, so
            ///< that who is denied can still connect. Only rules that name its method count it.
  kStream,  ///< A stream of the server's events.
};

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
  McpClass mcp_class = McpClass::kNone;
  /// Values of the fields that the policy asked for (Policy::asked_headers), same order; empty:
  /// absent.
  std::span<const std::string_view> headers{};
  std::string_view mcp_arguments_text{};  ///< All arguments of an MCP call, as JSON text.
  /// Arguments of an MCP call that rules name (Policy::asked_arguments), as JSON text, same order;
  /// empty: absent.
  std::span<const std::string_view> mcp_arguments{};
  /// Units in place of the rule's own cost; 0 peeks. `kRuleCost`: as the rule says.
  static constexpr std::uint64_t kRuleCost = ~std::uint64_t{0};
  std::uint64_t cost = kRuleCost;
  /// It takes places of requests in flight and no units of rates (Rule::AsksRates).
  bool places_only = false;
};

}  // namespace sluicegate
