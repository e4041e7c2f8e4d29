#include "wire/date.h"

#include <algorithm>
#include <chrono>

namespace sluicegate::wire {
namespace {

constexpr std::string_view kDays = "SunMonTueWedThuFriSat";
constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
constexpr std::int64_t kLastSecond = 253'402'300'799;  // 9999-12-31T23:59:59Z

// Writes `value` with `digits` digits at `at`.
void Put(unsigned value, unsigned digits, char* at) noexcept {
  for (unsigned i = digits; i > 0; --i) {
    at[i - 1] = static_cast<char>('0' + value % 10);
    value /= 10;
  }
}

// An instant, broken down.
struct Moment {
  std::chrono::sys_days day;
  std::chrono::year_month_day date;
  std::chrono::hh_mm_ss<std::chrono::seconds> time;
};

Moment MomentOf(std::int64_t unix_s) noexcept {
  const std::chrono::sys_seconds when{
      std::chrono::seconds(std::clamp<std::int64_t>(unix_s, 0, kLastSecond))};
  const auto day = std::chrono::floor<std::chrono::days>(when);
  return {.day = day,
          .date = std::chrono::year_month_day(day),
          .time = std::chrono::hh_mm_ss(when - day)};
}

void PutYear(const Moment& moment, char* at) noexcept {
  Put(static_cast<unsigned>(static_cast<int>(moment.date.year())), 4, at);
}

// 08:49:37, whose colons are there already.
void PutTime(const Moment& moment, char* at) noexcept {
  Put(static_cast<unsigned>(moment.time.hours().count()), 2, at);
  Put(static_cast<unsigned>(moment.time.minutes().count()), 2, at + 3);
  Put(static_cast<unsigned>(moment.time.seconds().count()), 2, at + 6);
}

}  // namespace

DateText FormatDate(std::int64_t unix_s) noexcept {
  const Moment moment = MomentOf(unix_s);
  const unsigned month = static_cast<unsigned>(moment.date.month()) - 1;
  const std::chrono::weekday weekday(moment.day);

  DateText text;
  constexpr std::string_view kShape = "Sun, 00 Jan 0000 00:00:00 GMT";
  static_assert(kShape.size() == kDateBytes);
  std::ranges::copy(kShape, text.begin());
  std::ranges::copy(kDays.substr(std::size_t{weekday.c_encoding()} * 3, 3), text.begin());
  Put(static_cast<unsigned>(moment.date.day()), 2, &text[5]);
  std::ranges::copy(kMonths.substr(std::size_t{month} * 3, 3), &text[8]);
  PutYear(moment, &text[12]);
  PutTime(moment, &text[17]);
  return text;
}

TimestampText FormatTimestamp(std::int64_t unix_s) noexcept {
  const Moment moment = MomentOf(unix_s);
  TimestampText text;
  constexpr std::string_view kShape = "0000-00-00T00:00:00Z";
  static_assert(kShape.size() == kTimestampBytes);
  std::ranges::copy(kShape, text.begin());
  PutYear(moment, text.data());
  Put(static_cast<unsigned>(moment.date.month()), 2, &text[5]);
  Put(static_cast<unsigned>(moment.date.day()), 2, &text[8]);
  PutTime(moment, &text[11]);
  return text;
}

}  // namespace sluicegate::wire
