// The fixed window against its definition: a golden table, both bounds, a naive tally on exhaustive
// and random input, and wall time that steps back.
#include "limit/fixed_window.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <random>
#include <string>

#include "base/seed_for_test.h"
#include "limit/calendar.h"
#include "limit/utc_for_test.h"

namespace sluicegate::limit {
namespace {

using enum CalendarUnit;

constexpr std::int64_t kMs = 1'000'000;

struct Key {
  alignas(8) std::array<std::byte, FixedWindow::kStateBytes> state{};
  [[nodiscard]] std::byte* bytes() { return state.data(); }
};

// About how long a window is, for choosing gaps.
std::int64_t NominalNs(CalendarUnit unit) {
  constexpr std::array<std::int64_t, 7> kSeconds = {1,       60,        3600,      86'400,
                                                    604'800, 2'592'000, 31'536'000};
  return kSeconds[static_cast<std::size_t>(unit)] * kSecondNs;
}

// The definition, word for word: a charge counts in the calendar's window of its time, or, while
// the clock stands before the newest window that was charged, in that one. The calendar is the C
// library's.
class NaiveTally {
 public:
  NaiveTally(std::uint64_t quota, CalendarUnit unit) : quota_(quota), unit_(unit) {}

  [[nodiscard]] std::uint64_t Remaining(std::int64_t unix_ns) const {
    const auto found = used_.find(CountedIn(unix_ns));
    return quota_ - (found == used_.end() ? 0 : found->second);
  }
  void Charge(std::int64_t unix_ns, std::uint64_t cost) { used_[CountedIn(unix_ns)] += cost; }
  void GiveBack(std::int64_t unix_ns, std::int64_t charged_unix_ns, std::uint64_t cost) {
    const std::int64_t window = CountedIn(unix_ns);
    if (used_.contains(window) && WindowOf(unit_, charged_unix_ns) == window) {
      used_[window] -= std::min(used_[window], cost);
    }
  }
  // Until `cost` units fit, found by bisecting for the first instant at which they do.
  [[nodiscard]] std::uint64_t RetryAfter(std::int64_t unix_ns, std::uint64_t cost) const {
    if (Remaining(unix_ns) >= cost) return 0;
    std::int64_t denied = unix_ns;
    std::int64_t fits = Utc({2250});  // Later than all windows of these tests.
    while (fits - denied > 1) {
      const std::int64_t middle = denied + (fits - denied) / 2;
      (Remaining(middle) >= cost ? fits : denied) = middle;
    }
    return static_cast<std::uint64_t>(fits - unix_ns);
  }

 private:
  [[nodiscard]] std::int64_t CountedIn(std::int64_t unix_ns) const {
    const std::int64_t window = WindowOf(unit_, unix_ns);
    return used_.empty() ? window : std::max(window, used_.rbegin()->first);
  }
  const std::uint64_t quota_;
  const CalendarUnit unit_;
  std::map<std::int64_t, std::uint64_t> used_;  // By window.
};

// Three a minute.
TEST(FixedWindow, GoldenTable) {
  struct Row {
    std::int64_t at_ms;
    std::uint64_t cost;
    std::uint64_t remaining;  // Before.
    std::int64_t retry_ms;
    std::int64_t reset_ms;  // After.
  };
  constexpr Row kRows[] = {
      {0, 1, 3, 0, 60'000},           {10'000, 1, 2, 0, 50'000},      {10'000, 0, 1, 0, 50'000},
      {59'000, 2, 1, 1000, 1000},     {59'999, 1, 1, 0, 1},           {59'999, 1, 0, 1, 1},
      {60'000, 3, 3, 0, 60'000},                                       // The edge.
      {60'000, 1, 0, 60'000, 60'000}, {50'000, 1, 0, 70'000, 70'000},  // The clock stepped back.
      {120'000, 0, 3, 0, 0},          {200'000, 2, 3, 0, 40'000},     {239'999, 2, 1, 1, 1},
  };
  const FixedWindow window(3, kMinute);
  const std::int64_t start = Utc({2026, 3, 1, 12});
  Key key;
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.at_ms);
    const std::int64_t now = start + row.at_ms * kMs;
    EXPECT_EQ(window.Remaining(key.bytes(), now), row.remaining);
    EXPECT_EQ(window.RetryAfter(key.bytes(), now, row.cost), row.retry_ms * kMs);
    if (row.retry_ms == 0 && row.cost > 0) window.Charge(key.bytes(), now, row.cost);
    EXPECT_EQ(window.ResetAfter(key.bytes(), now), row.reset_ms * kMs);
  }
}

TEST(FixedWindow, StateHasThePromisedSize) { EXPECT_EQ(FixedWindow::kStateBytes, 16U); }

// Both sides of the bound, on random traffic: never more than N in a window of the calendar, and no
// less for one who asks for more.
TEST(FixedWindow, AdmitsAtMostNInEachWindowAndNoLess) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (unsigned round = 0; round < 200; ++round) {
    const CalendarUnit unit = kAllUnits[random() % kAllUnits.size()];
    const std::uint64_t quota = random() % 12 + 1;
    const FixedWindow window(quota, unit);
    Key key;
    std::map<std::int64_t, std::uint64_t> asked;
    std::map<std::int64_t, std::uint64_t> admitted;
    std::int64_t now = Utc({2000 + static_cast<int>(random() % 100)});
    for (unsigned step = 0; step < 500; ++step) {
      now += static_cast<std::int64_t>(random() % 1000) * (NominalNs(unit) / 10'000);
      const std::int64_t in = WindowOf(unit, now);
      ++asked[in];
      if (window.Remaining(key.bytes(), now) == 0) continue;
      window.Charge(key.bytes(), now, 1);
      ++admitted[in];
    }
    for (const auto& [in, count] : asked) ASSERT_EQ(admitted[in], std::min(count, quota));
  }
}

// What "never a default" means: a client that waits for the edge gets twice the quota at once.
TEST(FixedWindow, AdmitsTwiceNAcrossAnEdge) {
  const FixedWindow window(5, kHour);
  const std::int64_t edge = Utc({2026, 3, 1, 13});
  Key key;
  EXPECT_EQ(window.Remaining(key.bytes(), edge - 1), 5U);
  window.Charge(key.bytes(), edge - 1, 5);
  EXPECT_EQ(window.Remaining(key.bytes(), edge - 1), 0U);
  EXPECT_EQ(window.Remaining(key.bytes(), edge), 5U);
}

// Every sequence of four requests with gaps and costs out of small sets, in windows of every unit,
// from shortly before an edge of all of them.
TEST(FixedWindow, AgreesWithANaiveTallyOnAllSmallInputs) {
  for (const CalendarUnit unit : kAllUnits) {
    const std::array<std::int64_t, 4> gaps = {0, 1, NominalNs(unit) / 2, NominalNs(unit)};
    for (const std::uint64_t quota : {1U, 2U, 5U}) {
      const FixedWindow window(quota, unit);
      for (unsigned sequence = 0; sequence < 12 * 12 * 12 * 12; ++sequence) {
        Key key;
        NaiveTally naive(quota, unit);
        std::int64_t now = Utc({2024, 1, 1}) - 1;  // A Monday's first instant.
        for (unsigned rest = sequence, step = 0; step < 4; ++step, rest /= 12) {
          now += gaps[rest % 4];
          const std::uint64_t cost = rest / 4 % 3;
          ASSERT_EQ(window.Remaining(key.bytes(), now), naive.Remaining(now))
              << CalendarUnitName(unit) << " N " << quota << " sequence " << sequence;
          if (cost == 0 || cost > naive.Remaining(now)) continue;
          window.Charge(key.bytes(), now, cost);
          naive.Charge(now, cost);
        }
      }
    }
  }
}

// With give-backs, and now and then a clock that steps back.
TEST(FixedWindow, AgreesWithANaiveTallyOnAMillionRandomSteps) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  const auto below = [&random](std::int64_t end) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(end));
  };
  for (unsigned round = 0; round < 10'000; ++round) {
    const CalendarUnit unit = kAllUnits[random() % kAllUnits.size()];
    const std::int64_t length = NominalNs(unit);
    const std::uint64_t quota = random() % 20 + 1;
    const FixedWindow window(quota, unit);
    Key key;
    NaiveTally naive(quota, unit);
    std::int64_t now = Utc({1970 + static_cast<int>(random() % 120)});
    std::int64_t charged_at = 0;
    std::uint64_t charged = 0;
    for (unsigned step = 0; step < 100; ++step) {
      now += random() % 8 == 0 ? below(2 * length) : below(length / 20);
      if (random() % 32 == 0) now = std::max<std::int64_t>(0, now - below(3 * length));
      const std::uint64_t cost = random() % (quota + 1);
      const std::uint64_t remaining = window.Remaining(key.bytes(), now);
      ASSERT_EQ(remaining, naive.Remaining(now)) << CalendarUnitName(unit) << " at " << now;
      if (step % 25 == 0) {  // Bisecting is slow.
        ASSERT_EQ(window.RetryAfter(key.bytes(), now, cost), naive.RetryAfter(now, cost));
        ASSERT_EQ(window.ResetAfter(key.bytes(), now), naive.RetryAfter(now, quota));
      }
      if (random() % 10 == 0 && charged > 0) {
        window.GiveBack(key.bytes(), now, charged_at, charged);
        naive.GiveBack(now, charged_at, charged);
        charged = 0;
      } else if (cost > 0 && cost <= remaining) {
        window.Charge(key.bytes(), now, cost);
        naive.Charge(now, cost);
        charged_at = now;
        charged = cost;
      }
    }
  }
}

