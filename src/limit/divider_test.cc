// The divider against the division.
#include "limit/divider.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <random>
#include <string>

#include "base/seed_for_test.h"

namespace sluicegate::limit {
namespace {

TEST(Divider, AgreesWithTheDivisionOnAllSmallNumbers) {
  for (std::uint64_t divisor = 1; divisor <= 300; ++divisor) {
    const Divider divider(divisor);
    for (std::uint64_t n = 0; n <= 2000; ++n) ASSERT_EQ(divider.Divide(n), n / divisor) << n;
  }
}

TEST(Divider, AgreesWithTheDivisionAroundEveryPowerOfTwo) {
  const auto numbers = [](unsigned bit) {
    const std::uint64_t power = std::uint64_t{1} << bit;
    constexpr std::uint64_t kMost = Divider::kMaxDividend;
    return std::array{power - 1, power, power + 1, kMost - power, kMost - power + 1};
  };
  for (unsigned a = 0; a < 62; ++a) {
    for (const std::uint64_t divisor : numbers(a)) {
      if (divisor == 0) continue;
      const Divider divider(divisor);
      for (unsigned b = 0; b < 62; ++b) {
        for (const std::uint64_t n : numbers(b)) ASSERT_EQ(divider.Divide(n), n / divisor) << n;
      }
    }
  }
}

// It would be off by one next to multiples, if anywhere.
TEST(Divider, AgreesWithTheDivisionNextToRandomMultiples) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (unsigned i = 0; i < 300'000; ++i) {
    const auto any = [&random] { return random() & Divider::kMaxDividend; };
    const std::uint64_t divisor = (any() >> random() % 63) | 1U << random() % 16;
    const Divider divider(divisor);
    const std::uint64_t multiple = any() / divisor * divisor;
    const std::uint64_t before = multiple == 0 ? 0 : multiple - 1;
    const std::uint64_t after = std::min(multiple + 1, Divider::kMaxDividend);
    for (const std::uint64_t n : {before, multiple, after, any()}) {
      ASSERT_EQ(divider.Divide(n), n / divisor) << n << " / " << divisor;
    }
  }
}

}  // namespace
}  // namespace sluicegate::limit
