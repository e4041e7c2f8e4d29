// Opens the state file that a policy names, for a program that starts.
#pragma once

#include <expected>
#include <memory>
#include <string>

#include "policy/settings.h"
#include "table/state_file.h"

namespace sluicegate::app {

/// Null: the state lies in memory. Logs what is worth knowing of the file. The error says what is
/// wrong with it, and the mend.
[[nodiscard]] std::expected<std::shared_ptr<table::StateFile>, std::string> OpenState(
    const policy::Settings& settings);

}  // namespace sluicegate::app
