// The keys of the policy file, map by map: what the reader knows, and what the JSON Schema and
// doc/policy.md are checked against.
#pragma once

#include <array>
#include <span>
#include <string_view>

namespace sluicegate::config {

/// One map of the file and the keys that it may have.
struct MapKeys {
  std::string_view map;  ///< As doc/policy.md heads it: "rules[].match".
  std::span<const std::string_view> keys;
};

namespace keys {
using K = std::string_view;
inline constexpr std::array kTop = {
    K("enabled"),    K("listen"),   K("upstream"),    K("clients"),  K("state"),
    K("headers"),    K("timeouts"), K("connections"), K("max_body"), K("access_log"),
    K("request_id"), K("admin"),    K("mcp"),         K("rules")};
inline constexpr std::array kListen = {K("gateway"), K("admin"), K("rls"), K("resp"), K("check")};
inline constexpr std::array kGateway = {K("address"), K("tls"), K("proxy_protocol")};
inline constexpr std::array kServerTls = {K("certificate"), K("key")};
inline constexpr std::array kUpstream = {K("url"), K("tls"), K("rest")};
inline constexpr std::array kUpstreamTls = {K("ca"), K("name"), K("verify")};
inline constexpr std::array kClients = {K("trusted_proxies"), K("trusted_hops"), K("forwarded"),
                                        K("identity")};
inline constexpr std::array kIdentity = {K("header"), K("api_keys"), K("jwt")};
inline constexpr std::array kTokens = {K("key"), K("issuer"), K("audience"), K("claim")};
inline constexpr std::array kState = {K("memory"), K("sketch"), K("file")};
inline constexpr std::array kTimeouts = {K("header"), K("idle"),   K("upstream"),   K("connect"),
                                         K("drain"),  K("tunnel"), K("half_closed")};
inline constexpr std::array kConnections = {K("most"), K("per_client"), K("new_per_second"),
                                            K("body_rate"), K("drain_rate")};
inline constexpr std::array kAdmin = {K("token_file")};
inline constexpr std::array kMcp = {K("paths"), K("max_message"), K("over_limit")};
inline constexpr std::array kOverLimit = {K("tools"), K("status"), K("code")};
inline constexpr std::array kRule = {K("name"),     K("match"),     K("key"),      K("limits"),
                                     K("ceilings"), K("new_keys"),  K("exempt"),   K("overrides"),
                                     K("penalty"),  K("cost"),      K("max_body"), K("mode"),
                                     K("memory"),   K("saturated"), K("fail")};
inline constexpr std::array kMatch = {K("path"),   K("method"),     K("host"),
                                      K("header"), K("mcp_method"), K("mcp_tool")};
inline constexpr std::array kLimit = {K("limit"),  K("algorithm"),   K("name"), K("burst"),
                                      K("refill"), K("concurrency"), K("lease")};
inline constexpr std::array kExempt = {K("clients"), K("users"), K("api_keys")};
inline constexpr std::array kOverride = {K("when"), K("limits")};
inline constexpr std::array kWhen = {K("client"), K("user"), K("api_key")};
inline constexpr std::array kPenalty = {K("violations"), K("within"), K("ban"), K("escalate"),
                                        K("answer")};
inline constexpr std::array kCost = {K("default"), K("arg"), K("max")};
}  // namespace keys

inline constexpr std::array kAllMaps = {
    MapKeys{"top", keys::kTop},
    MapKeys{"listen", keys::kListen},
    MapKeys{"listen.gateway[]", keys::kGateway},
    MapKeys{"listen.gateway[].tls", keys::kServerTls},
    MapKeys{"upstream", keys::kUpstream},
    MapKeys{"upstream.tls", keys::kUpstreamTls},
    MapKeys{"clients", keys::kClients},
    MapKeys{"clients.identity", keys::kIdentity},
    MapKeys{"clients.identity.jwt", keys::kTokens},
    MapKeys{"state", keys::kState},
    MapKeys{"timeouts", keys::kTimeouts},
    MapKeys{"connections", keys::kConnections},
    MapKeys{"admin", keys::kAdmin},
    MapKeys{"mcp", keys::kMcp},
    MapKeys{"mcp.over_limit", keys::kOverLimit},
    MapKeys{"rules[]", keys::kRule},
    MapKeys{"rules[].match", keys::kMatch},
    MapKeys{"rules[].limits[]", keys::kLimit},
    MapKeys{"rules[].exempt", keys::kExempt},
    MapKeys{"rules[].overrides[]", keys::kOverride},
    MapKeys{"rules[].overrides[].when", keys::kWhen},
    MapKeys{"rules[].penalty", keys::kPenalty},
    MapKeys{"rules[].cost", keys::kCost},
};

}  // namespace sluicegate::config
