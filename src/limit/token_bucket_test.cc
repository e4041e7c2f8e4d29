// The token bucket against its definition: a golden table, both bounds, a naive bucket on
// exhaustive and random input, and time that runs backwards.
#include "limit/token_bucket.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "base/seed_for_test.h"

namespace sluicegate::limit {
namespace {

// A bucket with water in it, in nanoseconds: one flows in each nanosecond, a unit takes ei of them.
class NaiveBucket {
 public:
  NaiveBucket(std::uint64_t burst, std::uint64_t interval_ns)
      : interval_ns_(interval_ns), full_ns_(burst * interval_ns), water_ns_(full_ns_) {}

  [[nodiscard]] std::uint64_t Remaining(std::uint64_t now_ns) const {
    return Water(now_ns) / interval_ns_;
  }
  void Charge(std::uint64_t now_ns, std::uint64_t cost) {
    water_ns_ = Water(now_ns) - cost * interval_ns_;
    at_ns_ = std::max(at_ns_, now_ns);
  }
  // What is left of a charge: its price less what flowed in since, as if the bucket had been full.
  void GiveBack(std::uint64_t now_ns, std::uint64_t charged_ns, std::uint64_t cost) {
    const std::uint64_t paid_ns = std::min(now_ns - charged_ns, cost * interval_ns_);
    water_ns_ = std::min(full_ns_, Water(now_ns) + cost * interval_ns_ - paid_ns);
    at_ns_ = std::max(at_ns_, now_ns);
  }
  [[nodiscard]] std::uint64_t WaitFor(std::uint64_t now_ns, std::uint64_t units) const {
    const std::uint64_t wanted_ns = units * interval_ns_;
    return wanted_ns > Water(now_ns) ? wanted_ns - Water(now_ns) : 0;
  }

