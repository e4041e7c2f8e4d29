// The public Limiter: what it answers at simulated times, under threads, and to bad input.
#include "sluicegate/limiter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "base/manual_clock.h"
#include "sluicegate/lease.h"
#include "sluicegate/version.h"

namespace sluicegate {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;

constexpr std::uint64_t kSecondNs = 1'000'000'000;
constexpr std::size_t kSmall = 64 * 1024;

Limiter Make(std::initializer_list<LimitLike> limits, const Clock& clock) {
  auto limiter = Limiter::Create(limits, {.memory_bytes = kSmall, .clock = &clock});
  EXPECT_TRUE(limiter.has_value()) << limiter.error();
  return std::move(*limiter);
}

std::string ErrorOf(std::initializer_list<LimitLike> limits, LimiterOptions options = {}) {
  const auto limiter = Limiter::Create(limits, options);
  EXPECT_FALSE(limiter.has_value());
  return limiter ? "" : limiter.error();
}

TEST(Limiter, ABucketGoesThroughItsGoldenTable) {
  ManualClock clock;
  Limiter limiter = Make({Limit::Burst(3, "1/s")}, clock);
  struct Step {
    std::uint64_t at_ms, cost, remaining, reset_ms, retry_ms;
    bool allowed;
  };
  const Step steps[] = {
      {0, 1, 2, 1000, 0, true},       {0, 1, 1, 2000, 0, true},     {0, 1, 0, 3000, 0, true},
      {0, 1, 0, 3000, 1000, false},   {0, 3, 0, 3000, 3000, false}, {1000, 1, 0, 3000, 0, true},
      {2500, 2, 1, 1500, 500, false}, {3000, 2, 0, 3000, 0, true},  {9000, 0, 3, 0, 0, true},
      {9000, 3, 0, 3000, 0, true},
  };
  std::uint64_t now_ms = 0;
  for (const Step& step : steps) {
    clock.Advance(std::chrono::milliseconds(step.at_ms - now_ms));
    now_ms = step.at_ms;
    const Decision decision = limiter.Check("user:42", step.cost);
    SCOPED_TRACE("at " + std::to_string(step.at_ms) + " ms, cost " + std::to_string(step.cost));
    EXPECT_EQ(decision.allowed(), step.allowed);
    EXPECT_EQ(static_cast<bool>(decision), step.allowed);
    EXPECT_EQ(decision.remaining, step.remaining);
    EXPECT_EQ(decision.reset_after_ns, step.reset_ms * 1'000'000);
    EXPECT_EQ(decision.retry_after_ns, step.retry_ms * 1'000'000);
    EXPECT_EQ(decision.quota, 3U);
  }
}

TEST(Limiter, ADenialChargesNoLimitAndWaitsForAll) {
  ManualClock clock;
  Limiter limiter = Make({"5/minute", "8/hour"}, clock);
  EXPECT_EQ(limiter.Check("a", 5).remaining, 0U);
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(limiter.Check("a"));
  // Had the denials been charged, the hour would be used up.
  clock.Advance(minutes(2));
  const Decision full = limiter.Check("a", 3);
  EXPECT_TRUE(full);
  EXPECT_EQ(limiter.limits()[full.limit].name, "per-hour");
  EXPECT_EQ(full.remaining, 0U);
  const Decision denied = limiter.Check("a");
  EXPECT_FALSE(denied);
  EXPECT_EQ(denied.verdict, Verdict::kLimited);
  EXPECT_EQ(limiter.limits()[denied.limit].name, "per-hour");
  // Retry-After is the truth: a moment before it the same call fails, at it it passes.
  clock.Advance(Duration(static_cast<std::int64_t>(denied.retry_after_ns) - 1));
  EXPECT_FALSE(limiter.Check("a"));
  clock.Advance(Duration(1));
  EXPECT_TRUE(limiter.Check("a"));
}

TEST(Limiter, KeysAreApartAndAnyBytesAreOne) {
  ManualClock clock;
  Limiter limiter = Make({"1/minute"}, clock);
  const std::string long_key(100'000, 'x');
  for (const std::string& key : {std::string("a"), std::string("b"), std::string(),
                                 std::string("a\0b", 3), long_key, long_key + "y"}) {
    EXPECT_TRUE(limiter.Check(key));
    EXPECT_FALSE(limiter.Check(key));
  }
}

TEST(Limiter, ACostAboveTheQuotaNeverFits) {
  ManualClock clock;
  Limiter limiter = Make({"5/minute"}, clock);
  for (const std::uint64_t cost : {std::uint64_t{6}, ~std::uint64_t{0}}) {
    const Decision decision = limiter.Check("a", cost);
    EXPECT_FALSE(decision);
    EXPECT_EQ(decision.retry_after_ns, Decision::kNever);
  }
  EXPECT_EQ(limiter.Peek("a").remaining, 5U);
}

TEST(Limiter, APeekChargesNothing) {
  ManualClock clock;
  Limiter limiter = Make({"2/minute"}, clock);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(limiter.Peek("a").remaining, 2U);
  (void)limiter.Check("a", 2);
  const Decision used = limiter.Peek("a");
  EXPECT_EQ(used.remaining, 0U);
  EXPECT_GT(used.reset_after_ns, 60 * kSecondNs - 1);
}

TEST(Limiter, AGiveBackUndoesItsChargeAndNoOther) {
  ManualClock clock;
  Limiter limiter = Make({"5/minute", Limit::Burst(5, "5/minute")}, clock);
  Limiter other = Make({"5/minute"}, clock);
  const Decision two = limiter.Check("a", 2);
  (void)limiter.Check("a", 3);
  const Decision denied = limiter.Check("a");
  limiter.GiveBack(denied);
  EXPECT_EQ(limiter.Peek("a").remaining, 0U);
  other.GiveBack(two);
  EXPECT_EQ(other.Peek("a").remaining, 5U);
  limiter.GiveBack(two);
  EXPECT_EQ(limiter.Peek("a").remaining, 2U);
  limiter.GiveBack(Decision{});
  EXPECT_EQ(limiter.Peek("a").remaining, 2U);
}

TEST(Limiter, AGiveBackAfterTheWindowDoesNothing) {
  ManualClock clock;
  Limiter limiter = Make({"5/minute"}, clock);
  const Decision early = limiter.Check("a", 5);
  clock.Advance(hours(1));
  (void)limiter.Check("a", 5);
  limiter.GiveBack(early);
  EXPECT_EQ(limiter.Peek("a").remaining, 0U);
}

TEST(Limiter, LimitsSayWhatIsEnforced) {
  ManualClock clock;
  const Limiter limiter = Make({"60/minute", std::string("5/30s"), Limit::Burst(10)}, clock);
  EXPECT_THAT(limiter.limits(),
              ElementsAre(Field(&Limit::name, "per-minute"), Field(&Limit::name, "per-30s"),
                          Field(&Limit::name, "burst")));
  // The shortest window's rate.
  EXPECT_EQ(limiter.limits()[2].refill, 5U);
  EXPECT_EQ(limiter.limits()[2].window, seconds(30));
}

TEST(Limiter, MovingKeepsTheCounts) {
  static_assert(std::is_nothrow_move_constructible_v<Limiter>);
  static_assert(!std::is_copy_constructible_v<Limiter>);
  ManualClock clock;
  Limiter first = Make({"2/minute"}, clock);
  (void)first.Check("a");
  Limiter second = std::move(first);
  EXPECT_EQ(second.Peek("a").remaining, 1U);
  first = Make({"3/minute"}, clock);
  EXPECT_EQ(first.Peek("a").remaining, 3U);
  second = std::move(first);
  EXPECT_EQ(second.Peek("a").remaining, 3U);
}

TEST(Limiter, TheMemoryIsABound) {
  ManualClock clock;
  Limiter limiter = Make({Limit::Burst(5, "1/hour")}, clock);
  // A quarter is the sketch's.
  EXPECT_LE(limiter.capacity() * 13, kSmall * 3 / 4);
  EXPECT_GE(limiter.capacity() * 20, kSmall * 3 / 4);
  // An offender stays denied while ten times as many newcomers as fit pass by.
  (void)limiter.Check("offender", 5);
  for (std::uint64_t i = 0; i < limiter.capacity() * 10; ++i) {
    EXPECT_TRUE(limiter.Check("newcomer " + std::to_string(i)));
    ASSERT_FALSE(limiter.Check("offender")) << "after " << i;
  }
}

// More offenders than there are places: those that give way stay denied until they are clear.
TEST(Limiter, AnEvictedOffenderStaysDeniedUntilItIsClear) {
  ManualClock clock;
  Limiter limiter = Make({"2/minute"}, clock);
  const std::uint64_t offenders = limiter.capacity() * 5 / 4;  // The sketch has room for the rest.
  for (std::uint64_t i = 0; i < offenders; ++i) (void)limiter.Check(std::to_string(i), 2);
  ASSERT_GE(limiter.evictions(), limiter.capacity() / 4);
  for (std::uint64_t i = 0; i < offenders; ++i) {
    const Decision decision = limiter.Check(std::to_string(i));
    ASSERT_FALSE(decision) << i;
    EXPECT_GT(decision.retry_after_ns, 59 * kSecondNs);
    EXPECT_EQ(decision.remaining, 0U);
    EXPECT_TRUE(decision.Denies(0));
    EXPECT_EQ(limiter.Peek(std::to_string(i)).remaining, 0U);
  }
  clock.Advance(seconds(65));  // 16 slices of 4 s, and a tick of the sketch.
  for (std::uint64_t i = 0; i < offenders; ++i) EXPECT_TRUE(limiter.Check(std::to_string(i))) << i;
}

TEST(Limiter, ABlockedKeyWhoseCostIsAboveTheQuotaHasNoWait) {
  ManualClock clock;
  Limiter limiter = Make({"2/minute"}, clock);
  const std::uint64_t offenders = limiter.capacity() * 5 / 4;  // The sketch has room for the rest.
  for (std::uint64_t i = 0; i < offenders; ++i) (void)limiter.Check(std::to_string(i), 2);
  for (std::uint64_t i = 0; i < offenders; ++i) {
    EXPECT_EQ(limiter.Check(std::to_string(i), 3).retry_after_ns, Decision::kNever) << i;
  }
}

TEST(Limiter, ManyAtOnceAreDecidedLikeOneAfterTheOther) {
  ManualClock clock;
  Limiter one = Make({"3/minute", Limit::Burst(2, "1/s")}, clock);
  Limiter many = Make({"3/minute", Limit::Burst(2, "1/s")}, clock);
  std::vector<std::string> texts;
  for (std::uint64_t i = 0; i < 1000; ++i) texts.push_back("key " + std::to_string(i * i % 150));
  const std::vector<std::string_view> keys(texts.begin(), texts.end());
  std::vector<Decision> decisions(keys.size());
  for (unsigned round = 0; round < 3; ++round) {
    many.CheckMany(keys, decisions);
    for (std::size_t i = 0; i < keys.size(); ++i) {
      const Decision decision = one.Check(keys[i]);
      ASSERT_EQ(decisions[i].allowed(), decision.allowed()) << keys[i];
      EXPECT_EQ(decisions[i].limit, decision.limit);
      EXPECT_EQ(decisions[i].remaining, decision.remaining);
      EXPECT_EQ(decisions[i].retry_after_ns, decision.retry_after_ns);
      EXPECT_EQ(decisions[i].hold_ns, decision.hold_ns);
      EXPECT_EQ(decisions[i].reset_after_ns, decision.reset_after_ns);
    }
    clock.Advance(seconds(1));
  }
  many.CheckMany({}, {});
}

TEST(Limiter, UnitsInFlightEndWhenTheyAreReleased) {
  ManualClock clock;
  Limiter limiter = Make({Limit::Concurrency(2, seconds(30)), "5/minute"}, clock);
  const Decision first = limiter.Check("a");
  const Decision second = limiter.Check("a");
  EXPECT_EQ(second.remaining, 3U) << "of the window: it says more than what is in flight";
  const Decision third = limiter.Check("a");
  EXPECT_FALSE(third);
  EXPECT_EQ(limiter.limits()[third.limit].name, "concurrency");
  EXPECT_GE(third.retry_after_ns, 30 * kSecondNs);
  EXPECT_LT(third.retry_after_ns, 32 * kSecondNs);
  EXPECT_TRUE(limiter.Check("b")) << "each key has its own";
  limiter.Release(first);
  EXPECT_TRUE(limiter.Check("a"));
  EXPECT_FALSE(limiter.Check("a"));
  limiter.GiveBack(second);  // All of it: the unit in flight and the one of the window.
  const Decision fourth = limiter.Check("a");
  EXPECT_TRUE(fourth);
  EXPECT_EQ(limiter.Peek("a").remaining, 2U);
  EXPECT_FALSE(limiter.Check("a"));
  limiter.Release(third);  // Denied: it has nothing in flight.
  EXPECT_FALSE(limiter.Check("a"));
}

TEST(Limiter, ALeaseEndsByItself) {
  ManualClock clock;
  Limiter limiter = Make({Limit::Concurrency(1, seconds(15))}, clock);
  EXPECT_TRUE(limiter.Check("a"));
  clock.Advance(seconds(15) - std::chrono::nanoseconds(1));
  EXPECT_FALSE(limiter.Check("a"));
  clock.Advance(seconds(1));  // Its slice is 1 s long.
  EXPECT_TRUE(limiter.Check("a"));
}

TEST(Limiter, ALeaseHoldsUntilItsScopeEnds) {
  ManualClock clock;
  Limiter limiter = Make({Limit::Concurrency(1)}, clock);
  {
    Lease moved;
    {
      Lease lease(limiter, limiter.Check("a"));
      EXPECT_FALSE(limiter.Check("a"));
      moved = std::move(lease);
    }
    EXPECT_FALSE(limiter.Check("a"));
    const Lease of_a_denied(limiter, limiter.Check("a"));
  }
  Lease lease(limiter, limiter.Check("a"));
  lease.End();
  lease.End();
  const Decision again = limiter.Check("a");
  EXPECT_TRUE(again);
  {
    Lease dismissed(limiter, again);
    dismissed.Dismiss();
  }
  EXPECT_FALSE(limiter.Check("a"));
}

// A thread whose clock lags puts its lease into the newest slice; both ends are found.
TEST(Limiter, ALeaseOutlivesAMoveOfItsLimiter) {
  ManualClock clock;
  Limiter limiter = Make({Limit::Concurrency(1)}, clock);
  Lease lease(limiter, limiter.Check("a"));
  Limiter moved = std::move(limiter);
  EXPECT_FALSE(moved.Check("a"));
  lease.End();
  EXPECT_TRUE(moved.Check("a"));
}

TEST(Limiter, OfMoreKeysThanDecisionsTheFirstAreDecided) {
  ManualClock clock;
  Limiter limiter = Make({"5/hour"}, clock);
  const std::array<std::string_view, 3> keys = {"a", "a", "a"};
  std::array<Decision, 2> decisions;
  limiter.CheckMany(keys, decisions);
  EXPECT_EQ(decisions[1].remaining, 3U);
  limiter.CheckMany(std::span(keys).first(1), decisions);
  EXPECT_EQ(limiter.Peek("a").remaining, 2U);
}

TEST(Limiter, LeasesTakenUnderALaggingClockEndToo) {
  ManualClock clock;
  Limiter limiter = Make({Limit::Concurrency(2, seconds(15))}, clock);
  clock.Set({.engine_ns = 100 * kSecondNs, .unix_ns = 0});
  const Decision first = limiter.Check("a");
  clock.Set({.engine_ns = 100 * kSecondNs - 1, .unix_ns = 0});
  const Decision second = limiter.Check("a");
  limiter.Release(first);
  limiter.Release(second);
  EXPECT_EQ(limiter.Peek("a").remaining, 2U);
}

TEST(Limiter, ABlockedKeyIsToldTheShortestLimitThatReachesSoFar) {
  ManualClock clock;
  Limiter limiter = Make({"1/minute", "100/hour"}, clock);
  const std::uint64_t offenders = limiter.capacity() * 5 / 4;
  for (std::uint64_t i = 0; i < offenders; ++i) (void)limiter.Check(std::to_string(i));
  for (std::uint64_t i = 0; i < offenders; ++i) {
    const Decision decision = limiter.Check(std::to_string(i));
    if (decision.allowed()) continue;  // Forgotten.
    EXPECT_EQ(limiter.limits()[decision.limit].name, "per-minute") << i;
  }
}

// Keys with something in flight are never evicted; who finds no place shares one.
TEST(Limiter, WhatIsInFlightOutlivesAnyFlood) {
  ManualClock clock;
  Limiter limiter = Make({Limit::Concurrency(1, seconds(30))}, clock);
  std::vector<Decision> held;
  unsigned shared = 0;
  for (std::uint64_t i = 0; i < limiter.capacity() * 2; ++i) {
    const Decision decision = limiter.Check(std::to_string(i));
    if (decision) held.push_back(decision);
    if (!decision && i > limiter.capacity()) shared += decision.shared_bits > 0 ? 1U : 0U;
  }
  EXPECT_LE(held.size(), limiter.capacity() + 1);
  EXPECT_GT(shared, 0U);
  for (std::uint64_t i = 0; i < limiter.capacity() * 2; ++i) {
    EXPECT_FALSE(limiter.Check(std::to_string(i))) << i;
  }
  for (const Decision& decision : held) limiter.Release(decision);
  EXPECT_TRUE(limiter.Check("0"));
}

TEST(Limiter, SystemClockIsTheDefault) {
  auto limiter = Limiter::Create({"2/day"}, {.memory_bytes = kSmall});
  ASSERT_TRUE(limiter.has_value());
  EXPECT_TRUE(limiter->Check("a"));
  EXPECT_TRUE(limiter->Check("a"));
  const Decision denied = limiter->Check("a");
  EXPECT_FALSE(denied);
  EXPECT_GT(denied.retry_after_ns, 23 * 3600 * kSecondNs);
}

TEST(Limiter, ThreadsTogetherGetExactlyTheQuota) {
  ManualClock clock;
  Limiter limiter = Make({"1000/hour", Limit::Burst(700, "1/hour")}, clock);
  std::atomic<unsigned> admitted{0};
  {
    std::vector<std::jthread> threads;
    for (unsigned t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (unsigned i = 0; i < 500; ++i) {
          if (limiter.Check("shared")) ++admitted;
          if (i % 7 == 0) limiter.GiveBack(limiter.Check("other"));
        }
      });
    }
  }
  EXPECT_EQ(admitted.load(), 700U);
  EXPECT_EQ(limiter.Peek("other").remaining, 700U);
}

