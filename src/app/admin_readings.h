// What the admin door shows of a policy and of the gateway, in the admin module's terms. Pure.
#pragma once

#include <vector>

#include "admin/readings.h"
#include "gateway/counters.h"
#include "policy/policy.h"

namespace sluicegate::app {

/// The rules that are not off, with the limits of those who have no override.
[[nodiscard]] std::vector<admin::RuleInfo> RuleInfos(const policy::Policy& policy);

/// The gateway's counters as families of metrics.
[[nodiscard]] std::vector<admin::Family> GatewayFamilies(const gateway::Statistics& statistics);

}  // namespace sluicegate::app
