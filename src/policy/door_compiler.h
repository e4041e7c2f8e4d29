// What a policy says of the gateway's connections: its listeners, the servers behind it, its
// bounds. Private to policy.
#pragma once

#include <cstddef>
#include <optional>

#include "policy/config.h"
#include "policy/mistakes.h"
#include "policy/settings.h"

namespace sluicegate::policy {

/// Listeners of the gateway beyond which a policy is refused: each takes a descriptor a thread.
inline constexpr std::size_t kMaxListeners = 16;
/// Servers of an upstream beyond which a policy is refused.
inline constexpr std::size_t kMaxServers = 64;

/// `listen`: the gateway's listeners and the admin door's.
void CompileListeners(const Config& config, Mistakes& mistakes, Settings& settings);

/// `upstream`; nothing where no server is named.
[[nodiscard]] std::optional<Upstream> CompileUpstream(const UpstreamConfig& config,
                                                      Mistakes& mistakes);

/// `connections`, its defaults where it says nothing.
[[nodiscard]] Connections CompileConnections(const ConnectionsConfig& config, Mistakes& mistakes);

}  // namespace sluicegate::policy
