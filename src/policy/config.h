// A configuration as it was written: nothing checked, every value the text that stood there with
// its place in the file, so that each mistake can be told with line and column. The YAML reader
// (config/) fills it, or a program by hand (places are 0 then). Value types. Field by field it is
// the policy file; doc/policy.md says what each means.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sluicegate::policy {

/// A place in a file, counted from 1; 0: not from a file.
struct Position {
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  friend auto operator<=>(const Position&, const Position&) = default;
};

/// What is wrong, where, and what to write instead. `what` and `mend` are sentences.
struct Mistake {
  Position at;
  std::string what;
  std::string mend;
};

/// A value and its place.
template <class T>
struct Located {
  T value{};
  Position at;
};

using Text = Located<std::string>;
using MaybeText = std::optional<Text>;

/// `60/minute`, or a map with one of `limit`, `burst` and `concurrency`.
struct LimitConfig {
  Position at;
  MaybeText limit;
  MaybeText algorithm;
  MaybeText name;
  MaybeText burst;
  MaybeText refill;
  MaybeText concurrency;
  MaybeText lease;
};

/// `56: x4`: one entry of a rule's ceilings.
struct CeilingConfig {
  Text prefix;
  Text factor;
};

struct HeaderMatchConfig {
  Text name;
  std::vector<Text> values;
};

/// All that are given must hold; of each list one.
struct MatchConfig {
  std::vector<Text> path;
  std::vector<Text> method;
  std::vector<Text> host;
  std::vector<HeaderMatchConfig> header;
  std::vector<Text> mcp_method;
  std::vector<Text> mcp_tool;
};

/// Whom an exemption or an override means.
struct WhoConfig {
  std::vector<Text> clients;
  std::vector<Text> users;
  std::vector<Text> api_keys;
};

struct OverrideConfig {
  Position at;
  WhoConfig when;
  std::vector<LimitConfig> limits;
};

struct PenaltyConfig {
  Position at;
  MaybeText violations;
  MaybeText within;
  MaybeText ban;
  std::vector<Text> escalate;
  MaybeText answer;
};

struct CostConfig {
  MaybeText fallback;
  MaybeText argument;
  MaybeText max;
};

struct RuleConfig {
  Position at;
  MaybeText name;
  MatchConfig match;
  std::optional<std::vector<Text>> key;
  std::vector<LimitConfig> limits;
  std::vector<CeilingConfig> ceilings;
  MaybeText new_keys;
  WhoConfig exempt;
  std::vector<OverrideConfig> overrides;
  std::optional<PenaltyConfig> penalty;
  CostConfig cost;
  MaybeText max_body;
  MaybeText mode;
  MaybeText memory;
  MaybeText saturated;
  MaybeText fail;
};

struct ServerTlsConfig {
  Position at;
  MaybeText certificate;
  MaybeText key;
};

/// `127.0.0.1:8080`, or a map.
struct GatewayListenerConfig {
  Position at;
  MaybeText address;
  std::optional<ServerTlsConfig> tls;
  MaybeText proxy_protocol;
};

struct ListenConfig {
  std::vector<GatewayListenerConfig> gateway;
  MaybeText admin;
  MaybeText rls;
  MaybeText resp;
  MaybeText check;
};

struct UpstreamTlsConfig {
  Position at;
  MaybeText ca;
  MaybeText name;
  MaybeText verify;
};

struct UpstreamConfig {
  std::optional<std::vector<Text>> urls;
  std::optional<UpstreamTlsConfig> tls;
  MaybeText rest;
};

struct TokensConfig {
  Position at;
  MaybeText key;
  MaybeText issuer;
  std::vector<Text> audience;
  MaybeText claim;
};

struct ClientsConfig {
  std::vector<Text> trusted_proxies;
  MaybeText trusted_hops;
  MaybeText forwarded;
  MaybeText identity_header;
  MaybeText identity_api_keys;
  std::optional<TokensConfig> identity_jwt;
  bool door_names_users = false;  ///< By itself: nothing of a policy, and no mistake of one.
};

struct TimeoutsConfig {
  MaybeText header;
  MaybeText idle;
  MaybeText upstream;
  MaybeText connect;
  MaybeText drain;
  MaybeText tunnel;
  MaybeText half_closed;
};

struct ConnectionsConfig {
  MaybeText most;
  MaybeText per_client;
  MaybeText new_per_second;
  MaybeText body_rate;
  MaybeText drain_rate;
};

struct McpConfig {
  Position at;
  std::optional<std::vector<Text>> paths;
  MaybeText max_message;
  MaybeText tools;
  MaybeText status;
  MaybeText code;
};

struct Config {
  MaybeText enabled;
  ListenConfig listen;
  UpstreamConfig upstream;
  ClientsConfig clients;
  MaybeText state_memory;
  MaybeText state_sketch;
  MaybeText state_file;
  TimeoutsConfig timeouts;
  ConnectionsConfig connections;
  MaybeText max_body;
  MaybeText admin_token_file;
  MaybeText access_log;
  MaybeText request_id;
  std::optional<std::vector<Text>> headers;
  std::optional<McpConfig> mcp;
  std::vector<RuleConfig> rules;
};

}  // namespace sluicegate::policy
