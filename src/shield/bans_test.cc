// Bans: when one begins, how long it lasts, and what is forgotten when.
#include "shield/bans.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <deque>
#include <random>
#include <string>

#include "base/seed_for_test.h"

namespace sluicegate::shield {
namespace {

// Numbers as hashes: all bits of a hash matter.
constexpr std::uint64_t Hash(std::uint64_t number) { return number * 0x9E3779B97F4A7C15ULL; }

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kMinute = 60 * kSecond;
constexpr std::uint64_t kDay = 24 * 3600 * kSecond;

// 3 within a minute: 5 minutes, then 6 and 48 times that.
PenaltyTerms Terms() {
  PenaltyTerms terms{.violations = 3, .within_ns = kMinute, .ban_ns = 5 * kMinute, .levels = 3};
  terms.escalate[0] = 1;
  terms.escalate[1] = 6;
  terms.escalate[2] = 48;
  return terms;
}

// Violations at `now_ns` until a ban begins; how many it took.
unsigned ViolateUntilBanned(BanState& state, std::uint64_t now_ns) {
  unsigned violations = 1;
  while (!AddViolation(state, Terms(), now_ns)) {
    if (++violations > 100) return 0;
  }
  return violations;
}

TEST(Bans, TheLastViolationOfTheNumberBeginsTheBan) {
  BanState state;
  EXPECT_FALSE(AddViolation(state, Terms(), kSecond));
  EXPECT_FALSE(AddViolation(state, Terms(), kSecond));
  EXPECT_EQ(BanLeft(state, kSecond), 0U);
  EXPECT_TRUE(AddViolation(state, Terms(), kSecond));
  EXPECT_EQ(BanLeft(state, kSecond), 5 * kMinute);
  EXPECT_EQ(BanLeft(state, kSecond + 5 * kMinute - 1), 1U);
  EXPECT_EQ(BanLeft(state, kSecond + 5 * kMinute), 0U);
}

TEST(Bans, OneViolationBansWhereOneIsEnough) {
  PenaltyTerms terms = Terms();
  terms.violations = 1;
  BanState state;
  EXPECT_TRUE(AddViolation(state, terms, kSecond));
}

TEST(Bans, ViolationsThatAreFarApartAreForgiven) {
  BanState state;
  for (unsigned i = 0; i < 1000; ++i) {
    // One each 20 s is what a bucket of 3 a minute gives back.
    ASSERT_FALSE(AddViolation(state, Terms(), kSecond + i * 20 * kSecond)) << i;
  }
}

TEST(Bans, EachBanIsLongerAndTheLastLengthStays) {
  BanState state;
  std::uint64_t now_ns = kSecond;
  for (const std::uint64_t factor : {1U, 6U, 48U, 48U, 48U}) {
    EXPECT_EQ(ViolateUntilBanned(state, now_ns), 3U);
    EXPECT_EQ(BanLeft(state, now_ns), factor * 5 * kMinute);
    now_ns += BanLeft(state, now_ns);
  }
}

TEST(Bans, ALevelIsLostAfterEachCleanDay) {
  for (const auto& [clean_ns, factor] :
       {std::pair{kDay - 1, 48U}, {kDay, 6U}, {2 * kDay - 1, 6U}, {2 * kDay, 1U}, {9 * kDay, 1U}}) {
    BanState state;
    std::uint64_t now_ns = kSecond;
    for (unsigned bans = 0; bans < 5; ++bans) {  // The last level, however often.
      ViolateUntilBanned(state, now_ns);
      now_ns += BanLeft(state, now_ns);
    }
    now_ns += clean_ns;  // Counted from the last ban's end.
    ViolateUntilBanned(state, now_ns);
    EXPECT_EQ(BanLeft(state, now_ns), factor * 5 * kMinute) << clean_ns;
  }
}

TEST(Bans, AViolationStartsTheCleanDayAnew) {
  BanState state;
  ViolateUntilBanned(state, kSecond);
  const std::uint64_t end_ns = kSecond + BanLeft(state, kSecond);
  EXPECT_FALSE(AddViolation(state, Terms(), end_ns + kDay / 2));
  ViolateUntilBanned(state, end_ns + kDay + 1);
  EXPECT_EQ(BanLeft(state, end_ns + kDay + 1), 6 * 5 * kMinute);
}

TEST(Bans, MemoryLastsAsLongAsAnythingCouldDependOnIt) {
  BanState state;
  EXPECT_EQ(MemoryLeft(state, kSecond), 0U);
  AddViolation(state, Terms(), kSecond);
  EXPECT_EQ(MemoryLeft(state, kSecond), 20 * kSecond);
  ViolateUntilBanned(state, kSecond);
  EXPECT_EQ(MemoryLeft(state, kSecond), 5 * kMinute + kDay);
}

TEST(Bans, SaturateAtTheEndOfTime) {
  BanState state;
  PenaltyTerms terms = Terms();
  terms.ban_ns = ~std::uint64_t{0};
  const std::uint64_t late_ns = ~std::uint64_t{0} - 5;
  terms.violations = 1;
  EXPECT_TRUE(AddViolation(state, terms, late_ns));
  EXPECT_EQ(BanLeft(state, late_ns), 5U);
}

TEST(Bans, TimeThatStepsBackKeepsTheBan) {
  BanState state;
  ViolateUntilBanned(state, 10 * kMinute);
  EXPECT_EQ(BanLeft(state, 9 * kMinute), 6 * kMinute);
}

// The bucket's bound: 3 within a minute, so one drains each 20 s, and in any W at most
// 2 + W / 20 s go unpunished.
TEST(Bans, NoMoreThanTheBucketHoldsGoUnpunished) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  BanState state;
  std::deque<std::uint64_t> unpunished;  // Of the last five minutes.
  std::uint64_t now_ns = kSecond;
  for (unsigned i = 0; i < 100'000; ++i) {
    now_ns += random() % (random() % 8 == 0 ? 50 * kSecond : 25 * kSecond);
    if (BanLeft(state, now_ns) > 0) continue;
    if (AddViolation(state, Terms(), now_ns)) {
      unpunished.clear();
      continue;
    }
    unpunished.push_back(now_ns);
    while (now_ns - unpunished.front() > 5 * kMinute) unpunished.pop_front();
    for (std::size_t first = 0; first < unpunished.size(); ++first) {
      const std::uint64_t in_ns = now_ns - unpunished[first];
      ASSERT_LE(unpunished.size() - first, 2 + in_ns / (20 * kSecond));
    }
  }
}

TEST(BanTable, HoldsKeysApart) {
  auto bans = Bans::Create(1U << 16);
  ASSERT_TRUE(bans.has_value());
  const Now now{.engine_ns = kSecond, .unix_ns = 0};
  for (unsigned i = 0; i < 3; ++i) (*bans)->RecordViolation(Hash(1), Terms(), now);
  EXPECT_EQ((*bans)->Find(Hash(1), now).left_ns, 5 * kMinute);
  EXPECT_EQ((*bans)->Find(Hash(2), now).left_ns, 0U);
}

TEST(BanTable, AViolationDuringABanCountsForNothing) {
  auto bans = Bans::Create(1U << 16);
  ASSERT_TRUE(bans.has_value());
  const Now now{.engine_ns = kSecond, .unix_ns = 0};
  for (unsigned i = 0; i < 100; ++i) (*bans)->RecordViolation(Hash(1), Terms(), now);
  EXPECT_EQ((*bans)->Find(Hash(1), now).left_ns, 5 * kMinute);
}

TEST(BanTable, ARunningBanIsNeverEvictedAndTheRefusedAreCounted) {
  auto bans = Bans::Create(0);  // One bucket of 12.
  ASSERT_TRUE(bans.has_value());
  PenaltyTerms terms = Terms();
  terms.violations = 1;
  const Now now{.engine_ns = kSecond, .unix_ns = 0};
  for (std::uint64_t key = 1; key <= 20; ++key) (*bans)->RecordViolation(Hash(key), terms, now);
  unsigned banned = 0;
  for (std::uint64_t key = 1; key <= 20; ++key)
    banned += (*bans)->Find(Hash(key), now).left_ns > 0 ? 1U : 0U;
  EXPECT_EQ(banned, 12U);
  EXPECT_EQ((*bans)->refused(), 8U);
}

TEST(BanTable, WhatIsForgottenIsAsIfItHadNeverBeen) {
  auto bans = Bans::Create(1U << 16);
  ASSERT_TRUE(bans.has_value());
  const Now now{.engine_ns = kSecond, .unix_ns = 0};
  for (std::uint64_t key = 1; key <= 3; ++key) {
    for (unsigned i = 0; i < 3; ++i) (*bans)->RecordViolation(Hash(key), Terms(), now);
  }
  EXPECT_TRUE((*bans)->Forget(Hash(1)));
  EXPECT_TRUE((*bans)->Forget(Hash(9))) << "nobody knew it";
  EXPECT_EQ((*bans)->Find(Hash(1), now).left_ns, 0U);
  EXPECT_EQ((*bans)->Find(Hash(2), now).left_ns, 5 * kMinute);
  for (unsigned i = 0; i < 3; ++i) (*bans)->RecordViolation(Hash(1), Terms(), now);
  EXPECT_EQ((*bans)->Find(Hash(1), now).left_ns, 5 * kMinute) << "the first ban's length";
  (*bans)->ForgetAll(now);
  EXPECT_EQ((*bans)->EstimateLive(now), 0U);
}

TEST(BanTable, AMereSuspectGivesWayToANewOne) {
  auto bans = Bans::Create(0);
  ASSERT_TRUE(bans.has_value());
  const Now now{.engine_ns = kSecond, .unix_ns = 0};
  for (std::uint64_t key = 1; key <= 13; ++key) (*bans)->RecordViolation(Hash(key), Terms(), now);
  (*bans)->RecordViolation(Hash(13), Terms(), now);
  EXPECT_EQ((*bans)->RecordViolation(Hash(13), Terms(), now).ban_ns, 5 * kMinute);
  EXPECT_EQ((*bans)->evictions(), 1U);
  EXPECT_EQ((*bans)->EstimateLive(now), 12U);
}

}  // namespace
}  // namespace sluicegate::shield