// However the clock jumps about, each window that it reached for the first time is worth N units.
TEST(FixedWindow, NoWindowReopensWhenTheClockStepsBack) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  const std::uint64_t quota = 4;
  const FixedWindow window(quota, kSecond);
  Key key;
  std::int64_t newest = Utc({2026});
  std::uint64_t windows = 0;
  std::uint64_t admitted = 0;
  std::int64_t last_window = 0;
  for (unsigned step = 0; step < 200'000; ++step) {
    if (random() % 4 == 0) newest += static_cast<std::int64_t>(random() % 900) * kMs;
    const bool back = random() % 2 == 0;
    const std::int64_t now = newest - (back ? static_cast<std::int64_t>(random() % 5000) * kMs : 0);
    ASSERT_LE(window.Remaining(key.bytes(), now), window.Remaining(key.bytes(), newest));
    if (const std::int64_t in = WindowOf(kSecond, now); in > last_window) {
      last_window = in;
      ++windows;
    }
    if (window.Remaining(key.bytes(), now) == 0) continue;
    window.Charge(key.bytes(), now, 1);
    ASSERT_LE(++admitted, quota * windows);
  }
}

TEST(FixedWindow, AWindowThatIsOverButWasNotFollowedStaysUsedUpForAClockThatStepsBack) {
  const FixedWindow window(2, kMinute);
  const std::int64_t start = Utc({2026, 3, 1, 12});
  Key key;
  window.Charge(key.bytes(), start, 2);
  EXPECT_EQ(window.Remaining(key.bytes(), start + 60 * kSecondNs), 2U);
  EXPECT_EQ(window.Remaining(key.bytes(), start + 59 * kSecondNs), 0U);
}

