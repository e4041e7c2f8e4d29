#include "shield/rate_floor.h"

#include <gtest/gtest.h>

#include <random>

#include "base/seed_for_test.h"

namespace sluicegate::shield {
namespace {

using std::chrono::seconds;

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kStart = 1'000 * kSecond;

constexpr std::uint64_t At(std::uint64_t second) { return kStart + second * kSecond; }

/// 500 bytes a second over 10 seconds, begun.
RateFloor Begun() {
  RateFloor floor(500, seconds(10));
  floor.Begin(kStart);
  return floor;
}

TEST(RateFloorTest, IsJudgedAtTheEndOfEachWindow) {
  RateFloor floor = Begun();
  EXPECT_EQ(floor.due_ns(), At(10));
  floor.Count(4999, At(10) - 1);
  EXPECT_FALSE(floor.Expired(At(10) - 1));
  EXPECT_TRUE(floor.Expired(At(10)));
  floor = Begun();
  floor.Count(4999, At(10));
  floor.Count(1, At(10));
  EXPECT_FALSE(floor.Expired(At(10)));
  EXPECT_EQ(floor.due_ns(), At(20));
}

TEST(RateFloorTest, WhoIsIdleAtTheStartHasAWindow) {
  RateFloor floor = Begun();
  EXPECT_FALSE(floor.Expired(kStart));
  EXPECT_FALSE(floor.Expired(At(9)));
  EXPECT_TRUE(floor.Expired(At(10)));
  floor = Begun();
  floor.Count(5000, At(10));  // All of it at the last moment.
  EXPECT_FALSE(floor.Expired(At(10)));
}

TEST(RateFloorTest, BurstsMustBringTheFloorInEachWindow) {
  RateFloor floor = Begun();
  for (std::uint64_t window = 1; window <= 100; ++window) {
    floor.Count(5000, At(10 * window));
    EXPECT_FALSE(floor.Expired(At(10 * window)));
  }
  EXPECT_TRUE(floor.Expired(At(1010)));
}

TEST(RateFloorTest, ABurstBuysOneWindowFromThenOn) {
  RateFloor floor = Begun();
  floor.Count(1'000'000'000, At(4));
  EXPECT_FALSE(floor.Expired(At(10)));
  EXPECT_EQ(floor.due_ns(), At(14));
  EXPECT_FALSE(floor.Expired(At(14) - 1));
  EXPECT_TRUE(floor.Expired(At(14))) << "what was beyond the floor counts for nothing later";
}

TEST(RateFloorTest, ATrickleBehindABurstBuysWhatItPaysFor) {
  RateFloor floor = Begun();
  floor.Count(1'000'000, kStart);
  for (std::uint64_t second = 1; second < 10; ++second) floor.Count(50, At(second));
  // 450 bytes, or 900 ms.
  EXPECT_FALSE(floor.Expired(At(10)));
  EXPECT_FALSE(floor.Expired(At(10) + 9 * kSecond / 10 - 1));
  EXPECT_TRUE(floor.Expired(At(10) + 9 * kSecond / 10));
}

TEST(RateFloorTest, JudgedLateItAsksForAllTheWindows) {
  RateFloor floor = Begun();
  floor.Count(3 * 5000 - 1, At(35));
  EXPECT_TRUE(floor.Expired(At(35)));
  floor = Begun();
  floor.Count(3 * 5000, At(35));
  EXPECT_FALSE(floor.Expired(At(35)));
  EXPECT_EQ(floor.due_ns(), At(40)) << "for as long as all that came pays";
}

TEST(RateFloorTest, EndedItExpectsNothing) {
  RateFloor floor = Begun();
  floor.End();
  EXPECT_FALSE(floor.begun());
  EXPECT_FALSE(floor.Expired(At(1000)));
  floor.Begin(At(1000));
  EXPECT_FALSE(floor.Expired(At(1009)));
  EXPECT_TRUE(floor.Expired(At(1010)));
}

TEST(RateFloorTest, WithoutAFloorNothingIsTooSlow) {
  for (RateFloor floor : {RateFloor(), RateFloor(0, seconds(10))}) {
    floor.Begin(kStart);
    EXPECT_FALSE(floor.begun());
    EXPECT_FALSE(floor.Expired(~std::uint64_t{0}));
  }
}

TEST(RateFloorTest, SmallWindowsAndLargeRatesRoundUp) {
  RateFloor floor(1, std::chrono::nanoseconds(1));
  floor.Begin(kStart);
  EXPECT_TRUE(floor.Expired(kStart + 1)) << "a part of a byte is one";
  floor = RateFloor(~std::uint32_t{0}, std::chrono::hours(24 * 365));
  floor.Begin(kStart);
  floor.Count(~std::uint64_t{0}, kStart + 366 * 24 * 3600 * kSecond);
  floor.Count(1, kStart + 366 * 24 * 3600 * kSecond);
  EXPECT_FALSE(floor.Expired(kStart + 366 * 24 * 3600 * kSecond));
}

TEST(RateFloorTest, TimeThatRunsBackwardsAccusesNobody) {
  RateFloor floor = Begun();
  EXPECT_FALSE(floor.Expired(kStart - kSecond));
}

// Whoever brings the floor in every interval of a window's length is never found too slow, at
// whatever times it is judged; who brings it in none is, at the first judgement due.
TEST(RateFloorTest, AccusesTheSlowAndThemAlone) {
  std::mt19937_64 random(SeedForTest());
  for (int run = 0; run < 200; ++run) {
    RateFloor honest = Begun();
    RateFloor slow = Begun();
    bool found = false;
    for (std::uint64_t second = 1; second <= 200; ++second) {
      honest.Count(500, At(second));
      slow.Count(random() % 250, At(second));  // Below half of it in each second.
      if (random() % 4 != 0) continue;
      const bool due = At(second) >= slow.due_ns();
      EXPECT_FALSE(honest.Expired(At(second)));
      if (!found) {
        EXPECT_EQ(slow.Expired(At(second)), due);
      }
      found = found || due;
    }
    EXPECT_TRUE(found);
  }
}

}  // namespace
}  // namespace sluicegate::shield
