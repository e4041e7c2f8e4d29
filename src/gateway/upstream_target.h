// Where the upstream is. A value type; immutable once resolved, so thread-safe.
#pragma once

#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "net/address.h"
#include "policy/settings.h"

namespace sluicegate::gateway {

struct UpstreamTarget {
  std::string host;
  std::string authority;                      ///< HOST:PORT, as Host says it.
  std::vector<net::SocketAddress> endpoints;  ///< Tried in order; never empty.

  /// Looks the host up (may block). The error says what to check.
  [[nodiscard]] static std::expected<std::shared_ptr<const UpstreamTarget>, std::string> Resolve(
      const policy::Upstream& upstream);
};

}  // namespace sluicegate::gateway
