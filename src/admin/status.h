// The status page of the admin API, as JSON. Pure.
#pragma once

#include <string>

#include "admin/readings.h"

namespace sluicegate::admin {

/// One object: version, state, policy, rules with limits and counters, gateway numbers, reloads.
[[nodiscard]] std::string RenderStatus(const Readings& readings);

}  // namespace sluicegate::admin
