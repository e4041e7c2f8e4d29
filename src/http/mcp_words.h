// A denial in words that a model can act on, and in numbers.
#pragma once

#include <string>
#include <string_view>

#include "engine/ruleset.h"
#include "sluicegate/decision.h"
#include "wire/mcp_answer.h"

namespace sluicegate::http {

/// "Rate limit exceeded for tool search: 10 per minute. Retry after 7 seconds." `what`: "tool
/// search", or a method. Pure. REQUIRES: `!decision.allowed()`.
[[nodiscard]] std::string DenialText(const engine::Ruleset& rules, const Decision& decision,
                                     std::string_view what);

/// The numbers, without id and text. Seconds are rounded up, and at least 1 to wait. Views into the
/// policy. REQUIRES: as above.
[[nodiscard]] wire::McpDenial DenialNumbers(const engine::Ruleset& rules,
                                            const Decision& decision) noexcept;

}  // namespace sluicegate::http
