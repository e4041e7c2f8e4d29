// Arithmetic that stops at the ends of 64 bits instead of wrapping. Pure.
#pragma once

#include <cstdint>
#include <limits>

namespace sluicegate::limit {

inline constexpr std::uint64_t kMaxU64 = std::numeric_limits<std::uint64_t>::max();

[[nodiscard]] constexpr std::uint64_t AddSaturating(std::uint64_t a, std::uint64_t b) noexcept {
  std::uint64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? kMaxU64 : sum;
}

[[nodiscard]] constexpr std::uint64_t MultiplySaturating(std::uint64_t a,
                                                         std::uint64_t b) noexcept {
  std::uint64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? kMaxU64 : product;
}

/// a - b, or 0.
[[nodiscard]] constexpr std::uint64_t SubtractSaturating(std::uint64_t a,
                                                         std::uint64_t b) noexcept {
  return a > b ? a - b : 0;
}

[[nodiscard]] constexpr std::uint64_t DivideRoundingUp(std::uint64_t a, std::uint64_t b) noexcept {
  return a / b + (a % b != 0 ? 1 : 0);
}

}  // namespace sluicegate::limit
