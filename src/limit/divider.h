// Divider: exact division by a number that is known early, without a division. A value type; pure.
//
// With m = floor(2^64 / d) the estimate q' = floor(n * m / 2^64) is q or q - 1: m is less than 1
// below 2^64 / d, so n * m / 2^64 is less than 1 below n / d. One comparison settles which. (d = 1
// takes m = 2^64 - 1, for which the same holds.)
#pragma once

#include <cstdint>

#include "limit/saturating.h"

namespace sluicegate::limit {

class Divider {
 public:
  constexpr Divider() noexcept = default;
  /// REQUIRES: divisor > 0.
  constexpr explicit Divider(std::uint64_t divisor) noexcept
      : divisor_(divisor),
        factor_(divisor == 1 ? kMaxU64
                             : static_cast<std::uint64_t>(
                                   (static_cast<unsigned __int128>(1) << 64U) / divisor)) {}

  [[nodiscard]] constexpr std::uint64_t divisor() const noexcept { return divisor_; }
  [[nodiscard]] constexpr std::uint64_t Divide(std::uint64_t n) const noexcept {
    const auto estimate =
        static_cast<std::uint64_t>((static_cast<unsigned __int128>(n) * factor_) >> 64U);
    return estimate + (n - estimate * divisor_ >= divisor_ ? 1 : 0);
  }

 private:
  std::uint64_t divisor_ = 1;
  std::uint64_t factor_ = kMaxU64;
};

}  // namespace sluicegate::limit
