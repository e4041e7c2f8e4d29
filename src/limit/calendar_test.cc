// The calendar: where its windows end, against known dates and the C library, and its words.
#include "limit/calendar.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <string_view>

#include "base/seed_for_test.h"
#include "limit/utc_for_test.h"

namespace sluicegate::limit {
namespace {

using enum CalendarUnit;

TEST(Calendar, EdgesLieWhereTheDatesSay) {
  struct Row {
    CivilTime at;
    CalendarUnit unit;
    CivilTime edge;
  };
  constexpr Row kRows[] = {
      {{2026, 3, 1, 12, 30, 15}, kSecond, {2026, 3, 1, 12, 30, 16}},
      {{2026, 3, 1, 12, 30, 15}, kMinute, {2026, 3, 1, 12, 31, 0}},
      {{2026, 3, 1, 12, 30, 15}, kHour, {2026, 3, 1, 13, 0, 0}},
      {{2026, 3, 1, 12, 30, 15}, kDay, {2026, 3, 2}},
      {{2026, 3, 1, 12, 30, 15}, kWeek, {2026, 3, 2}},  // A Sunday.
      {{2026, 3, 1, 12, 30, 15}, kMonth, {2026, 4, 1}},
      {{2026, 3, 1, 12, 30, 15}, kYear, {2027, 1, 1}},
      // Months of every length.
      {{2026, 1, 31, 23, 59, 59}, kMonth, {2026, 2, 1}},
      {{2026, 2, 28}, kMonth, {2026, 3, 1}},
      {{2026, 4, 30}, kMonth, {2026, 5, 1}},
      {{2026, 12, 31, 23, 59, 59}, kMonth, {2027, 1, 1}},
      // Leap years: 2024 and 2000 are, 2026 and 2100 are not.
      {{2024, 2, 28, 23}, kDay, {2024, 2, 29}},
      {{2024, 2, 29}, kMonth, {2024, 3, 1}},
      {{2000, 2, 29, 12}, kDay, {2000, 3, 1}},
      {{2000, 2, 29}, kMonth, {2000, 3, 1}},
      {{2026, 2, 28, 23}, kDay, {2026, 3, 1}},
      {{2100, 2, 28, 23}, kDay, {2100, 3, 1}},
      {{2024, 12, 31, 23, 59, 59}, kYear, {2025, 1, 1}},
      // Weeks begin on Monday, across months and years; ISO years of 53 weeks.
      {{2026, 3, 2}, kWeek, {2026, 3, 9}},
      {{2026, 6, 30}, kWeek, {2026, 7, 6}},
      {{2026, 12, 31}, kWeek, {2027, 1, 4}},
      {{2027, 1, 3, 23, 59, 59}, kWeek, {2027, 1, 4}},
      {{2024, 12, 30}, kWeek, {2025, 1, 6}},
      // 1970 began on a Thursday.
      {{1970, 1, 1}, kWeek, {1970, 1, 5}},
      {{1970, 1, 1}, kYear, {1971, 1, 1}},
      // Before 1970.
      {{1969, 12, 31, 23, 59, 59}, kSecond, {1970, 1, 1}},
      {{1969, 12, 31, 23, 59, 59}, kMinute, {1970, 1, 1}},
      {{1969, 12, 31, 23, 59, 59}, kHour, {1970, 1, 1}},
      {{1969, 12, 31, 23, 59, 59}, kDay, {1970, 1, 1}},
      {{1969, 12, 31, 23, 59, 59}, kWeek, {1970, 1, 5}},
      {{1969, 12, 28, 23, 59, 59}, kWeek, {1969, 12, 29}},
      {{1969, 12, 31, 23, 59, 59}, kMonth, {1970, 1, 1}},
      {{1968, 2, 29}, kMonth, {1968, 3, 1}},
      {{1900, 2, 28, 12}, kDay, {1900, 3, 1}},
  };
  for (const Row& row : kRows) {
    EXPECT_EQ(NextEdge(row.unit, Utc(row.at)), Utc(row.edge))
        << row.at.year << "-" << row.at.month << "-" << row.at.day << " "
        << CalendarUnitName(row.unit);
  }
}

TEST(Calendar, AnEdgeBelongsToTheWindowThatItBegins) {
  for (const CalendarUnit unit : kAllUnits) {
    const std::int64_t edge = NextEdge(unit, Utc({2026, 3, 1, 12, 30, 15}));
    EXPECT_EQ(NextEdge(unit, edge - 1), edge) << CalendarUnitName(unit);
    EXPECT_GT(NextEdge(unit, edge), edge) << CalendarUnitName(unit);
  }
}

TEST(Calendar, TheInstantBefore1970HasItsEdgeAtZero) {
  for (const CalendarUnit unit : {kSecond, kMinute, kHour, kDay, kMonth, kYear}) {
    EXPECT_EQ(NextEdge(unit, -1), 0) << CalendarUnitName(unit);
  }
}

// All that 64 bits of nanoseconds hold, but for the years at both ends: 1679 to 2260.
TEST(Calendar, AgreesWithTheCLibraryOnRandomInstants) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<std::int64_t> instants(Utc({1679}), Utc({2260}));
  for (unsigned i = 0; i < 50'000; ++i) {
    const std::int64_t unix_ns = instants(random);
    for (const CalendarUnit unit : kAllUnits) {
      const std::int64_t edge = NextEdge(unit, unix_ns);
      ASSERT_GT(edge, unix_ns) << CalendarUnitName(unit);
      ASSERT_EQ(WindowOf(unit, edge - 1), WindowOf(unit, unix_ns)) << unix_ns;
      ASSERT_NE(WindowOf(unit, edge), WindowOf(unit, unix_ns)) << unix_ns;
    }
  }
}

TEST(Calendar, EveryDayOfFourCenturiesHasTheEdgesOfTheCLibrary) {
  for (std::int64_t day = Utc({1800}); day < Utc({2200}); day += 86'400 * kSecondNs) {
    for (const CalendarUnit unit : {kDay, kWeek, kMonth, kYear}) {
      const std::int64_t edge = NextEdge(unit, day);
      ASSERT_EQ(WindowOf(unit, edge - 1), WindowOf(unit, day)) << day;
      ASSERT_NE(WindowOf(unit, edge), WindowOf(unit, day)) << day;
    }
  }
}

TEST(Calendar, SaturatesAtTheEndOfTime) {
  constexpr std::int64_t kEnd = std::numeric_limits<std::int64_t>::max();
  for (const CalendarUnit unit : kAllUnits) {
    EXPECT_EQ(NextEdge(unit, kEnd), kEnd) << CalendarUnitName(unit);
    EXPECT_GT(NextEdge(unit, std::numeric_limits<std::int64_t>::min()),
              std::numeric_limits<std::int64_t>::min());
  }
}

TEST(Calendar, UnitsAreReadInFullInPluralAndShort) {
  struct Row {
    std::string_view text;
    CalendarUnit unit;
  };
  constexpr Row kRows[] = {
      {"second", kSecond}, {"seconds", kSecond}, {"sec", kSecond},  {"s", kSecond},
      {"minute", kMinute}, {"minutes", kMinute}, {"min", kMinute},  {"m", kMinute},
      {"hour", kHour},     {"hours", kHour},     {"hr", kHour},     {"h", kHour},
      {"day", kDay},       {"days", kDay},       {"d", kDay},       {"week", kWeek},
      {"weeks", kWeek},    {"w", kWeek},         {"month", kMonth}, {"months", kMonth},
      {"mo", kMonth},      {"year", kYear},      {"years", kYear},  {"y", kYear},
  };
  for (const Row& row : kRows) EXPECT_EQ(ParseCalendarUnit(row.text), row.unit) << row.text;
}

TEST(Calendar, OtherWordsAreNoUnits) {
  for (const std::string_view text : {"", " ", "S", "Minute", "secondss", "ss", "ms", "mos", "mon",
                                      "fortnight", "30s", "minute ", "minut"}) {
    EXPECT_EQ(ParseCalendarUnit(text), std::nullopt) << text;
  }
}

TEST(Calendar, NamesReadBackAsTheirUnits) {
  for (const CalendarUnit unit : kAllUnits) {
    EXPECT_EQ(ParseCalendarUnit(CalendarUnitName(unit)), unit);
  }
}

}  // namespace
}  // namespace sluicegate::limit
