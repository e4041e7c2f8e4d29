// Reads the policy file: YAML -> Config -> Policy, with file, line and column for everything that
// is wrong. All mistakes of a file are told at once. Thread-safe: no state.
#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "policy/policy.h"

namespace sluicegate::config {

/// Bytes of a file beyond which it is refused unread.
inline constexpr std::size_t kMaxFileBytes = std::size_t{1} << 20U;

/// Mistakes beyond which only their number is told.
inline constexpr std::size_t kMaxMistakes = 100;

using Mistakes = std::vector<policy::Mistake>;  ///< In the file's order.

/// The policy that a YAML text means. `edit`, where given, changes what was written before its
/// meaning is checked: flags of a command line that win over the file.
[[nodiscard]] std::expected<std::shared_ptr<const policy::Policy>, Mistakes> ParsePolicy(
    std::string_view yaml, const std::function<void(policy::Config&)>& edit = {});

/// The same from a file. That it cannot be read is a mistake, too.
[[nodiscard]] std::expected<std::shared_ptr<const policy::Policy>, Mistakes> LoadPolicyFile(
    const std::string& path);

/// The text of a regular file of at most `most` bytes, a number of whole MiB; the error says why
/// not and what to do.
[[nodiscard]] std::expected<std::string, policy::Mistake> ReadFile(
    const std::string& path, std::size_t most = kMaxFileBytes);

/// "FILE:LINE:COLUMN: what mend", without place where there is none.
[[nodiscard]] std::string FormatMistake(std::string_view file, const policy::Mistake& mistake);

/// The policy without a file: 60 a minute, 1,000 an hour and 10,000 a day for each client, in
/// bursts of 10.
[[nodiscard]] std::string_view DefaultPolicyYaml() noexcept;

}  // namespace sluicegate::config
