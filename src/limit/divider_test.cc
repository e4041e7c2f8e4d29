// The divider against the division.
#include "limit/divider.h"

#include <gtest/gtest.h>

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
    return std::array{power - 1, power, power + 1, kMaxU64 - power, kMaxU64 - power + 1};
  };
  for (unsigned a = 0; a < 64; ++a) {
    for (const std::uint64_t divisor : numbers(a)) {
      if (divisor == 0) continue;
      const Divider divider(divisor);
      for (unsigned b = 0; b < 64; ++b) {
        for (const std::uint64_t n : numbers(b)) ASSERT_EQ(divider.Divide(n), n / divisor) << n;
      }
    }
  }
}

// The estimate is off by one next to multiples, if anywhere.
TEST(Divider, AgreesWithTheDivisionNextToRandomMultiples) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (unsigned i = 0; i < 300'000; ++i) {
    const std::uint64_t divisor = (random() >> random() % 64) | 1U << random() % 16;
    const Divider divider(divisor);
    const std::uint64_t multiple = random() / divisor * divisor;
    for (const std::uint64_t n : {multiple - 1, multiple, multiple + 1, random()}) {
      ASSERT_EQ(divider.Divide(n), n / divisor) << n << " / " << divisor;
    }
  }
}

}  // namespace
}  // namespace sluicegate::limit
