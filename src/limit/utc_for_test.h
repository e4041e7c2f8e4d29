// The calendar as the C library has it, to compare this one with. Pure.
#pragma once

#include <time.h>

#include <array>
#include <cstdint>
#include <string>

#include "sluicegate/limit.h"

namespace sluicegate::limit {

inline constexpr std::int64_t kSecondNs = 1'000'000'000;
inline constexpr std::array kAllUnits = {
    CalendarUnit::kSecond, CalendarUnit::kMinute, CalendarUnit::kHour, CalendarUnit::kDay,
    CalendarUnit::kWeek,   CalendarUnit::kMonth,  CalendarUnit::kYear};

struct CivilTime {
  int year = 1970;
  int month = 1;
  int day = 1;
  int hour = 0;
  int minute = 0;
  int second = 0;
};

/// Nanoseconds since 1970 of a date in UTC.
inline std::int64_t Utc(const CivilTime& civil) {
  tm fields{};
  fields.tm_year = civil.year - 1900;
  fields.tm_mon = civil.month - 1;
  fields.tm_mday = civil.day;
  fields.tm_hour = civil.hour;
  fields.tm_min = civil.minute;
  fields.tm_sec = civil.second;
  return ::timegm(&fields) * kSecondNs;
}

/// A number that all instants of one window have, and that grows from window to window.
inline std::int64_t WindowOf(CalendarUnit unit, std::int64_t unix_ns) {
  const auto floor_divide = [](std::int64_t a, std::int64_t b) {
    return a / b - (a % b < 0 ? 1 : 0);
  };
  const time_t seconds = floor_divide(unix_ns, kSecondNs);
  tm fields{};
  ::gmtime_r(&seconds, &fields);
  switch (unit) {
    case CalendarUnit::kSecond:
      return seconds;
    case CalendarUnit::kMinute:
      return floor_divide(seconds, 60);
    case CalendarUnit::kHour:
      return floor_divide(seconds, 3600);
    case CalendarUnit::kDay:
      return fields.tm_year * std::int64_t{366} + fields.tm_yday;
    case CalendarUnit::kWeek: {
      std::array<char, 16> iso{};  // The ISO week's year, then its number.
      return std::stoll(
          std::string(iso.data(), ::strftime(iso.data(), iso.size(), "%G%V", &fields)));
    }
    case CalendarUnit::kMonth:
      return fields.tm_year * std::int64_t{12} + fields.tm_mon;
    case CalendarUnit::kYear:
      return fields.tm_year;
  }
  return 0;
}

}  // namespace sluicegate::limit
