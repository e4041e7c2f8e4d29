#include "limit/calendar.h"

#include <array>
#include <chrono>
#include <limits>

namespace sluicegate::limit {
namespace {

using std::chrono::days;
using std::chrono::sys_days;

constexpr std::int64_t kSecondNs = 1'000'000'000;
constexpr std::int64_t kDayNs = std::int64_t{24} * 3600 * kSecondNs;
constexpr std::int64_t kThursday = 3;  // 1970-01-01, with Monday as 0.

std::int64_t FloorDivide(std::int64_t a, std::int64_t b) noexcept {
  return a / b - (a % b < 0 ? 1 : 0);
}

std::int64_t MultiplyClamped(std::int64_t a, std::int64_t b) noexcept {
  std::int64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? std::numeric_limits<std::int64_t>::max()
                                                : product;
}

// The edge after `unix_ns` of windows that are all `length_ns` long, counted from 1970.
std::int64_t NextMultiple(std::int64_t unix_ns, std::int64_t length_ns) noexcept {
  return MultiplyClamped(FloorDivide(unix_ns, length_ns) + 1, length_ns);
}

std::int64_t NsOf(sys_days day) noexcept {
  return MultiplyClamped(day.time_since_epoch().count(), kDayNs);
}

}  // namespace

std::int64_t NextEdge(CalendarUnit unit, std::int64_t unix_ns) noexcept {
  const std::int64_t day = FloorDivide(unix_ns, kDayNs);
  const std::chrono::year_month_day date(sys_days(days(static_cast<int>(day))));
  switch (unit) {
    case CalendarUnit::kSecond:
      return NextMultiple(unix_ns, kSecondNs);
    case CalendarUnit::kMinute:
      return NextMultiple(unix_ns, 60 * kSecondNs);
    case CalendarUnit::kHour:
      return NextMultiple(unix_ns, 3600 * kSecondNs);
    case CalendarUnit::kDay:
      return NextMultiple(unix_ns, kDayNs);
    case CalendarUnit::kWeek: {
      const std::int64_t monday = day - (day + kThursday - 7 * FloorDivide(day + kThursday, 7));
      return MultiplyClamped(monday + 7, kDayNs);
    }
    case CalendarUnit::kMonth:
      return NsOf(sys_days(date.year() / date.month() / 1 + std::chrono::months(1)));
    case CalendarUnit::kYear:
      return NsOf(sys_days((date.year() + std::chrono::years(1)) / 1 / 1));
  }
  return std::numeric_limits<std::int64_t>::max();
}

std::string_view CalendarUnitName(CalendarUnit unit) noexcept {
  constexpr std::array<std::string_view, 7> kNames = {"second", "minute", "hour", "day",
                                                      "week",   "month",  "year"};
  return kNames[static_cast<std::size_t>(unit)];
}

std::optional<CalendarUnit> ParseCalendarUnit(std::string_view text) noexcept {
  struct Word {
    std::string_view text;
    CalendarUnit unit;
  };
  constexpr std::array kShort = {
      Word{"s", CalendarUnit::kSecond}, Word{"sec", CalendarUnit::kSecond},
      Word{"m", CalendarUnit::kMinute}, Word{"min", CalendarUnit::kMinute},
      Word{"h", CalendarUnit::kHour},   Word{"hr", CalendarUnit::kHour},
      Word{"d", CalendarUnit::kDay},    Word{"w", CalendarUnit::kWeek},
      Word{"mo", CalendarUnit::kMonth}, Word{"y", CalendarUnit::kYear}};
  for (const Word& word : kShort) {
    if (word.text == text) return word.unit;
  }
  if (text.ends_with('s')) text.remove_suffix(1);
  for (unsigned i = 0; i <= static_cast<unsigned>(CalendarUnit::kYear); ++i) {
    const auto unit = static_cast<CalendarUnit>(i);
    if (CalendarUnitName(unit) == text) return unit;
  }
  return std::nullopt;
}

}  // namespace sluicegate::limit
