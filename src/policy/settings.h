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
};

struct Upstream {
  std::string host;  ///< A name or an address, without brackets.
  std::uint16_t port = 80;
};

enum class ForwardedSource : std::uint8_t { kNone, kXForwardedFor, kForwarded };
enum class HeaderMode : std::uint8_t { kDraft11, kXRateLimitEpoch };

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
};

struct Settings {
  std::optional<Endpoint> gateway;
  std::optional<Endpoint> admin;
  std::optional<Upstream> upstream;
  Clients clients;
  Timeouts timeouts;
  Mcp mcp;
  std::uint64_t max_body = 0;  ///< Bytes of a request body beyond which 413 answers; 0: no bound.
  std::vector<HeaderMode> headers;  ///< Empty: no fields ("off").
  std::size_t memory = 0;           ///< state.memory: bytes of all tables together.
  std::string state_file;           ///< An absolute path; empty: tables lie in memory.
  std::string admin_token_file;     ///< Empty: admin writes are refused.
};

}  // namespace sluicegate::policy
