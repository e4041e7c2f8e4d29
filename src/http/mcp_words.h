// A denial in words that a model can act on, and in numbers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/mcp_denial.h"
#include "engine/ruleset.h"
#include "sluicegate/decision.h"

namespace sluicegate::http {

/// The limit that denies, as words tell it.
struct DenyingLimit {
  std::uint64_t quota = 0;
  std::optional<std::uint64_t> window_ns;  ///< Absent: it counts what is in flight.
};

/// What a message asks for: "tool search" of a call of that tool, else its method. Pure.
[[nodiscard]] std::string WhatIsAsked(std::string_view method, std::string_view tool);

/// "Rate limit exceeded for tool search: 10 per minute. Retry after 7 seconds." Without a limit
/// nobody knows which one denies. Pure. REQUIRES: `!decision.allowed()`.
[[nodiscard]] std::string DenialText(const Decision& decision,
                                     const std::optional<DenyingLimit>& limit,
                                     std::string_view what);
[[nodiscard]] std::string DenialText(const engine::Ruleset& rules, const Decision& decision,
                                     std::string_view what);

/// Its last sentence: "Retry after 7 seconds.", or "Ask for less." Pure. REQUIRES: as above.
[[nodiscard]] std::string RetryText(const Decision& decision);

/// The numbers, without the text; `policy` is the rule's name. Seconds are rounded up, and at least
/// 1 to wait. Views into the policy. REQUIRES: as above.
[[nodiscard]] McpDenial DenialNumbers(const engine::Ruleset& rules,
                                      const Decision& decision) noexcept;

}  // namespace sluicegate::http
