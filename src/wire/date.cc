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

}  // namespace

DateText FormatDate(std::int64_t unix_s) noexcept {
  using std::chrono::days;
  const std::chrono::sys_seconds when{
      std::chrono::seconds(std::clamp<std::int64_t>(unix_s, 0, kLastSecond))};
  const auto day = std::chrono::floor<days>(when);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(when - day);
  const unsigned month = static_cast<unsigned>(date.month()) - 1;

  DateText text;
  constexpr std::string_view kShape = "Sun, 00 Jan 0000 00:00:00 GMT";
  static_assert(kShape.size() == kDateBytes);
  std::ranges::copy(kShape, text.begin());
  std::ranges::copy(kDays.substr(std::size_t{std::chrono::weekday(day).c_encoding()} * 3, 3),
                    text.begin());
  Put(static_cast<unsigned>(date.day()), 2, &text[5]);
  std::ranges::copy(kMonths.substr(std::size_t{month} * 3, 3), &text[8]);
  Put(static_cast<unsigned>(static_cast<int>(date.year())), 4, &text[12]);
  Put(static_cast<unsigned>(time.hours().count()), 2, &text[17]);
  Put(static_cast<unsigned>(time.minutes().count()), 2, &text[20]);
  Put(static_cast<unsigned>(time.seconds().count()), 2, &text[23]);
  return text;
}

}  // namespace sluicegate::wire
