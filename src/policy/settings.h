// What the doors need of a policy beside its rules, checked and ready to use. Value types.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/ip.h"
#include "policy/mcp.h"
#include "sluicegate/time.h"

namespace sluicegate::policy {

/// HOST:PORT of a listener. The host is an address, never a name.
struct Endpoint {
  IpAddress address;
  std::uint16_t port = 0;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

/// Files in PEM. A path that is not absolute counts from the folder that the program runs in.
struct ServerTls {
  std::string certificate_file;
  std::string key_file;
  friend bool operator==(const ServerTls&, const ServerTls&) = default;
};

struct GatewayListener {
  Endpoint endpoint;
  std::optional<ServerTls> tls = {};
  bool proxy_protocol = false;  ///< Trusted proxies begin their connections with its header.
  friend bool operator==(const GatewayListener&, const GatewayListener&) = default;
};

struct UpstreamServer {
  std::string host = {};  ///< A name or an address, without brackets.
  std::uint16_t port = 80;
  bool tls = false;
  std::string socket_path = {};  ///< Of a Unix socket; then `host` is empty.
  friend bool operator==(const UpstreamServer&, const UpstreamServer&) = default;
};

/// How the servers that are reached by TLS prove who they are.
struct UpstreamTls {
  std::string ca_file = {};  ///< Empty: the system's authorities.
  std::string name = {};     ///< That the certificate must be for; empty: the URL's host.
  bool verify = true;
};

struct Upstream {
  std::vector<UpstreamServer> servers;  ///< Never empty.
  UpstreamTls tls = {};
  Duration rest = std::chrono::seconds(10);  ///< Of a server that failed.
};

enum class ForwardedSource : std::uint8_t { kNone, kXForwardedFor, kForwarded };
/// A form of the fields that tell a client its limits.
enum class HeaderMode : std::uint8_t {
  kDraft11,          ///< RateLimit and RateLimit-Policy.
  kDraftNext,        ///< The same as the draft's next version has them, and RateLimit-Partition.
  kDraft03,          ///< RateLimit-Limit, -Remaining and -Reset.
  kXRateLimitEpoch,  ///< X-RateLimit-*, the reset as seconds since 1970.
  kXRateLimitDelta,  ///< X-RateLimit-*, the reset as seconds from now. Never with the one above.
};

/// Which signed tokens (JWT) say who somebody is.
struct TokenIdentity {
  std::string key_file;                ///< Of what tokens are verified with.
  std::string issuer;                  ///< Empty: any.
  std::vector<std::string> audiences;  ///< A token must be for one of them; empty: for anybody.
  std::string claim = "sub";           ///< Which has the user.
};

/// Where a user identity comes from. What was verified wins over the header.
struct Identity {
  std::string header;         ///< Lower case; counts from a trusted proxy only. Empty: none.
  std::string api_keys_file;  ///< A file of key hashes. Empty: none.
  std::optional<TokenIdentity> jwt;

  [[nodiscard]] bool names_users() const noexcept {
    return !header.empty() || !api_keys_file.empty() || jwt.has_value();
  }
};

struct Clients {
  PrefixSet trusted_proxies;
  std::optional<unsigned> trusted_hops;  ///< Instead of walking past trusted addresses.
  ForwardedSource forwarded = ForwardedSource::kXForwardedFor;
  Identity identity;
};

/// Every wait of the gateway. All absolute where the comment says so.
struct Timeouts {
  Duration header =
      std::chrono::seconds(10);  ///< From a request's first byte to its head's end, absolute.
  Duration idle =
      std::chrono::seconds(60);  ///< Between requests, and without progress inside a body.
  Duration upstream =
      std::chrono::seconds(30);  ///< From the request sent to the end of the answer's head.
  Duration connect = std::chrono::seconds(5);  ///< To connect to the upstream.
  Duration drain = std::chrono::seconds(30);   ///< For requests in flight after SIGTERM.
  Duration tunnel =
      std::chrono::hours(1);  ///< Of an upgraded connection without a byte either way.
  /// How long a client is answered on that has closed its sending half: it may have left. 0: not at
  /// all.
  Duration half_closed = std::chrono::seconds(1);
};

/// How many connections the gateway has, and how slow they may be. 0: no bound.
struct Connections {
  std::uint32_t most = 0;             ///< Of the whole gateway; 0: as many as files may be open.
  std::uint32_t per_client = 64;      ///< Open at once.
  std::uint32_t new_per_second = 50;  ///< Of one client.
  std::uint32_t body_rate = 500;      ///< Bytes a second of a request's body, over 10 s.
  std::uint32_t drain_rate = 500;     ///< Bytes a second that a client reads, over 20 s.
};

struct Settings {
  std::vector<GatewayListener> gateway;  ///< Empty: not open.
  std::optional<Endpoint> admin;
  std::optional<Upstream> upstream;
  Clients clients;
  Timeouts timeouts;
  Connections connections;
  Mcp mcp;
  std::uint64_t max_body = 0;  ///< Bytes of a request body beyond which 413 answers; 0: no bound.
  std::vector<HeaderMode> headers;  ///< Empty: no fields ("off").
  std::size_t memory = 0;           ///< state.memory: bytes of all tables together.
  std::string state_file;           ///< An absolute path; empty: tables lie in memory.
  std::string admin_token_file;     ///< Empty: admin writes are refused.
  std::string access_log;           ///< Empty: off; "-": standard output; else a file.
  /// The field that names a request for logs, in lower case; empty: off.
  std::string request_id = "x-request-id";
};

}  // namespace sluicegate::policy