TEST(LimiterErrors, SayWhatIsWrongAndTheMend) {
  EXPECT_THAT(ErrorOf({}), HasSubstr("Write at least one"));
  EXPECT_THAT(ErrorOf({"sixty a minute"}), HasSubstr("'sixty a minute' is no limit. Write"));
  EXPECT_THAT(ErrorOf({"60/minute", "60/fortnight"}), HasSubstr("fortnight"));
  EXPECT_THAT(ErrorOf({"0/minute"}), HasSubstr("Write a quota of at least 1"));
  EXPECT_THAT(ErrorOf({"5/month"}), HasSubstr("Write a length like 30d"));
  EXPECT_THAT(ErrorOf({Limit::Burst(10)}), HasSubstr("needs a refill. Write"));
  EXPECT_THAT(ErrorOf({Limit::Burst(10, "often")}), HasSubstr("refill cannot be read. Write"));
  EXPECT_THAT(ErrorOf({"60/minute", "30/minute"}),
              HasSubstr("Two limits are called per-minute. Leave one out"));
  EXPECT_THAT(ErrorOf({Limit{.algorithm = Algorithm::kConcurrency, .quota = 2, .name = {}}}),
              HasSubstr("a lease must be longer than nothing"));
  EXPECT_THAT(ErrorOf({Limit{}}), HasSubstr("0 units"));
}

