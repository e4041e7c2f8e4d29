// A limit with its constants worked out: the one type through which tables and the engine use the
// algorithms. Immutable, so thread-safe. It holds no state: the state is `state_bytes()` bytes that
// the caller owns, 8-aligned, all zero for a key never seen; and no clock: time is an argument.
//
// Every function is total and noexcept, uses integers only, and saturates. Time going backwards
// only makes an answer stricter; for give-backs see each algorithm's inaccuracies in
// doc/algorithms.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "limit/fixed_window.h"
#include "limit/load.h"
#include "limit/sliding_window.h"
#include "limit/token_bucket.h"
#include "sluicegate/decision.h"
#include "sluicegate/limit.h"
#include "sluicegate/time.h"

namespace sluicegate::limit {

class CompiledLimit {
 public:
  /// Works the constants out. The error is a sentence with its mend (a quota of 0, a rate over
  /// 10^6/s, a window or burst beyond 2^62 ns, a token bucket without a refill, ...).
  [[nodiscard]] static std::expected<CompiledLimit, std::string> Compile(const Limit& limit);

  [[nodiscard]] Algorithm algorithm() const noexcept { return algorithm_; }
  [[nodiscard]] std::size_t state_bytes() const noexcept;  ///< A multiple of 8.
  [[nodiscard]] std::uint64_t quota() const noexcept {
    return quota_;
  }  ///< Units: N, or the bucket's capacity.
  /// W; token bucket: the time in which an empty one fills; fixed window: its nominal length.
  [[nodiscard]] std::uint64_t window_ns() const noexcept { return window_ns_; }

  /// What a state means, byte for byte: algorithm and width; and price of a unit, window, or unit
  /// of the calendar.
  [[nodiscard]] std::array<std::uint64_t, 2> state_identity() const noexcept;
  /// The limit of the least quota whose states are of that identity: to read states of a limit that
  /// nobody has any more. Nothing: no limit's are.
  [[nodiscard]] static std::optional<CompiledLimit> OfStates(std::array<std::uint64_t, 2> identity);
  /// Whether a state of `other` means the same here.
  [[nodiscard]] bool SharesState(const CompiledLimit& other) const noexcept {
    return state_identity() == other.state_identity();
  }

  /// Whether a state of `other` can be written anew for this limit: same algorithm and window. A
  /// token bucket has none, so any other one; and whatever a lease's length, as many are out.
  [[nodiscard]] bool CanTake(const CompiledLimit& other) const noexcept;
  /// Writes what `other`'s state says in this limit's terms, with no fewer units in use. REQUIRES:
  /// CanTake(other); `state` is all zero.
  void Take(std::byte* state, const CompiledLimit& other, const std::byte* other_state,
            Now now) const noexcept;

  /// Units that could be charged now.
  [[nodiscard]] std::uint64_t Remaining(const std::byte* state, Now now) const noexcept {
    // Here, and not in a call, as every decision on a token bucket passes.
    if (algorithm_ == Algorithm::kTokenBucket) {
      return terms_.bucket.Remaining(TokenBucket::TatOf(state), now.engine_ns);
    }
    return WindowRemaining(state, now);
  }
  /// Takes `cost` units. REQUIRES: cost <= Remaining(state, now).
  void Charge(std::byte* state, Now now, std::uint64_t cost) const noexcept {
    if (algorithm_ == Algorithm::kTokenBucket) {
      TokenBucket::SetTat(state,
                          terms_.bucket.Charged(TokenBucket::TatOf(state), now.engine_ns, cost));
    } else {
      ChargeWindow(state, now, cost);
    }
  }
  /// Undoes the charge of `cost` that was made at `charged`; nothing where it has expired.
  void GiveBack(std::byte* state, Now now, Now charged, std::uint64_t cost) const noexcept;
  /// Gives back without a stamp: the oldest live units first, never below zero.
  void GiveBackOldest(std::byte* state, Now now, std::uint64_t cost) const noexcept;

  /// Until `cost` units fit if nothing else happens; 0 if they fit now; Decision::kNever if cost >
  /// quota().
  [[nodiscard, gnu::pure]] std::uint64_t RetryAfter(const std::byte* state, Now now,
                                                    std::uint64_t cost) const noexcept;
  /// Until the state is as if never used; 0 when it is.
  [[nodiscard, gnu::pure]] std::uint64_t ResetAfter(const std::byte* state, Now now) const noexcept;
  /// The time in which no more than Remaining() can be used: until the next unit comes back; 0 if
  /// all are there.
  [[nodiscard, gnu::pure]] std::uint64_t HoldFor(const std::byte* state, Now now) const noexcept;
  /// HoldFor and ResetAfter at the price of one. REQUIRES: remaining == Remaining(state, now).
  [[nodiscard]] Times TimesOf(const std::byte* state, Now now,
                              std::uint64_t remaining) const noexcept {
    if (algorithm_ == Algorithm::kTokenBucket) {
      return terms_.bucket.TimesOf(TokenBucket::TatOf(state), now.engine_ns, remaining);
    }
    return WindowTimes(state, now);
  }
  [[nodiscard, gnu::pure]] Load LoadOf(const std::byte* state, Now now) const noexcept;

 private:
  CompiledLimit(Algorithm algorithm, std::uint64_t quota, std::uint64_t window_ns) noexcept
      : algorithm_(algorithm), quota_(quota), window_ns_(window_ns) {}
  static std::expected<CompiledLimit, std::string> CompileTokenBucket(const Limit& limit);
  static std::expected<CompiledLimit, std::string> CompileSlidingWindow(const Limit& limit);
  static std::expected<CompiledLimit, std::string> CompileFixedWindow(const Limit& limit);

  static std::expected<CompiledLimit, std::string> CompileConcurrency(const Limit& limit);
  /// A ring of counters: sliding windows, and leases.
  static CompiledLimit Ring(Algorithm algorithm, std::uint64_t quota, std::uint64_t window_ns);
  [[nodiscard, gnu::pure]] std::uint64_t WindowRemaining(const std::byte* state,
                                                         Now now) const noexcept;
  void ChargeWindow(std::byte* state, Now now, std::uint64_t cost) const noexcept;
  [[nodiscard, gnu::pure]] Times WindowTimes(const std::byte* state, Now now) const noexcept;

  // Calls `use` with the algorithm that is meant.
  template <class Use>
  decltype(auto) Visit(const Use& use) const noexcept;

  // Which one is meant: algorithm_ and, among the windows, wide_.
  union Terms {
    Terms() noexcept : bucket() {}
    TokenBucket bucket;
    SlidingWindow<std::uint16_t> narrow;
    SlidingWindow<std::uint32_t> wide;
    FixedWindow fixed;
  };

  Algorithm algorithm_;
  bool wide_ = false;  // Counters of 32 bits.
  std::uint64_t quota_;
  std::uint64_t window_ns_;
  Terms terms_;
};

/// What fields and metrics call a limit that has no name: "per-minute", "per-30s", "burst". Pure.
[[nodiscard]] std::string DefaultName(const Limit& limit);

/// "sliding_window", ... Pure.
[[nodiscard]] std::string_view AlgorithmName(Algorithm algorithm) noexcept;

/// Gives each token bucket without a refill the rate N/W of the shortest window among `limits`.
/// False if one needs it and there is no window.
[[nodiscard]] bool ResolveRefills(std::span<Limit> limits) noexcept;

}  // namespace sluicegate::limit