 private:
  [[nodiscard]] std::uint64_t Water(std::uint64_t now_ns) const {
    return std::min(full_ns_, water_ns_ + (now_ns > at_ns_ ? now_ns - at_ns_ : 0));
  }
  const std::uint64_t interval_ns_;
  const std::uint64_t full_ns_;
  std::uint64_t water_ns_;
  std::uint64_t at_ns_ = 0;
};

// Burst 5 at one in 1000 ns: redis-cell's table with microseconds for its milliseconds.
TEST(TokenBucket, GoldenTable) {
  struct Row {
    std::uint64_t at_ns;
    std::uint64_t cost;
    std::uint64_t remaining;  // After.
    std::uint64_t reset_ns;   // After.
    std::uint64_t retry_ns;   // 0: admitted.
  };
  constexpr Row kRows[] = {
      {0, 1, 4, 1000, 0},    {0, 1, 3, 2000, 0},       {0, 1, 2, 3000, 0},    {0, 1, 1, 4000, 0},
      {0, 1, 0, 5000, 0},    {0, 1, 0, 5000, 1000},    {3000, 1, 2, 3000, 0}, {3100, 1, 1, 3900, 0},
      {4000, 1, 1, 4000, 0}, {8000, 1, 4, 1000, 0},    {9500, 1, 4, 1000, 0}, {9500, 0, 4, 1000, 0},
      {9500, 2, 2, 3000, 0}, {9500, 5, 2, 3000, 3000},
  };
  const TokenBucket bucket(5, 1000);
  std::uint64_t tat_ns = 0;
  for (const Row& row : kRows) {
    const std::uint64_t now_ns = 1'000'000 + row.at_ns;
    SCOPED_TRACE(row.at_ns);
    EXPECT_EQ(bucket.RetryAfter(tat_ns, now_ns, row.cost), row.retry_ns);
    if (row.retry_ns == 0 && row.cost > 0) tat_ns = bucket.Charged(tat_ns, now_ns, row.cost);
    EXPECT_EQ(bucket.Remaining(tat_ns, now_ns), row.remaining);
    EXPECT_EQ(bucket.ResetAfter(tat_ns, now_ns), row.reset_ns);
  }
}

// Both sides of the bound: at most burst + rate * W in any W, and no less than the rate for one who
// asks all the time.
TEST(TokenBucket, AdmitsAtMostBurstAndRateInAnyWAndNoLessThanTheRate) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (unsigned round = 0; round < 60; ++round) {
    const std::uint64_t burst = random() % 8 + 1;
    const std::uint64_t interval_ns = random() % 50 + 1;
    const TokenBucket bucket(burst, interval_ns);
    std::uint64_t tat_ns = 0;
    std::uint64_t now_ns = 1000;
    std::vector<std::uint64_t> admitted;
    for (unsigned step = 0; step < 400; ++step) {
      now_ns += random() % (2 * interval_ns);
      if (bucket.Remaining(tat_ns, now_ns) == 0) continue;
      tat_ns = bucket.Charged(tat_ns, now_ns, 1);
      admitted.push_back(now_ns);
    }
    for (std::size_t i = 0; i < admitted.size(); ++i) {
      for (std::size_t j = i; j < admitted.size(); ++j) {
        ASSERT_LE(j - i + 1, burst + (admitted[j] - admitted[i]) / interval_ns);
      }
    }
    std::uint64_t patient = 0;
    for (std::uint64_t t = 0; t < 100 * interval_ns; ++t, ++now_ns) {
      if (bucket.Remaining(tat_ns, now_ns) == 0) continue;
      tat_ns = bucket.Charged(tat_ns, now_ns, 1);
      ++patient;
    }
    ASSERT_GE(patient, 100U - 1U);
    ASSERT_EQ(bucket.Remaining(tat_ns, now_ns + bucket.tolerance_ns()), burst);
  }
}

TEST(TokenBucket, AgreesWithANaiveBucketOnAllSmallInputs) {
  constexpr std::uint64_t kGaps[] = {0, 1, 4, 9};
  for (const std::uint64_t burst : {1U, 2U, 5U}) {
    for (const std::uint64_t interval_ns : {1U, 3U, 7U}) {
      const TokenBucket bucket(burst, interval_ns);
      for (unsigned sequence = 0; sequence < 12 * 12 * 12 * 12 * 12; ++sequence) {
        NaiveBucket naive(burst, interval_ns);
        std::uint64_t tat_ns = 0;
        std::uint64_t now_ns = 1;
        for (unsigned rest = sequence, step = 0; step < 5; ++step, rest /= 12) {
          now_ns += kGaps[rest % 4];
          const std::uint64_t cost = rest / 4 % 3;
          ASSERT_EQ(bucket.Remaining(tat_ns, now_ns), naive.Remaining(now_ns)) << sequence;
          if (cost <= burst) {
            ASSERT_EQ(bucket.RetryAfter(tat_ns, now_ns, cost), naive.WaitFor(now_ns, cost));
          }
          if (cost == 0 || cost > naive.Remaining(now_ns)) continue;
          tat_ns = bucket.Charged(tat_ns, now_ns, cost);
          naive.Charge(now_ns, cost);
        }
      }
    }
  }
}

TEST(TokenBucket, AgreesWithANaiveBucketOnAMillionRandomSteps) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (unsigned round = 0; round < 1000; ++round) {
    const std::uint64_t burst = random() % 30 + 1;
    const std::uint64_t interval_ns = random() % 1000 + 1;
    const TokenBucket bucket(burst, interval_ns);
    NaiveBucket naive(burst, interval_ns);
    std::uint64_t tat_ns = 0;
    std::uint64_t now_ns = random() % 1'000'000 + 1;
    std::uint64_t charged_ns = 0;
    std::uint64_t charged = 0;
    for (unsigned step = 0; step < 1000; ++step) {
      now_ns += random() % 16 == 0 ? random() % (20 * interval_ns) : random() % interval_ns;
      const std::uint64_t cost = random() % (burst + 1);
      const std::uint64_t remaining = bucket.Remaining(tat_ns, now_ns);
      ASSERT_EQ(remaining, naive.Remaining(now_ns));
      ASSERT_EQ(bucket.RetryAfter(tat_ns, now_ns, cost), naive.WaitFor(now_ns, cost));
      ASSERT_EQ(bucket.ResetAfter(tat_ns, now_ns), naive.WaitFor(now_ns, burst));
      if (remaining < burst) {
        ASSERT_EQ(bucket.HoldFor(tat_ns, now_ns), naive.WaitFor(now_ns, remaining + 1));
      }
      if (random() % 10 == 0 && charged > 0) {
        tat_ns = bucket.GivenBack(tat_ns, now_ns, charged_ns, charged);
        naive.GiveBack(now_ns, charged_ns, charged);
        charged = 0;
      } else if (cost > 0 && cost <= remaining) {
        tat_ns = bucket.Charged(tat_ns, now_ns, cost);
        naive.Charge(now_ns, cost);
        charged_ns = now_ns;
        charged = cost;
      }
    }
  }
}

