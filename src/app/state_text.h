// What is in a state file, for people. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "engine/contents.h"
#include "table/state_file.h"

namespace sluicegate::app {

/// What regions hold, by their names.
using RegionContents = std::map<std::string, engine::Contents>;

/// The page of `sluicegate state`. `path` is how the file was named.
[[nodiscard]] std::string StateText(std::string_view path, const table::StateFileReport& report,
                                    const RegionContents& contents = {});
/// "4 processes", "no process".
[[nodiscard]] std::string ProcessesText(unsigned processes);

}  // namespace sluicegate::app
