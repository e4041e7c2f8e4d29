// The grammar of quotas and lengths of time: every good form, and every mistake with its message.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "limit/compiled_limit.h"
#include "sluicegate/limit.h"

namespace sluicegate {
namespace {

using namespace std::chrono_literals;
using enum CalendarUnit;

template <class T>
std::string ErrorOf(const std::expected<T, std::string>& result) {
  return result ? "read" : result.error();
}

TEST(ParseDuration, ReadsANumberAndAUnit) {
  struct Row {
    std::string_view text;
    Duration length;
  };
  constexpr Row kRows[] = {
      {"1ns", 1ns},
      {"250us", 250us},
      {"15ms", 15ms},
      {"30s", 30s},
      {"30sec", 30s},
      {"1second", 1s},
      {"2seconds", 2s},
      {"5m", 5min},
      {"5min", 5min},
      {"1minute", 1min},
      {"5minutes", 5min},
      {"1h", 1h},
      {"1hr", 1h},
      {"1hour", 1h},
      {"12hours", 12h},
      {"1d", 24h},
      {"1day", 24h},
      {"30days", 720h},
      {"1w", 168h},
      {"1week", 168h},
      {"2weeks", 336h},
      {"5 min", 5min},
      {"  5  minutes ", 5min},
      {"007s", 7s},
      {"0s", 0s},
      {"15250w", 15'250 * 168h},
      // A word alone is one of it.
      {"ns", 1ns},
      {"s", 1s},
      {"min", 1min},
      {"hour", 1h},
      {"day", 24h},
      {" week ", 168h},
      // The longest, to the nanosecond.
      {"9223372036854775807ns", Duration::max()},
  };
  for (const Row& row : kRows) {
    const auto length = ParseDuration(row.text);
    ASSERT_TRUE(length.has_value()) << row.text << ": " << length.error();
    EXPECT_EQ(*length, row.length) << row.text;
  }
}

TEST(ParseDuration, SaysWhatIsWrongAndWhatToWrite) {
  struct Row {
    std::string_view text;
    std::string_view error;
  };
  constexpr Row kRows[] = {
      {"",
       "'' is no length of time. Write a number and ns, us, ms, s, min, h, d or w, like 30s or "
       "5min."},
      {"-5s",
       "'-5s' is no length of time. Write a number and ns, us, ms, s, min, h, d or w, like "
       "30s or 5min."},
      {"+5s",
       "'+5s' is no length of time. Write a number and ns, us, ms, s, min, h, d or w, like "
       "30s or 5min."},
      {".5s",
       "'.5s' is no length of time. Write a number and ns, us, ms, s, min, h, d or w, like "
       "30s or 5min."},
      // Beyond 64 bits.
      {"18446744073709551616s",
       "'18446744073709551616s' is no length of time. Write a number and "
       "ns, us, ms, s, min, h, d or w, like 30s or 5min."},
      {"30",
       "'30' has no unit of time. Write a number and ns, us, ms, s, min, h, d or w, like 30s "
       "or 5min."},
      {" 30 ",
       "' 30 ' has no unit of time. Write a number and ns, us, ms, s, min, h, d or w, like "
       "30s or 5min."},
      {"1.5s",
       "no unit of time is called '.5s'. Write a number and ns, us, ms, s, min, h, d or w, "
       "like 30s or 5min."},
      {"5 fortnights",
       "no unit of time is called 'fortnights'. Write a number and ns, us, ms, s, "
       "min, h, d or w, like 30s or 5min."},
      {"1h30min",
       "no unit of time is called 'h30min'. Write a number and ns, us, ms, s, min, h, d "
       "or w, like 30s or 5min."},
      {"5S",
       "no unit of time is called 'S'. Write a number and ns, us, ms, s, min, h, d or w, "
       "like 30s or 5min."},
      {"month",
       "no unit of time is called 'month'. Write a number and ns, us, ms, s, min, h, d or "
       "w, like 30s or 5min."},
      {"15251w", "'15251w' is longer than 292 years. Write a shorter time."},
      {"9223372036854775808ns",
       "'9223372036854775808ns' is longer than 292 years. Write a shorter time."},
      {"18446744073709551615weeks",
       "'18446744073709551615weeks' is longer than 292 years. Write a shorter time."},
  };
  for (const Row& row : kRows) EXPECT_EQ(ErrorOf(ParseDuration(row.text)), row.error);
}

TEST(LimitParse, ReadsASlidingWindow) {
  struct Row {
    std::string_view text;
    std::uint64_t quota;
    Duration window;
  };
  constexpr Row kRows[] = {
      {"60/minute", 60, 1min},
      {"60/min", 60, 1min},
      {"60/m", 60, 1min},
      {"10/second", 10, 1s},
      {"10/s", 10, 1s},
      {"10/sec", 10, 1s},
      {"1000/hour", 1000, 1h},
      {"1000/h", 1000, 1h},
      {"1000/hr", 1000, 1h},
      {"10000/day", 10'000, 24h},
      {"10000/d", 10'000, 24h},
      {"1/week", 1, 168h},
      {"1/w", 1, 168h},
      {"5/30s", 5, 30s},
      {"100/5min", 100, 5min},
      {"100/5 minutes", 100, 5min},
      {"100/30d", 100, 720h},
      {"5/107ns", 5, 107ns},
      {" 60 / minute ", 60, 1min},
      {"0/minute", 0, 1min},
      {"5/0s", 5, 0s},
      {"18446744073709551615/day", 18'446'744'073'709'551'615U, 24h},
  };
  for (const Row& row : kRows) {
    const auto limit = Limit::Parse(row.text);
    ASSERT_TRUE(limit.has_value()) << row.text << ": " << limit.error();
    EXPECT_EQ(limit->algorithm, Algorithm::kSlidingWindow) << row.text;
    EXPECT_EQ(limit->quota, row.quota) << row.text;
    EXPECT_EQ(limit->window, row.window) << row.text;
    EXPECT_EQ(limit->refill, 0U) << row.text;
    EXPECT_EQ(limit->name, "") << row.text;
  }
}

// So that a policy may turn it into a fixed window by a word.
TEST(LimitParse, KeepsTheCalendarsUnitOfALengthThatIsOne) {
  EXPECT_EQ(Limit::Parse("5/s")->unit, kSecond);
  EXPECT_EQ(Limit::Parse("5/60s")->unit, kMinute);
  EXPECT_EQ(Limit::Parse("5/60min")->unit, kHour);
  EXPECT_EQ(Limit::Parse("5/24h")->unit, kDay);
  EXPECT_EQ(Limit::Parse("5/7d")->unit, kWeek);
}

TEST(LimitParse, SaysWhatIsWrongAndWhatToWrite) {
  for (const std::string_view text :
       {"", " ", "60", "60 minute", "60 per minute", "/minute", "minute", "sixty/minute", "-1/s",
        "1.5/s", "60\\minute", "18446744073709551616/s"}) {
    EXPECT_EQ(ErrorOf(Limit::Parse(text)),
              "'" + std::string(text) +
                  "' is no limit. Write a quota per time, like 60/minute, 5/30s or 100/5min.");
  }
  struct Row {
    std::string_view text;
    std::string_view error;
  };
  constexpr Row kRows[] = {
      {"60/",
       "'' is no length of time. Write a number and ns, us, ms, s, min, h, d or w, like 30s "
       "or 5min."},
      {"60/30",
       "'30' has no unit of time. Write a number and ns, us, ms, s, min, h, d or w, like "
       "30s or 5min."},
      {"60/minutely",
       "no unit of time is called 'minutely'. Write a number and ns, us, ms, s, min, "
       "h, d or w, like 30s or 5min."},
      {"60/minute/2",
       "no unit of time is called 'minute/2'. Write a number and ns, us, ms, s, min, "
       "h, d or w, like 30s or 5min."},
      {"60/-1s",
       "'-1s' is no length of time. Write a number and ns, us, ms, s, min, h, d or w, "
       "like 30s or 5min."},
      {"60/16000w", "'16000w' is longer than 292 years. Write a shorter time."},
      {"60/month",
       "a month has no fixed length, so only a fixed window can have it. Write a length "
       "like 30d, or algorithm: fixed_window."},
      {"60/mo",
       "a month has no fixed length, so only a fixed window can have it. Write a length "
       "like 30d, or algorithm: fixed_window."},
      {"60/years",
       "a year has no fixed length, so only a fixed window can have it. Write a length "
       "like 30d, or algorithm: fixed_window."},
  };
  for (const Row& row : kRows) EXPECT_EQ(ErrorOf(Limit::Parse(row.text)), row.error);
}

TEST(LimitParseFixedWindow, ReadsAQuotaPerUnitOfTheCalendar) {
  struct Row {
    std::string_view text;
    CalendarUnit unit;
  };
  constexpr Row kRows[] = {
      {"60/second", kSecond}, {"60/s", kSecond},        {"60/minute", kMinute},
      {"60/min", kMinute},    {"60/hour", kHour},       {"60/day", kDay},
      {"60/week", kWeek},     {"60/month", kMonth},     {"60/mo", kMonth},
      {"60/months", kMonth},  {"60/year", kYear},       {"60/y", kYear},
      {" 60 / day ", kDay},   {"60/1 minute", kMinute}, {"60/60s", kMinute},
      {"60/24h", kDay},       {"60/7d", kWeek},         {"60/1h", kHour},
  };
  for (const Row& row : kRows) {
    const auto limit = Limit::ParseFixedWindow(row.text);
    ASSERT_TRUE(limit.has_value()) << row.text << ": " << limit.error();
    EXPECT_EQ(limit->algorithm, Algorithm::kFixedWindow) << row.text;
    EXPECT_EQ(limit->quota, 60U) << row.text;
    EXPECT_EQ(limit->unit, row.unit) << row.text;
  }
}

TEST(LimitParseFixedWindow, SaysWhatIsWrongAndWhatToWrite) {
  for (const std::string_view text :
       {"", "60", "per minute", "/minute", "x/minute", "-1/day", "18446744073709551616/s"}) {
    EXPECT_EQ(ErrorOf(Limit::ParseFixedWindow(text)),
              "'" + std::string(text) +
                  "' is no limit. Write a quota per unit of the calendar, like 60/minute.");
  }
  for (const std::string_view text :
       {"60/", "60/30s", "60/2months", "60/fortnight", "60/5min", "60/30d", "60/minute x"}) {
    EXPECT_EQ(ErrorOf(Limit::ParseFixedWindow(text)),
              "a fixed window is one second, minute, hour, day, week, month or year of the "
              "calendar. Write one of them, or leave the algorithm out for a sliding window of any "
              "length.")
        << text;
  }
}

TEST(LimitBurst, ReadsItsRefillAsUnitsPerTime) {
  const Limit limit = Limit::Burst(10, "100/5min");
  EXPECT_EQ(limit.algorithm, Algorithm::kTokenBucket);
  EXPECT_EQ(limit.quota, 10U);
  EXPECT_EQ(limit.refill, 100U);
  EXPECT_EQ(limit.window, 5min);
  EXPECT_EQ(Limit::Burst(10, "1/s").window, 1s);
}

TEST(LimitBurst, WithoutARefillWaitsForAWindowBesideIt) {
  const Limit limit = Limit::Burst(10);
  EXPECT_EQ(limit.refill, 0U);
  EXPECT_EQ(limit.window, 0s);
  EXPECT_EQ(ErrorOf(limit::CompiledLimit::Compile(limit)),
            "a token bucket needs a refill. Write refill: 1/s, or give it a window beside it whose "
            "rate it takes.");
}

TEST(LimitBurst, AnUnreadableRefillIsToldByWhoeverChecksTheLimit) {
  for (const std::string_view refill : {"fast", "1", "1/", "1/month", "/s", "1.5/s"}) {
    EXPECT_EQ(ErrorOf(limit::CompiledLimit::Compile(Limit::Burst(10, refill))),
              "the refill cannot be read. Write units per time, like refill: 1/s or refill: "
              "100/5min.")
        << refill;
  }
}

TEST(LimitBurst, TakesTheRateOfTheShortestWindowBesideIt) {
  std::vector<Limit> limits = {*Limit::Parse("1000/hour"), *Limit::Parse("60/minute"),
                               Limit::Burst(10)};
  ASSERT_TRUE(limit::ResolveRefills(limits));
  EXPECT_EQ(limits[2].refill, 60U);
  EXPECT_EQ(limits[2].window, 1min);
}

// By their nominal lengths, which are those that they are compiled with.
TEST(LimitBurst, TakesTheRateOfAFixedWindowAsWell) {
  for (const std::string_view unit : {"second", "minute", "hour", "day", "week", "month", "year"}) {
    const Limit fixed = *Limit::ParseFixedWindow("60/" + std::string(unit));
    std::vector<Limit> limits = {Limit::Burst(10), fixed};
    ASSERT_TRUE(limit::ResolveRefills(limits)) << unit;
    EXPECT_EQ(limits[0].refill, 60U) << unit;
    EXPECT_EQ(static_cast<std::uint64_t>(limits[0].window.count()),
              limit::CompiledLimit::Compile(fixed)->window_ns())
        << unit;
    EXPECT_EQ(limits[1].window, fixed.window) << unit;
  }
  std::vector<Limit> shorter = {*Limit::Parse("100/2h"), *Limit::ParseFixedWindow("5/hour"),
                                Limit::Burst(10)};
  ASSERT_TRUE(limit::ResolveRefills(shorter));
  EXPECT_EQ(shorter[2].refill, 5U);
  std::vector<Limit> longer = {*Limit::Parse("100/2h"), *Limit::ParseFixedWindow("5/day"),
                               Limit::Burst(10)};
  ASSERT_TRUE(limit::ResolveRefills(longer));
  EXPECT_EQ(longer[2].refill, 100U);
}

TEST(LimitBurst, ABucketIsNoWindow) {
  std::vector<Limit> limits = {Limit::Burst(10, "1/s"), Limit::Burst(10)};
  EXPECT_FALSE(limit::ResolveRefills(limits));
}

TEST(LimitBurst, ARefillOfNothingIsNone) {
  EXPECT_EQ(ErrorOf(limit::CompiledLimit::Compile(Limit::Burst(10, "0/s"))),
            "a token bucket needs a refill. Write refill: 1/s, or give it a window beside it whose "
            "rate it takes.");
}

}  // namespace
}  // namespace sluicegate