TEST(TokenBucket, TimeThatStepsBackOnlyMakesItStricter) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  const TokenBucket bucket(5, 100);
  std::uint64_t tat_ns = 0;
  std::uint64_t newest_ns = 10'000;
  for (unsigned step = 0; step < 200'000; ++step) {
    newest_ns += random() % 40;
    const std::uint64_t now_ns = newest_ns - random() % 2000;
    ASSERT_LE(bucket.Remaining(tat_ns, now_ns), bucket.Remaining(tat_ns, newest_ns));
    if (bucket.Remaining(tat_ns, now_ns) == 0) continue;
    const std::uint64_t before_ns = tat_ns;
    tat_ns = bucket.Charged(tat_ns, now_ns, 1);
    ASSERT_GT(tat_ns, before_ns);  // The debt never shrinks by a charge.
  }
}

TEST(TokenBucket, AChargeIsGivenBackAsFarAsItIsNotPaidOff) {
  const TokenBucket bucket(5, 100);
  const std::uint64_t one = bucket.Charged(0, 1000, 1);
  EXPECT_EQ(bucket.GivenBack(one, 1000, 1000, 1), 1000U);
  EXPECT_EQ(bucket.GivenBack(one, 1040, 1000, 1), 1040U);  // 40 of 100 ns were paid off.
  EXPECT_EQ(bucket.GivenBack(one, 1100, 1000, 1), one);    // All of it.
}

// Giving a charge back never leaves less debt than if the charge had not been made.
TEST(TokenBucket, GivingBackNeverGivesMoreThanTheChargeTook) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  const TokenBucket bucket(6, 100);
  for (unsigned round = 0; round < 100'000; ++round) {
    std::uint64_t with = 0;
    std::uint64_t without = 0;
    std::uint64_t now_ns = 10'000;
    std::uint64_t charged_ns = 0;
    const auto given = random() % 6;
    for (unsigned i = 0; i < 6; ++i) {
      now_ns += random() % 250;
      if (bucket.Remaining(with, now_ns) == 0) continue;
      if (i == given) {
        charged_ns = now_ns;
      } else {
        without = bucket.Charged(without, now_ns, 1);
      }
      with = bucket.Charged(with, now_ns, 1);
    }
    if (charged_ns == 0) continue;
    const std::uint64_t after = bucket.GivenBack(with, now_ns, charged_ns, 1);
    ASSERT_GE(std::max(after, now_ns), std::max(without, now_ns));
  }
}

TEST(TokenBucket, UnitsAreGivenBackWithoutAStampButNeverBeyondFull) {
  const TokenBucket bucket(5, 100);
  const std::uint64_t three = bucket.Charged(0, 1000, 3);
  EXPECT_EQ(bucket.Remaining(bucket.GivenBackOldest(three, 1000, 2), 1000), 4U);
  EXPECT_EQ(bucket.Remaining(bucket.GivenBackOldest(three, 1000, 99), 1000), 5U);
}

TEST(TokenBucket, HoldsAtTheEndsOfTime) {
  constexpr std::uint64_t kEnd = ~std::uint64_t{0};
  const TokenBucket bucket(std::uint64_t{1} << 40U, std::uint64_t{1} << 22U);
  const std::uint64_t tat_ns = bucket.Charged(0, kEnd - 5, std::uint64_t{1} << 40U);
  EXPECT_EQ(tat_ns, kEnd);
  EXPECT_EQ(bucket.ResetAfter(tat_ns, kEnd), 0U);
}

TEST(TokenBucket, ABucketWithLessThanAUnitIsAtItsLimit) {
  const TokenBucket bucket(4, 100);
  const std::uint64_t tat_ns = bucket.Charged(0, 1000, 4);
  EXPECT_EQ(bucket.LoadOf(tat_ns, 1050).used_ppm, 1'000'000U);
  EXPECT_EQ(bucket.LoadOf(tat_ns, 1100).used_ppm, 750'000U);
  EXPECT_EQ(bucket.LoadOf(tat_ns, 1400).clears_after_ns, 0U);
}

}  // namespace
}  // namespace sluicegate::limit
