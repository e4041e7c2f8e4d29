// Quotas and lengths of time as people write them.
#include <array>
#include <cctype>
#include <limits>
#include <optional>
#include <utility>

#include "limit/calendar.h"
#include "limit/compiled_limit.h"
#include "limit/saturating.h"
#include "sluicegate/limit.h"

namespace sluicegate {
namespace {

constexpr std::string_view kQuotaMend =
    "Write a quota per time, like 60/minute, 5/30s or 100/5min.";
constexpr std::string_view kLengthMend =
    "Write a number and ns, us, ms, s, min, h, d or w, like 30s or 5min.";
constexpr std::int64_t kSecondNs = 1'000'000'000;

struct Unit {
  std::string_view word;
  std::int64_t ns;
};

// The first of each length is the one that names are made of.
constexpr std::array kUnits = {
    Unit{"ns", 1},
    Unit{"us", 1'000},
    Unit{"ms", 1'000'000},
    Unit{"s", kSecondNs},
    Unit{"min", 60 * kSecondNs},
    Unit{"h", 3600 * kSecondNs},
    Unit{"d", 86'400 * kSecondNs},
    Unit{"w", 604'800 * kSecondNs},
    Unit{"sec", kSecondNs},
    Unit{"second", kSecondNs},
    Unit{"seconds", kSecondNs},
    Unit{"m", 60 * kSecondNs},
    Unit{"minute", 60 * kSecondNs},
    Unit{"minutes", 60 * kSecondNs},
    Unit{"hr", 3600 * kSecondNs},
    Unit{"hour", 3600 * kSecondNs},
    Unit{"hours", 3600 * kSecondNs},
    Unit{"day", 86'400 * kSecondNs},
    Unit{"days", 86'400 * kSecondNs},
    Unit{"week", 604'800 * kSecondNs},
    Unit{"weeks", 604'800 * kSecondNs},
};

std::string_view Trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// Takes the digits at the front of `text` off; nullopt if there are none or they do not fit 64
// bits.
std::optional<std::uint64_t> TakeNumber(std::string_view& text) {
  std::uint64_t value = 0;
  std::size_t digits = 0;
  while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') {
    const auto digit = static_cast<std::uint64_t>(text[digits] - '0');
    if (value > (limit::kMaxU64 - digit) / 10) return std::nullopt;
    value = value * 10 + digit;
    ++digits;
  }
  text.remove_prefix(digits);
  return digits == 0 ? std::nullopt : std::optional(value);
}

std::string Quoted(std::string_view text) { return "'" + std::string(text) + "'"; }

// Of the calendar's units, in their order. A month and a year are nominal, as CompiledLimit has
// them.
constexpr std::int64_t kDaySeconds = 86'400;
constexpr std::array kUnitSeconds = {std::int64_t{1},  std::int64_t{60}, std::int64_t{3600},
                                     kDaySeconds,      7 * kDaySeconds,  30 * kDaySeconds,
                                     365 * kDaySeconds};

// The calendar's unit of a length that is exactly one of them: none is a month or a year.
std::optional<CalendarUnit> UnitOfLength(Duration length) {
  for (std::size_t i = 0; i <= static_cast<std::size_t>(CalendarUnit::kWeek); ++i) {
    if (length.count() == kUnitSeconds[i] * kSecondNs) return static_cast<CalendarUnit>(i);
  }
  return std::nullopt;
}

// The length of a window; nullopt: this limit is none.
std::optional<Duration> LengthOf(const Limit& limit) noexcept {
  if (limit.algorithm == Algorithm::kSlidingWindow) return limit.window;
  if (limit.algorithm != Algorithm::kFixedWindow) return std::nullopt;
  return Duration(kUnitSeconds[static_cast<std::size_t>(limit.unit)] * kSecondNs);
}

}  // namespace

std::expected<Duration, std::string> ParseDuration(std::string_view text) {
  const std::string whole = Quoted(text);
  text = Trim(text);
  const bool bare = !text.empty() && std::isalpha(static_cast<unsigned char>(text.front())) != 0;
  const std::optional<std::uint64_t> number =
      bare ? std::optional<std::uint64_t>(1) : TakeNumber(text);
  if (!number) return std::unexpected(whole + " is no length of time. " + std::string(kLengthMend));
  text = Trim(text);
  for (const Unit& unit : kUnits) {
    if (unit.word != text) continue;
    const std::uint64_t ns =
        limit::MultiplySaturating(*number, static_cast<std::uint64_t>(unit.ns));
    if (ns > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      return std::unexpected(whole + " is longer than 292 years. Write a shorter time.");
    }
    return Duration(static_cast<std::int64_t>(ns));
  }
  if (text.empty())
    return std::unexpected(whole + " has no unit of time. " + std::string(kLengthMend));
  return std::unexpected("no unit of time is called " + Quoted(text) + ". " +
                         std::string(kLengthMend));
}

std::expected<Limit, std::string> Limit::Parse(std::string_view quota) {
  std::string_view rest = Trim(quota);
  const std::optional<std::uint64_t> units = TakeNumber(rest);
  rest = Trim(rest);
  if (!units || rest.empty() || rest.front() != '/') {
    return std::unexpected(Quoted(quota) + " is no limit. " + std::string(kQuotaMend));
  }
  rest = Trim(rest.substr(1));
  const auto calendar = limit::ParseCalendarUnit(rest);
  if (calendar == CalendarUnit::kMonth || calendar == CalendarUnit::kYear) {
    return std::unexpected(
        "a " + std::string(limit::CalendarUnitName(*calendar)) +
        " has no fixed length, so only a fixed window can have it. Write a length like 30d, or "
        "algorithm: fixed_window.");
  }
  const auto window = ParseDuration(rest);
  if (!window) return std::unexpected(window.error());
  Limit limit{
      .algorithm = Algorithm::kSlidingWindow, .quota = *units, .window = *window, .name = {}};
  limit.unit = UnitOfLength(*window).value_or(CalendarUnit::kMinute);
  return limit;
}

std::expected<Limit, std::string> Limit::ParseFixedWindow(std::string_view quota) {
  std::string_view rest = Trim(quota);
  const std::optional<std::uint64_t> units = TakeNumber(rest);
  rest = Trim(rest);
  if (!units || rest.empty() || rest.front() != '/') {
    return std::unexpected(Quoted(quota) +
                           " is no limit. Write a quota per unit of the calendar, like 60/minute.");
  }
  auto unit = limit::ParseCalendarUnit(Trim(rest.substr(1)));
  if (!unit) {
    if (const auto length = ParseDuration(rest.substr(1))) unit = UnitOfLength(*length);
  }
  if (!unit) {
    return std::unexpected(
        "a fixed window is one second, minute, hour, day, week, month or year of the calendar. "
        "Write one of them, or "
        "leave the algorithm out for a sliding window of any length.");
  }
  return Limit{.algorithm = Algorithm::kFixedWindow, .quota = *units, .unit = *unit, .name = {}};
}

Limit Limit::Concurrency(std::uint64_t in_flight, Duration lease) {
  return {.algorithm = Algorithm::kConcurrency, .quota = in_flight, .window = lease, .name = {}};
}

Limit Limit::Burst(std::uint64_t capacity, std::string_view refill) {
  Limit limit{.algorithm = Algorithm::kTokenBucket, .quota = capacity, .name = {}};
  if (refill.empty()) return limit;
  const auto rate = Parse(refill);
  // A negative window is what Compile tells as a refill that cannot be read.
  limit.window = rate ? rate->window : Duration(-1);
  limit.refill = rate ? rate->quota : 0;
  return limit;
}

namespace limit {

std::string_view AlgorithmName(Algorithm algorithm) noexcept {
  switch (algorithm) {
    case Algorithm::kSlidingWindow:
      return "sliding_window";
    case Algorithm::kTokenBucket:
      return "token_bucket";
    case Algorithm::kFixedWindow:
      return "fixed_window";
    case Algorithm::kConcurrency:
      return "concurrency";
  }
  return "unknown";
}

std::string DefaultName(const Limit& limit) {
  switch (limit.algorithm) {
    case Algorithm::kTokenBucket:
      return "burst";
    case Algorithm::kConcurrency:
      return "concurrency";
    case Algorithm::kFixedWindow:
      return "per-" + std::string(CalendarUnitName(limit.unit));
    case Algorithm::kSlidingWindow:
      break;
  }
  if (const auto unit = UnitOfLength(limit.window))
    return "per-" + std::string(CalendarUnitName(*unit));
  const Unit* longest = kUnits.data();
  for (std::size_t i = 0; i < 8; ++i) {
    if (limit.window.count() % kUnits[i].ns == 0) longest = &kUnits[i];
  }
  return "per-" + std::to_string(limit.window.count() / longest->ns) + std::string(longest->word);
}

bool ResolveRefills(std::span<Limit> limits) noexcept {
  const Limit* shortest = nullptr;
  for (const Limit& limit : limits) {
    const auto length = LengthOf(limit);
    if (length && (shortest == nullptr || *length < *LengthOf(*shortest))) shortest = &limit;
  }
  for (Limit& limit : limits) {
    const bool without = limit.refill == 0 && limit.window == Duration::zero();
    if (limit.algorithm != Algorithm::kTokenBucket || !without) continue;
    if (shortest == nullptr) return false;
    limit.refill = shortest->quota;
    limit.window = *LengthOf(*shortest);
  }
  return true;
}

}  // namespace limit
}  // namespace sluicegate
