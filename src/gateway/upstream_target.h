// Where the servers behind the gateway are. Value types; immutable once resolved, so thread-safe.
#pragma once

#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "net/address.h"
#include "net/tls.h"
#include "policy/settings.h"

namespace sluicegate::gateway {

/// One server.
struct UpstreamTarget {
  std::string url;                             ///< As people write it: for messages.
  std::string authority;                       ///< HOST:PORT, as Host says it.
  std::vector<net::SocketAddress> endpoints;   ///< Tried in order; never empty.
  std::shared_ptr<const net::TlsContext> tls;  ///< Null: plain.
  std::string tls_name;                        ///< That its certificate must be for.
};
using TargetPtr = std::shared_ptr<const UpstreamTarget>;

/// All servers that answer for each other.
struct UpstreamGroup {
  std::vector<TargetPtr> targets;  ///< Never empty.
  Duration rest{};                 ///< Of one that failed.

  /// Looks the hosts up, and reads certificates (may block). The error says what to check. What is
  /// the same as in `before` is taken from there, so that connections to it can be used on.
  [[nodiscard]] static std::expected<std::shared_ptr<const UpstreamGroup>, std::string> Resolve(
      const policy::Upstream& upstream, const UpstreamGroup* before = nullptr);
  /// Reads certificates as Resolve does, and looks nothing up. The error is that of Resolve.
  [[nodiscard]] static std::expected<void, std::string> CheckTls(const policy::Upstream& upstream);
};

}  // namespace sluicegate::gateway