TEST(LimiterErrors, AtMostEightLimits) {
  EXPECT_THAT(ErrorOf({"1/s", "2/2s", "3/3s", "4/4s", "5/5s", "6/6s", "7/7s", "8/8s", "9/9s"}),
              HasSubstr("There are 9 limits, and a limiter has at most 8"));
}

TEST(LimiterErrors, TooLittleMemoryNamesTheLeast) {
  const std::string error = ErrorOf({"60/minute"}, {.memory_bytes = 100});
  EXPECT_THAT(error, HasSubstr("100 bytes"));
  const std::size_t at = error.find("at least ");
  ASSERT_NE(at, std::string::npos) << error;
  const std::size_t least = std::stoul(error.substr(at + 9));
  EXPECT_TRUE(Limiter::Create({"60/minute"}, {.memory_bytes = least}).has_value());
  EXPECT_FALSE(Limiter::Create({"60/minute"}, {.memory_bytes = least - 1}).has_value());
  EXPECT_FALSE(Limiter::Create({"60/minute"}, {.memory_bytes = 0}).has_value());
}

TEST(Version, IsTheBuilds) {
  EXPECT_EQ(kVersion, SLUICEGATE_PROJECT_VERSION);
  EXPECT_EQ(std::to_string(kVersionMajor) + "." + std::to_string(kVersionMinor) + "." +
                std::to_string(kVersionPatch),
            kVersion);
}

}  // namespace
}  // namespace sluicegate
