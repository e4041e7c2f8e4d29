// YAML text -> policy::Config: the shape of the file, not its meaning. Thread-safe: no state.
#pragma once

#include <string_view>

#include "config/map_reader.h"
#include "policy/config.h"

namespace sluicegate::config {

/// What the text says, as far as it has the right shape; what has not is added to `mistakes`. Never
/// throws.
[[nodiscard]] policy::Config ReadConfig(std::string_view yaml, MistakeList& mistakes);

}  // namespace sluicegate::config
