// Numbers and policies in words, for people. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "policy/policy.h"
#include "policy/rule.h"

namespace sluicegate::app {

/// "90s", "5m", "1h", "1d", "250ms": the largest unit that tells it exactly.
[[nodiscard]] std::string DurationText(std::uint64_t ns);
/// "1,234,567".
[[nodiscard]] std::string CountText(std::uint64_t count);
/// "64.0 MiB".
[[nodiscard]] std::string BytesText(std::uint64_t bytes);
/// "https://backend.internal:443, unix:/run/app.sock".
[[nodiscard]] std::string ServersText(const policy::Upstream& upstream);
/// "off", "observe" or "enforce".
[[nodiscard]] std::string_view ModeText(policy::Mode mode);
/// "60 in any 1m", "bursts of 10, then 1 each 1s", ...
[[nodiscard]] std::string LimitText(const policy::RuleLimit& limit);

}  // namespace sluicegate::app