TEST(FixedWindow, AChargeIsGivenBackWhileItsWindowIsCounted) {
  const FixedWindow window(5, kMinute);
  const std::int64_t start = Utc({2026, 3, 1, 12});
  Key key;
  window.Charge(key.bytes(), start, 3);
  window.GiveBack(key.bytes(), start + 59 * kSecondNs, start, 2);
  EXPECT_EQ(window.Remaining(key.bytes(), start + 59 * kSecondNs), 4U);
  window.GiveBack(key.bytes(), start + 59 * kSecondNs, start, 99);  // Never beyond full.
  EXPECT_EQ(window.Remaining(key.bytes(), start + 59 * kSecondNs), 5U);
}

TEST(FixedWindow, AChargeOfAnEarlierWindowGivesNothingBack) {
  const FixedWindow window(5, kMinute);
  const std::int64_t start = Utc({2026, 3, 1, 12});
  const std::int64_t next = start + 60 * kSecondNs;
  Key key;
  window.Charge(key.bytes(), start, 3);
  window.GiveBack(key.bytes(), next, start, 3);  // Nothing of the new window is counted yet.
  EXPECT_EQ(window.Remaining(key.bytes(), next), 5U);
  window.Charge(key.bytes(), next, 4);
  window.GiveBack(key.bytes(), next, start, 3);
  EXPECT_EQ(window.Remaining(key.bytes(), next), 1U);
}

