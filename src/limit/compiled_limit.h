// A limit with its constants worked out: the one type through which tables and the engine use the
// algorithms. Immutable, so thread-safe. It holds no state: the state is `state_bytes()` bytes that
// the caller owns, 8-aligned, all zero for a key never seen; and no clock: time is an argument.
//
// Every function is total and noexcept, uses integers only, and saturates. Time going backwards
// only makes an answer stricter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>

#include "sluicegate/decision.h"
#include "sluicegate/limit.h"
#include "sluicegate/time.h"

namespace sluicegate::limit {

/// How full a limit is, for choosing a victim.
struct Load {
  std::uint32_t used_ppm =
      0;  ///< used / quota in millionths, rounded up; 1'000'000 and more: at the limit.
  std::uint64_t clears_after_ns =
      0;  ///< Until the state is as if never used; 0: it may be dropped freely.
};

class CompiledLimit {
 public:
  /// Works the constants out. The error is a sentence with its mend (a quota of 0, a rate over
  /// 10^6/s, a window or burst beyond 2^62 ns, a token bucket without a refill, ...).
  [[nodiscard]] static std::expected<CompiledLimit, std::string> Compile(const Limit& limit);

  [[nodiscard]] Algorithm algorithm() const noexcept;
  [[nodiscard]] std::size_t state_bytes() const noexcept;  ///< A multiple of 8.
  [[nodiscard]] std::uint64_t quota() const noexcept;      ///< Units: N, or the bucket's capacity.
  [[nodiscard]] std::uint64_t window_ns()
      const noexcept;  ///< W; token bucket: the time in which an empty one fills.

  /// Whether a state of `other` means the same here, so that a reload keeps it: same algorithm,
  /// window and width.
  [[nodiscard]] bool SharesState(const CompiledLimit& other) const noexcept;

  /// Units that could be charged now.
  [[nodiscard]] std::uint64_t Remaining(const std::byte* state, Now now) const noexcept;
  /// Takes `cost` units. REQUIRES: cost <= Remaining(state, now).
  void Charge(std::byte* state, Now now, std::uint64_t cost) const noexcept;
  /// Undoes the charge of `cost` that was made at `charged`; nothing where it has expired.
  void GiveBack(std::byte* state, Now now, Now charged, std::uint64_t cost) const noexcept;
  /// Gives back without a stamp: the oldest live units first, never below zero.
  void GiveBackOldest(std::byte* state, Now now, std::uint64_t cost) const noexcept;

  /// Until `cost` units fit if nothing else happens; 0 if they fit now; Decision::kNever if cost >
  /// quota().
  [[nodiscard]] std::uint64_t RetryAfter(const std::byte* state, Now now,
                                         std::uint64_t cost) const noexcept;
  /// Until the state is as if never used; 0 when it is.
  [[nodiscard]] std::uint64_t ResetAfter(const std::byte* state, Now now) const noexcept;
  /// The time in which no more than Remaining() can be used: until the next unit comes back.
  [[nodiscard]] std::uint64_t HoldFor(const std::byte* state, Now now) const noexcept;
  [[nodiscard]] Load LoadOf(const std::byte* state, Now now) const noexcept;
};

}  // namespace sluicegate::limit
