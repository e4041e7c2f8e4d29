// Divider: exact division by a number that is known early, without a division. A value type; pure.
//
// With l = ceil(log2 d) and m = ceil(2^(63 + l) / d), which fits 64 bits, n * m / 2^(63 + l) is
// n / d plus n * e / (d * 2^(63 + l)), where e = m * d - 2^(63 + l) < d <= 2^l. For n < 2^63 that
// is less than 1 / d above, so both have the same whole part. 2n * m / 2^64 / 2^l is the same
// number, and all in it fits. Source: Granlund and Montgomery, "Division by Invariant Integers
// using Multiplication" (1994), theorem 4.2 with N = 63.
#pragma once

#include <bit>
#include <cassert>
#include <cstdint>

namespace sluicegate::limit {

class Divider {
 public:
  /// What it divides: instants and lengths of time, to 292 years.
  static constexpr std::uint64_t kMaxDividend = (std::uint64_t{1} << 63U) - 1;

  constexpr Divider() noexcept = default;
  /// REQUIRES: 0 < divisor <= 2^63.
  constexpr explicit Divider(std::uint64_t divisor) noexcept
      : divisor_(divisor),
        shift_(static_cast<unsigned>(std::bit_width(divisor - 1))),
        factor_(static_cast<std::uint64_t>(
            ((static_cast<unsigned __int128>(1) << (63 + shift_)) + divisor - 1) / divisor)) {}

  [[nodiscard]] constexpr std::uint64_t divisor() const noexcept { return divisor_; }
  /// REQUIRES: n <= kMaxDividend.
  [[nodiscard]] constexpr std::uint64_t Divide(std::uint64_t n) const noexcept {
    assert(n <= kMaxDividend);
    return static_cast<std::uint64_t>((static_cast<unsigned __int128>(n + n) * factor_) >> 64U) >>
           shift_;
  }

 private:
  std::uint64_t divisor_ = 1;
  unsigned shift_ = 0;
  std::uint64_t factor_ = std::uint64_t{1} << 63U;
};

}  // namespace sluicegate::limit
