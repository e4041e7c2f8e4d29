// FixedWindow: at most N units in each window of the calendar, in UTC; so up to 2N across an edge.
// Here for parity with envoyproxy/ratelimit, never a default. Derivation and inaccuracies:
// doc/algorithms.md.
//
// Immutable, so thread-safe. The state is two words: the end of the window that is being counted
// (wall time, ns; 0: never seen) and the units used in it. A window ends when wall time reaches its
// end; a clock that steps back leaves it open, so none reopens.
#pragma once

#include <cstddef>
#include <cstdint>

#include "limit/load.h"
#include "sluicegate/limit.h"

namespace sluicegate::limit {

class FixedWindow {
 public:
  static constexpr std::size_t kStateBytes = 16;

  FixedWindow() noexcept = default;
  /// REQUIRES: quota > 0.
  FixedWindow(std::uint64_t quota, CalendarUnit unit) noexcept : quota_(quota), unit_(unit) {}

  [[nodiscard]] std::uint64_t quota() const noexcept { return quota_; }
  [[nodiscard]] CalendarUnit unit() const noexcept { return unit_; }

  [[nodiscard]] std::uint64_t Remaining(const std::byte* state,
                                        std::int64_t unix_ns) const noexcept;
  void Charge(std::byte* state, std::int64_t unix_ns, std::uint64_t cost) const noexcept;
  /// Takes a charge back that was made at `charged_unix_ns`, if its window is still counted.
  void GiveBack(std::byte* state, std::int64_t unix_ns, std::int64_t charged_unix_ns,
                std::uint64_t cost) const noexcept;
  void GiveBackOldest(std::byte* state, std::int64_t unix_ns, std::uint64_t cost) const noexcept;
  /// REQUIRES: cost <= quota.
  [[nodiscard]] std::uint64_t RetryAfter(const std::byte* state, std::int64_t unix_ns,
                                         std::uint64_t cost) const noexcept;
  /// Until the window that is being counted ends; 0 if nothing is used in it.
  [[nodiscard]] std::uint64_t ResetAfter(const std::byte* state,
                                         std::int64_t unix_ns) const noexcept;
  [[nodiscard]] Load LoadOf(const std::byte* state, std::int64_t unix_ns) const noexcept;

 private:
  std::uint64_t quota_ = 1;
  CalendarUnit unit_ = CalendarUnit::kMinute;
};

}  // namespace sluicegate::limit