TEST(FixedWindow, UnitsAreGivenBackWithoutAStampButNeverBeyondFull) {
  const FixedWindow window(5, kMinute);
  const std::int64_t start = Utc({2026, 3, 1, 12});
  Key key;
  window.GiveBackOldest(key.bytes(), start, 2);
  EXPECT_EQ(window.Remaining(key.bytes(), start), 5U);
  window.Charge(key.bytes(), start, 3);
  window.GiveBackOldest(key.bytes(), start, 2);
  EXPECT_EQ(window.Remaining(key.bytes(), start), 4U);
  window.GiveBackOldest(key.bytes(), start, 99);
  EXPECT_EQ(window.Remaining(key.bytes(), start), 5U);
}

TEST(FixedWindow, CountsBefore1970AndAcrossIt) {
  for (const CalendarUnit unit : kAllUnits) {
    const FixedWindow window(2, unit);
    Key key;
    window.Charge(key.bytes(), -1, 2);
    EXPECT_EQ(window.Remaining(key.bytes(), -1), 0U) << CalendarUnitName(unit);
    const std::int64_t next = unit == kWeek ? Utc({1970, 1, 5}) : 1;
    EXPECT_EQ(window.Remaining(key.bytes(), next), 2U) << CalendarUnitName(unit);
    EXPECT_EQ(window.Remaining(key.bytes(), -1), 0U) << CalendarUnitName(unit);
  }
}

TEST(FixedWindow, HoldsTheLargestQuota) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
  const FixedWindow window(kMost, kYear);
  const std::int64_t now = Utc({2026});
  Key key;
  window.Charge(key.bytes(), now, kMost);
  EXPECT_EQ(window.Remaining(key.bytes(), now), 0U);
  EXPECT_EQ(window.RetryAfter(key.bytes(), now, kMost), 365U * 86'400 * kSecondNs);
  EXPECT_EQ(window.LoadOf(key.bytes(), now).used_ppm, 1'000'000U);
}

TEST(FixedWindow, LoadTellsTheShareRoundedUpAndWhenItClears) {
  const FixedWindow window(3, kMinute);
  const std::int64_t start = Utc({2026, 3, 1, 12});
  Key key;
  EXPECT_EQ(window.LoadOf(key.bytes(), start).clears_after_ns, 0U);
  window.Charge(key.bytes(), start, 1);
  EXPECT_EQ(window.LoadOf(key.bytes(), start).used_ppm, 333'333U);
  EXPECT_EQ(window.LoadOf(key.bytes(), start).clears_after_ns, 60U * kSecondNs);
  EXPECT_EQ(window.LoadOf(key.bytes(), start + 60 * kSecondNs).clears_after_ns, 0U);
}

// Dropped, it would let a clock that steps back count anew.
TEST(FixedWindow, AnOpenWindowWithNothingUsedIsNotDropped) {
  const FixedWindow window(3, kMinute);
  const std::int64_t start = Utc({2026, 3, 1, 12});
  Key key;
  window.Charge(key.bytes(), start, 1);
  window.GiveBack(key.bytes(), start, start, 1);
  EXPECT_EQ(window.ResetAfter(key.bytes(), start), 0U);
  EXPECT_EQ(window.LoadOf(key.bytes(), start).used_ppm, 0U);
  EXPECT_EQ(window.LoadOf(key.bytes(), start).clears_after_ns, 60U * kSecondNs);
}

}  // namespace
}  // namespace sluicegate::limit
