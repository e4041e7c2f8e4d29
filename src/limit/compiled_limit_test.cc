// CompiledLimit: every algorithm through the one interface, what cannot be compiled, and which
// states a reload keeps.
#include "limit/compiled_limit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/seed_for_test.h"
#include "limit/utc_for_test.h"

namespace sluicegate::limit {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMostStateBytes = 72;

struct Key {
  alignas(8) std::array<std::byte, kMostStateBytes> state{};
  [[nodiscard]] std::byte* bytes() { return state.data(); }
};

Limit Sliding(std::uint64_t quota, Duration window) {
  return {.algorithm = Algorithm::kSlidingWindow, .quota = quota, .window = window, .name = {}};
}

Limit Bucket(std::uint64_t burst, std::uint64_t refill, Duration period) {
  return {.algorithm = Algorithm::kTokenBucket,
          .quota = burst,
          .window = period,
          .refill = refill,
          .name = {}};
}

Limit Fixed(std::uint64_t quota, CalendarUnit unit) {
  return {.algorithm = Algorithm::kFixedWindow, .quota = quota, .unit = unit, .name = {}};
}

Limit Leases(std::uint64_t in_flight, Duration lease) {
  return {.algorithm = Algorithm::kConcurrency, .quota = in_flight, .window = lease, .name = {}};
}

CompiledLimit Compiled(const Limit& limit) {
  auto compiled = CompiledLimit::Compile(limit);
  EXPECT_TRUE(compiled.has_value()) << (compiled ? "" : compiled.error());
  return *compiled;
}

std::string ErrorOf(const Limit& limit) {
  const auto compiled = CompiledLimit::Compile(limit);
  return compiled ? "compiled" : compiled.error();
}

// Both clocks at the same distance from a start on an edge of the calendar.
Now At(std::uint64_t ns) {
  return {.engine_ns = 1'000'000'000'000 + ns,
          .unix_ns = Utc({2024, 1, 1}) + static_cast<std::int64_t>(ns)};
}

Now Later(Now now, std::uint64_t ns) {
  return {.engine_ns = now.engine_ns + ns, .unix_ns = now.unix_ns + static_cast<std::int64_t>(ns)};
}

TEST(CompiledLimit, StatesHaveThePromisedSizes) {
  EXPECT_EQ(Compiled(Bucket(10, 1, 1s)).state_bytes(), 8U);
  EXPECT_EQ(Compiled(Fixed(10, CalendarUnit::kHour)).state_bytes(), 16U);
  EXPECT_EQ(Compiled(Sliding(10, 1min)).state_bytes(), 40U);
  EXPECT_EQ(Compiled(Sliding(65'535, 1min)).state_bytes(), 40U);
  EXPECT_EQ(Compiled(Sliding(65'536, 1min)).state_bytes(), 72U);
  EXPECT_EQ(Compiled(Sliding(4'294'967'295, 1min)).state_bytes(), 72U);
}

TEST(CompiledLimit, KeepsWhatItWasMadeOf) {
  const CompiledLimit sliding = Compiled(Sliding(60, 1min));
  EXPECT_EQ(sliding.algorithm(), Algorithm::kSlidingWindow);
  EXPECT_EQ(sliding.quota(), 60U);
  EXPECT_EQ(sliding.window_ns(), 60'000'000'000U);
  const CompiledLimit fixed = Compiled(Fixed(60, CalendarUnit::kMonth));
  EXPECT_EQ(fixed.algorithm(), Algorithm::kFixedWindow);
  EXPECT_EQ(fixed.window_ns(), 30U * 86'400'000'000'000);
  const CompiledLimit bucket = Compiled(Bucket(10, 3, 1s));
  EXPECT_EQ(bucket.algorithm(), Algorithm::kTokenBucket);
  EXPECT_EQ(bucket.quota(), 10U);
  EXPECT_EQ(bucket.window_ns(), 10U * 333'333'334);  // Rounded up: 3 a second would be too fast.
}

// Both widths, on both sides of the border, count to their whole quota.
TEST(CompiledLimit, AQuotaAtTheCountersWidthIsCountedInFull) {
  for (const std::uint64_t quota : {65'534U, 65'535U, 65'536U, 65'537U, 4'294'967'295U}) {
    const CompiledLimit limit = Compiled(Sliding(quota, 1min));
    Key key;
    limit.Charge(key.bytes(), At(0), quota - 1);
    EXPECT_EQ(limit.Remaining(key.bytes(), At(1)), 1U) << quota;
    limit.Charge(key.bytes(), At(1), 1);
    EXPECT_EQ(limit.Remaining(key.bytes(), At(2)), 0U) << quota;
    EXPECT_EQ(limit.LoadOf(key.bytes(), At(2)).used_ppm, 1'000'000U) << quota;
  }
}

TEST(CompiledLimit, WhatCannotBeMetIsRefusedWithItsMend) {
  EXPECT_EQ(
      ErrorOf(Sliding(0, 1min)),
      "a limit of 0 units can never be met. Write a quota of at least 1, or leave the rule out.");
  EXPECT_EQ(ErrorOf(Bucket(0, 1, 1s)), ErrorOf(Sliding(0, 1min)));
  EXPECT_EQ(ErrorOf(Fixed(0, CalendarUnit::kDay)), ErrorOf(Sliding(0, 1min)));
  EXPECT_EQ(ErrorOf(Leases(0, 30s)), ErrorOf(Sliding(0, 1min)));
  EXPECT_EQ(ErrorOf(Leases(5, 0s)),
            "a lease must be longer than nothing and at most 146 years. Write how long a request "
            "may take, like lease: 30s.");
  EXPECT_EQ(ErrorOf(Leases(4'294'967'296, 30s)),
            "a concurrency limit counts to 4294967295. Write a smaller number of requests in "
            "flight.");
}

TEST(CompiledLimit, ABucketNeedsARefillThatTheClockCanTell) {
  constexpr std::string_view kNone =
      "a token bucket needs a refill. Write refill: 1/s, or give it a window beside it whose rate "
      "it takes.";
  EXPECT_EQ(ErrorOf(Bucket(10, 0, 0s)), kNone);
  EXPECT_EQ(ErrorOf(Bucket(10, 0, 1s)), kNone);
  EXPECT_EQ(ErrorOf(Bucket(10, 1, 0s)), kNone);
  EXPECT_EQ(ErrorOf(Bucket(10, 0, Duration(-1))),
            "the refill cannot be read. Write units per time, like refill: 1/s or refill: "
            "100/5min.");
  constexpr std::string_view kFast =
      "a refill of more than 1000000 units a second is finer than the clock. Write at most "
      "1000000/s.";
  EXPECT_EQ(ErrorOf(Bucket(10, 1'000'000, 1s)), "compiled");
  EXPECT_EQ(ErrorOf(Bucket(10, 1'000'001, 1s)), kFast);
  EXPECT_EQ(ErrorOf(Bucket(10, 1, 1us)), "compiled");
  EXPECT_EQ(ErrorOf(Bucket(10, 1, 999ns)), kFast);
  EXPECT_EQ(ErrorOf(Bucket(10, kMaxU64, 24h)), kFast);
}

TEST(CompiledLimit, ABucketFillsWithin146Years) {
  constexpr std::string_view kSlow =
      "this bucket takes more than 146 years to fill. Write a smaller burst or a faster refill.";
  constexpr Duration kLongest{std::int64_t{1} << 62U};
  EXPECT_EQ(ErrorOf(Bucket(1, 1, kLongest)), "compiled");
  EXPECT_EQ(ErrorOf(Bucket(1, 1, kLongest + 1ns)), kSlow);
  EXPECT_EQ(ErrorOf(Bucket(2, 1, kLongest / 2)), "compiled");
  EXPECT_EQ(ErrorOf(Bucket(2, 1, kLongest / 2 + 1ns)), kSlow);
  EXPECT_EQ(ErrorOf(Bucket(kMaxU64, 1, 1s)), kSlow);
}

TEST(CompiledLimit, ASlidingWindowHasALengthAndAQuotaThatItCanCount) {
  constexpr std::string_view kLength =
      "a sliding window must be longer than nothing and at most 146 years. Write a window like "
      "1min.";
  constexpr Duration kLongest{std::int64_t{1} << 62U};
  EXPECT_EQ(ErrorOf(Sliding(5, 0s)), kLength);
  EXPECT_EQ(ErrorOf(Sliding(5, -1s)), kLength);
  EXPECT_EQ(ErrorOf(Sliding(5, 1ns)), "compiled");
  EXPECT_EQ(ErrorOf(Sliding(5, kLongest)), "compiled");
  EXPECT_EQ(ErrorOf(Sliding(5, kLongest + 1ns)), kLength);
  EXPECT_EQ(ErrorOf(Sliding(4'294'967'296, 1min)),
            "a sliding window counts to 4294967295. Write a smaller quota, or a token bucket.");
}

TEST(CompiledLimit, AReloadKeepsOrTakesWhatMeansTheSame) {
  struct Row {
    Limit before;
    Limit after;
    bool shares;  // Byte for byte.
    bool takes;   // Written anew.
  };
  const std::vector<Row> rows = {
      {Sliding(60, 1min), Sliding(90, 1min), true, true},
      {Sliding(60, 1min), Sliding(60, 2min), false, false},
      {Sliding(65'535, 1min), Sliding(65'536, 1min), false, true},  // Another width.
      {Sliding(65'536, 1min), Sliding(99'999, 1min), true, true},
      {Bucket(10, 1, 1s), Bucket(20, 1, 1s), true, true},
      {Bucket(10, 1, 1s), Bucket(20, 7, 1min), false, true},  // Another price.
      {Fixed(10, CalendarUnit::kDay), Fixed(99, CalendarUnit::kDay), true, true},
      {Fixed(10, CalendarUnit::kDay), Fixed(10, CalendarUnit::kHour), false, false},
      {Fixed(10, CalendarUnit::kMinute), Sliding(10, 1min), false, false},
      {Bucket(60, 1, 1s), Sliding(60, 1min), false, false},
      {Bucket(60, 1, 1s), Fixed(60, CalendarUnit::kMinute), false, false},
      {Leases(20, 30s), Leases(5, 30s), true, true},
      {Leases(20, 30s), Leases(20, 60s), false, true},
      {Leases(20, 30s), Sliding(20, 30s), false, false},
  };
  for (const Row& row : rows) {
    const CompiledLimit before = Compiled(row.before);
    const CompiledLimit after = Compiled(row.after);
    const std::string what =
        std::to_string(row.before.quota) + " " + std::to_string(row.after.quota);
    EXPECT_EQ(before.SharesState(after), row.shares) << what;
    EXPECT_EQ(after.SharesState(before), row.shares) << what;
    EXPECT_EQ(before.CanTake(after), row.takes) << what;
    EXPECT_EQ(after.CanTake(before), row.takes) << what;
  }
}

// Units in use, as far as Remaining tells them.
std::uint64_t Used(const CompiledLimit& limit, const std::byte* state, Now now) {
  return limit.quota() - limit.Remaining(state, now);
}

TEST(CompiledLimit, WhatIsTakenOverIsAsManyUnitsAsBefore) {
  constexpr Now kNow{.engine_ns = 1'000'000'000'000, .unix_ns = 1'800'000'000'000'000'000};
  const std::vector<std::pair<Limit, Limit>> pairs = {
      {Sliding(100, 1min), Sliding(90'000, 1min)},
      {Sliding(90'000, 1min), Sliding(100, 1min)},
      {Sliding(60, 1min), Sliding(30, 1min)},
      {Bucket(20, 10, 1s), Bucket(20, 1, 1s)},  // Tighter: the same units take longer.
      {Bucket(20, 1, 1s), Bucket(20, 10, 1s)},
      {Bucket(20, 7, 1min), Bucket(40, 3, 1s)},
      {Fixed(50, CalendarUnit::kDay), Fixed(20, CalendarUnit::kDay)},
      {Leases(50, 30s), Leases(70'000, 30s)},
      {Leases(50, 30s), Leases(20, 60s)},
  };
  for (const auto& [from, to] : pairs) {
    const CompiledLimit before = Compiled(from);
    const CompiledLimit after = Compiled(to);
    for (const std::uint64_t used : {0U, 1U, 7U, 20U}) {
      alignas(8) std::array<std::byte, 72> old_state{};
      alignas(8) std::array<std::byte, 72> state{};
      before.Charge(old_state.data(), kNow, used);
      after.Take(state.data(), before, old_state.data(), kNow);
      EXPECT_EQ(Used(after, state.data(), kNow), std::min(used, after.quota()))
          << from.quota << " " << to.quota << " " << used;
    }
  }
}

TEST(CompiledLimit, NoNarrowingForgetsThatAWindowIsFull) {
  constexpr Now kNow{.engine_ns = 1'000'000'000'000};
  const CompiledLimit wide = Compiled(Sliding(1'000'000, 1min));
  const CompiledLimit narrow = Compiled(Sliding(65'535, 1min));
  alignas(8) std::array<std::byte, 72> old_state{};
  alignas(8) std::array<std::byte, 72> state{};
  wide.Charge(old_state.data(), kNow, 65'536 + 10);  // Would be 10 if it were cut off.
  narrow.Take(state.data(), wide, old_state.data(), kNow);
  EXPECT_EQ(narrow.Remaining(state.data(), kNow), 0U);
}

// Every algorithm, in every width and with a window that does not divide.
class EachLimit : public ::testing::TestWithParam<Limit> {
 protected:
  const CompiledLimit limit_ = Compiled(GetParam());
  Key key_;

  [[nodiscard]] std::uint64_t Remaining(Now now) { return limit_.Remaining(key_.bytes(), now); }
};

INSTANTIATE_TEST_SUITE_P(
    CompiledLimit, EachLimit,
    ::testing::Values(Bucket(10, 1, 1s), Bucket(5, 3, 1s), Bucket(1, 1'000'000, 1s),
                      Sliding(10, 1min), Sliding(7, 107ns), Sliding(1, 1s), Sliding(100'000, 1h),
                      Fixed(10, CalendarUnit::kSecond), Fixed(7, CalendarUnit::kWeek),
                      Fixed(3, CalendarUnit::kYear)),
    [](const auto& instance) {
      std::string name = DefaultName(instance.param) + "_" + std::to_string(instance.param.quota);
      std::ranges::replace(name, '-', '_');
      return name;
    });

TEST_P(EachLimit, AFreshKeyHasItsQuotaAndNoWeight) {
  EXPECT_EQ(Remaining(At(0)), limit_.quota());
  EXPECT_EQ(limit_.RetryAfter(key_.bytes(), At(0), limit_.quota()), 0U);
  EXPECT_EQ(limit_.ResetAfter(key_.bytes(), At(0)), 0U);
  EXPECT_EQ(limit_.HoldFor(key_.bytes(), At(0)), 0U);
  EXPECT_EQ(limit_.LoadOf(key_.bytes(), At(0)).used_ppm, 0U);
  EXPECT_EQ(limit_.LoadOf(key_.bytes(), At(0)).clears_after_ns, 0U);
}

TEST_P(EachLimit, LooksBeyondItsStateNowhere) {
  std::vector<std::byte> state(limit_.state_bytes());  // On the heap, where a sanitizer looks.
  limit_.Charge(state.data(), At(0), limit_.quota());
  EXPECT_EQ(limit_.Remaining(state.data(), At(0)), 0U);
  limit_.GiveBack(state.data(), At(0), At(0), limit_.quota());
  EXPECT_EQ(limit_.Remaining(state.data(), At(0)), limit_.quota());
}

TEST_P(EachLimit, ChargesWholeCosts) {
  const std::uint64_t most = limit_.quota();
  limit_.Charge(key_.bytes(), At(0), most - most / 2);
  EXPECT_EQ(Remaining(At(0)), most / 2);
  limit_.Charge(key_.bytes(), At(0), most / 2);
  EXPECT_EQ(Remaining(At(0)), 0U);
}

TEST_P(EachLimit, ACostAboveTheQuotaNeverFits) {
  EXPECT_EQ(limit_.RetryAfter(key_.bytes(), At(0), limit_.quota() + 1), Decision::kNever);
  EXPECT_EQ(limit_.RetryAfter(key_.bytes(), At(0), kMaxU64), Decision::kNever);
}

TEST_P(EachLimit, APeekAlwaysFits) {
  limit_.Charge(key_.bytes(), At(0), limit_.quota());
  EXPECT_EQ(limit_.RetryAfter(key_.bytes(), At(0), 0), 0U);
  // Also where a larger quota left more in use, and where time stepped back.
  Limit smaller = GetParam();
  smaller.quota = 1;
  EXPECT_EQ(Compiled(smaller).RetryAfter(key_.bytes(), At(0), 0), 0U);
  EXPECT_EQ(Compiled(smaller).Remaining(key_.bytes(), At(0)), 0U);
  const Now back = {.engine_ns = At(0).engine_ns - 1000, .unix_ns = At(0).unix_ns - 1000};
  EXPECT_EQ(limit_.RetryAfter(key_.bytes(), back, 0), 0U);
}

// The waits are exact: true when they are over, and not a nanosecond before.
TEST_P(EachLimit, TheWaitsAreExact) {
  const std::uint64_t quota = limit_.quota();
  const std::uint64_t first = quota - quota / 2;
  const Now then = Later(At(0), limit_.window_ns() / 3);
  limit_.Charge(key_.bytes(), At(0), first);
  if (const std::uint64_t left = Remaining(then); left > 0) {
    limit_.Charge(key_.bytes(), then, left);
  }
  for (const std::uint64_t cost : {std::uint64_t{1}, first, quota}) {
    const std::uint64_t retry_ns = limit_.RetryAfter(key_.bytes(), then, cost);
    ASSERT_GT(retry_ns, 0U);
    EXPECT_GE(Remaining(Later(then, retry_ns)), cost);
    EXPECT_LT(Remaining(Later(then, retry_ns - 1)), cost);
    EXPECT_EQ(limit_.RetryAfter(key_.bytes(), Later(then, retry_ns), cost), 0U);
  }
  const std::uint64_t hold_ns = limit_.HoldFor(key_.bytes(), then);
  EXPECT_EQ(Remaining(Later(then, hold_ns - 1)), 0U);
  EXPECT_GT(Remaining(Later(then, hold_ns)), 0U);
  const std::uint64_t reset_ns = limit_.ResetAfter(key_.bytes(), then);
  EXPECT_LT(Remaining(Later(then, reset_ns - 1)), quota);
  EXPECT_EQ(Remaining(Later(then, reset_ns)), quota);
}

TEST_P(EachLimit, IsAtItsLimitExactlyWhileNothingRemains) {
  const std::uint64_t quota = limit_.quota();
  if (quota > 1) {
    limit_.Charge(key_.bytes(), At(0), quota - 1);
    EXPECT_LT(limit_.LoadOf(key_.bytes(), At(0)).used_ppm, 1'000'000U);
    EXPECT_GT(limit_.LoadOf(key_.bytes(), At(0)).used_ppm, 0U);
  }
  limit_.Charge(key_.bytes(), At(0), 1);
  EXPECT_EQ(limit_.LoadOf(key_.bytes(), At(0)).used_ppm, 1'000'000U);
  // Until a unit is back, and weightless when all are.
  const std::uint64_t hold_ns = limit_.HoldFor(key_.bytes(), At(0));
  EXPECT_EQ(limit_.LoadOf(key_.bytes(), At(hold_ns - 1)).used_ppm, 1'000'000U);
  EXPECT_LT(limit_.LoadOf(key_.bytes(), At(hold_ns)).used_ppm, 1'000'000U);
  const std::uint64_t clears_ns = limit_.LoadOf(key_.bytes(), At(0)).clears_after_ns;
  EXPECT_EQ(clears_ns, limit_.ResetAfter(key_.bytes(), At(0)));
  EXPECT_GT(limit_.LoadOf(key_.bytes(), At(clears_ns - 1)).clears_after_ns, 0U);
  EXPECT_EQ(limit_.LoadOf(key_.bytes(), At(clears_ns)).clears_after_ns, 0U);
}

TEST_P(EachLimit, AReloadToASmallerQuotaLeavesTheKeyBeyondItsLimit) {
  Limit smaller = GetParam();
  smaller.quota = 1;
  const CompiledLimit after = Compiled(smaller);
  if (!limit_.SharesState(after)) return;  // Counters of another width are not kept.
  limit_.Charge(key_.bytes(), At(0), limit_.quota());
  EXPECT_EQ(after.Remaining(key_.bytes(), At(0)), 0U);
  EXPECT_GE(after.LoadOf(key_.bytes(), At(0)).used_ppm, 1'000'000U);
  const std::uint64_t retry_ns = after.RetryAfter(key_.bytes(), At(0), 1);
  EXPECT_EQ(after.Remaining(key_.bytes(), At(retry_ns)), 1U);
  EXPECT_EQ(after.Remaining(key_.bytes(), At(retry_ns - 1)), 0U);
}

TEST_P(EachLimit, AChargeIsGivenBackWhole) {
  const std::uint64_t quota = limit_.quota();
  limit_.Charge(key_.bytes(), At(0), quota);
  limit_.GiveBack(key_.bytes(), At(0), At(0), quota);
  EXPECT_EQ(Remaining(At(0)), quota);
  EXPECT_EQ(limit_.ResetAfter(key_.bytes(), At(0)), 0U);
}

TEST_P(EachLimit, AnExpiredChargeGivesNothingBack) {
  const std::uint64_t quota = limit_.quota();
  limit_.Charge(key_.bytes(), At(0), quota);
  const Now then = Later(At(0), limit_.ResetAfter(key_.bytes(), At(0)) + limit_.window_ns());
  limit_.Charge(key_.bytes(), then, quota);
  limit_.GiveBack(key_.bytes(), then, At(0), quota);
  EXPECT_EQ(Remaining(then), 0U);
}

TEST_P(EachLimit, GivingBackToAFreshKeyDoesNothing) {
  limit_.GiveBack(key_.bytes(), At(5), At(0), 1);
  limit_.GiveBackOldest(key_.bytes(), At(5), 1);
  EXPECT_EQ(Remaining(At(5)), limit_.quota());
}

TEST_P(EachLimit, UnitsAreGivenBackWithoutAStampButNeverBeyondFull) {
  const std::uint64_t quota = limit_.quota();
  limit_.Charge(key_.bytes(), At(0), quota);
  limit_.GiveBackOldest(key_.bytes(), At(0), 1);
  EXPECT_EQ(Remaining(At(0)), 1U);
  limit_.GiveBackOldest(key_.bytes(), At(0), kMaxU64);
  EXPECT_EQ(Remaining(At(0)), quota);
}

// Charges, give-backs and steps back at random: every answer agrees with every other, and time that
// steps back is only stricter.
TEST_P(EachLimit, TheAnswersAgreeWithEachOtherOnRandomSteps) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  Now newest = At(0);
  std::optional<Now> charged;
  for (unsigned step = 0; step < 20'000; ++step) {
    if (step % 400 == 0) {  // Wall time in nanoseconds ends in 2262.
      newest = At(0);
      key_ = {};
      charged.reset();
    }
    const std::uint64_t quota = limit_.quota();
    newest = Later(newest, random() % (limit_.window_ns() / 4 + 2));
    const std::uint64_t remaining = Remaining(newest);
    ASSERT_LE(remaining, quota);
    const std::uint64_t back_ns = random() % (2 * limit_.window_ns());
    const Now back = {.engine_ns = newest.engine_ns - std::min(back_ns, newest.engine_ns - 1),
                      .unix_ns = newest.unix_ns - static_cast<std::int64_t>(back_ns)};
    const bool dropped = limit_.LoadOf(key_.bytes(), newest).clears_after_ns == 0;
    if (!dropped) {
      ASSERT_LE(Remaining(back), remaining);
    }
    const std::uint64_t cost = random() % quota + 1;
    ASSERT_EQ(limit_.RetryAfter(key_.bytes(), newest, cost) == 0, cost <= remaining);
    ASSERT_EQ(limit_.HoldFor(key_.bytes(), newest) == 0,
              remaining == quota && limit_.ResetAfter(key_.bytes(), newest) == 0);
    ASSERT_EQ(limit_.LoadOf(key_.bytes(), newest).used_ppm >= 1'000'000, remaining == 0);
    if (charged && random() % 4 == 0) {
      limit_.GiveBack(key_.bytes(), newest, *charged, 1);
      ASSERT_LE(Remaining(newest), std::min(quota, remaining + 1));
      ASSERT_GE(Remaining(newest), remaining);
      charged.reset();
    } else if (cost <= remaining) {
      limit_.Charge(key_.bytes(), newest, cost);
      ASSERT_EQ(Remaining(newest), remaining - cost);
      charged = newest;
    }
  }
}

TEST(DefaultName, SaysTheWindow) {
  EXPECT_EQ(DefaultName(Sliding(1, 1s)), "per-second");
  EXPECT_EQ(DefaultName(Sliding(1, 1min)), "per-minute");
  EXPECT_EQ(DefaultName(Sliding(1, 1h)), "per-hour");
  EXPECT_EQ(DefaultName(Sliding(1, 24h)), "per-day");
  EXPECT_EQ(DefaultName(Sliding(1, 7 * 24h)), "per-week");
  EXPECT_EQ(DefaultName(Sliding(1, 30s)), "per-30s");
  EXPECT_EQ(DefaultName(Sliding(1, 90s)), "per-90s");
  EXPECT_EQ(DefaultName(Sliding(1, 5min)), "per-5min");
  EXPECT_EQ(DefaultName(Sliding(1, 12h)), "per-12h");
  EXPECT_EQ(DefaultName(Sliding(1, 30 * 24h)), "per-30d");
  EXPECT_EQ(DefaultName(Sliding(1, 14 * 24h)), "per-2w");
  EXPECT_EQ(DefaultName(Sliding(1, 1500ms)), "per-1500ms");
  EXPECT_EQ(DefaultName(Sliding(1, 250us)), "per-250us");
  EXPECT_EQ(DefaultName(Sliding(1, 107ns)), "per-107ns");
  EXPECT_EQ(DefaultName(Bucket(10, 1, 1s)), "burst");
  EXPECT_EQ(DefaultName(Fixed(1, CalendarUnit::kMonth)), "per-month");
  EXPECT_EQ(DefaultName({.algorithm = Algorithm::kConcurrency, .quota = 1, .name = {}}),
            "concurrency");
}

TEST(ResolveRefills, ABucketTakesTheRateOfTheShortestWindow) {
  std::vector<Limit> limits = {Sliding(1000, 1h), Sliding(60, 1min), Bucket(10, 0, 0s),
                               Sliding(10'000, 24h)};
  ASSERT_TRUE(ResolveRefills(limits));
  EXPECT_EQ(limits[2].refill, 60U);
  EXPECT_EQ(limits[2].window, 1min);
  EXPECT_EQ(Compiled(limits[2]).window_ns(), 10'000'000'000U);
}

TEST(ResolveRefills, ABucketKeepsTheRefillThatItHas) {
  std::vector<Limit> limits = {Sliding(60, 1min), Bucket(10, 2, 1s), Bucket(10, 0, Duration(-1))};
  ASSERT_TRUE(ResolveRefills(limits));
  EXPECT_EQ(limits[1].refill, 2U);
  EXPECT_EQ(limits[2].window, Duration(-1));  // Unreadable stays unreadable.
}

TEST(ResolveRefills, ABucketAloneCannotBeResolved) {
  std::vector<Limit> limits = {Bucket(10, 0, 0s)};
  EXPECT_FALSE(ResolveRefills(limits));
  limits.push_back(Bucket(20, 1, 1s));  // Its rate is no window's.
  EXPECT_FALSE(ResolveRefills(limits));
  EXPECT_TRUE(ResolveRefills({}));
}

}  // namespace
}  // namespace sluicegate::limit
