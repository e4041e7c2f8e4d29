// The limits of a policy in words, for those who call the API. Pure. Rules that are off or only
// observe are left out: they deny nobody.
#pragma once

#include <string>

#include "policy/policy.h"

namespace sluicegate::app {

[[nodiscard]] std::string DescribeMarkdown(const policy::Policy& policy);
[[nodiscard]] std::string DescribeJson(const policy::Policy& policy);

}  // namespace sluicegate::app
