// What the admin door shows of a policy, of the gateway and of the state file, in the admin
// module's terms. Pure, but for the last.
#pragma once

#include <vector>

#include "admin/readings.h"
#include "gateway/counters.h"
#include "policy/policy.h"
#include "table/state_file.h"

namespace sluicegate::app {

/// The rules that are not off, with the limits of those who have no override.
[[nodiscard]] std::vector<admin::RuleInfo> RuleInfos(const policy::Policy& policy);

/// The gateway's counters as families of metrics.
[[nodiscard]] std::vector<admin::Family> GatewayFamilies(const gateway::Statistics& statistics);

/// Likewise of the access log.
[[nodiscard]] admin::Family AccessLogFamily(std::uint64_t lost);

/// Asks the kernel who is attached: some 50 us.
[[nodiscard]] admin::StateFileInfo StateInfo(table::StateFile& file);

}  // namespace sluicegate::app
