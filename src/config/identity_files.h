// Reads the files that clients.identity names, for every door alike. Thread-safe: no state.
#pragma once

#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "identity/identities.h"
#include "policy/settings.h"

namespace sluicegate::config {

/// What the files say; without any nobody is vouched for. The error has a line for each file that
/// cannot be used: the setting, the file, what is wrong and the mend, and nothing of a secret.
[[nodiscard]] std::expected<std::shared_ptr<const identity::Identities>, std::vector<std::string>>
LoadIdentities(const policy::Identity& settings);

}  // namespace sluicegate::config
