// What is in a state file, for people. Pure.
#pragma once

#include <string>
#include <string_view>

#include "table/state_file.h"

namespace sluicegate::app {

/// The page of `sluicegate state`. `path` is how the file was named.
[[nodiscard]] std::string StateText(std::string_view path, const table::StateFileReport& report);

}  // namespace sluicegate::app
