// The windows of the calendar in UTC. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "sluicegate/limit.h"

namespace sluicegate::limit {

/// The first instant (ns since 1970, UTC) after `unix_ns` at which a new window of `unit` begins.
/// Saturates.
[[nodiscard]] std::int64_t NextEdge(CalendarUnit unit, std::int64_t unix_ns) noexcept;

/// "second" ... "year".
[[nodiscard]] std::string_view CalendarUnitName(CalendarUnit unit) noexcept;

/// Reads "second", "minutes", "h", ... ; a month is "month" or "mo".
[[nodiscard]] std::optional<CalendarUnit> ParseCalendarUnit(std::string_view text) noexcept;

}  // namespace sluicegate::limit
