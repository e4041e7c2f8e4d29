// Reads what the policy file says of the gateway's connections: listen, upstream, connections.
// Private to config; bound to one load through its list of mistakes.
#pragma once

#include "config/map_reader.h"
#include "policy/config.h"

namespace sluicegate::config {

[[nodiscard]] policy::ListenConfig ReadListen(const YAML::Node& node, MistakeList& mistakes);
[[nodiscard]] policy::UpstreamConfig ReadUpstream(const YAML::Node& node, MistakeList& mistakes);
[[nodiscard]] policy::ConnectionsConfig ReadConnections(const YAML::Node& node,
                                                        MistakeList& mistakes);

}  // namespace sluicegate::config
