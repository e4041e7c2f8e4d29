// Looks at the files that listen and upstream name for TLS. What is in them is for whoever uses
// them to judge. Thread-safe: no state.
#pragma once

#include <expected>
#include <string>
#include <vector>

#include "policy/settings.h"

namespace sluicegate::config {

/// Whether each can be read and has something in it. The error has a line for each that cannot be
/// used: the setting, the file, what is wrong and the mend, and nothing of a secret.
[[nodiscard]] std::expected<void, std::vector<std::string>> CheckTlsFiles(
    const policy::Settings& settings);

}  // namespace sluicegate::config
