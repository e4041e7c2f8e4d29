// The clocks: the machine's never runs backwards and has the right date; a test's stands still.
#include <gtest/gtest.h>

#include <chrono>

#include "base/manual_clock.h"
#include "sluicegate/time.h"

namespace sluicegate {
namespace {

using namespace std::chrono_literals;

TEST(SystemClock, EngineTimeNeverRunsBackwardsAndIsNeverZero) {
  std::uint64_t last_ns = 1;
  for (unsigned i = 0; i < 10'000; ++i) {
    const Now now = SystemClock().Read();
    ASSERT_GE(now.engine_ns, last_ns);
    last_ns = now.engine_ns;
  }
}

TEST(SystemClock, EngineTimeRunsAtTheSpeedOfTheSteadyClock) {
  const auto outside = std::chrono::steady_clock::now();
  const Now first = SystemClock().Read();
  const auto inside = std::chrono::steady_clock::now();
  Now last = SystemClock().Read();
  auto inside_end = std::chrono::steady_clock::now();
  while (inside_end - inside < 2ms) {  // So that a clock of the wrong unit shows.
    inside_end = std::chrono::steady_clock::now();
    last = SystemClock().Read();
  }
  const std::chrono::nanoseconds passed(last.engine_ns - first.engine_ns);
  EXPECT_GE(passed, inside_end - inside);
  EXPECT_LE(passed, std::chrono::steady_clock::now() - outside);
}

TEST(SystemClock, WallTimeIsTheSystemsTime) {
  using std::chrono::system_clock;
  const auto unix_ns = [] {
    return std::chrono::nanoseconds(system_clock::now().time_since_epoch());
  };
  const std::chrono::nanoseconds before = unix_ns();
  const std::chrono::nanoseconds read(SystemClock().Read().unix_ns);
  // A machine whose clock is being set may step meanwhile, but not by an hour.
  EXPECT_GE(read, before - 1h);
  EXPECT_LE(read, unix_ns() + 1h);
}

TEST(SystemClock, IsOneObject) { EXPECT_EQ(&SystemClock(), &SystemClock()); }

TEST(ManualClock, StandsStillUntilItIsTold) {
  ManualClock clock({.engine_ns = 5, .unix_ns = 7});
  EXPECT_EQ(clock.Read().engine_ns, 5U);
  EXPECT_EQ(clock.Read().unix_ns, 7);
  clock.Advance(1s);
  EXPECT_EQ(clock.Read().engine_ns, 1'000'000'005U);
  EXPECT_EQ(clock.Read().unix_ns, 1'000'000'007);
  clock.Set({.engine_ns = 3, .unix_ns = -1});
  EXPECT_EQ(clock.Read().engine_ns, 3U);
  EXPECT_EQ(clock.Read().unix_ns, -1);
}

TEST(ManualClock, BeginsAfterNever) { EXPECT_GT(ManualClock().Read().engine_ns, 0U); }

}  // namespace
}  // namespace sluicegate
