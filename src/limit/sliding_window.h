// SlidingWindow: at most N units in any interval of length W. A ring of 16 counters, one a slice of
// ceil(W / 15) ns; the slices that touch (t - W, t] count, so a unit counts until its whole slice
// is older than W and comes back within 16 slices. Derivation and inaccuracies: doc/algorithms.md.
//
// Immutable, so thread-safe. The state is a word with the newest slice's number plus one (0: never
// seen), then the counters, of 16 bits up to N = 65,535 and of 32 above.
//
// A clock that steps back behind the newest slice is taken to stand at that slice, and all counters
// count: stricter than the truth, never laxer.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "limit/divider.h"
#include "limit/load.h"
#include "limit/saturating.h"

namespace sluicegate::limit {

/// The arithmetic of slices, apart from their width.
class Slices {
 public:
  static constexpr unsigned kCount = 16;

  Slices() noexcept = default;
  /// REQUIRES: 0 < window_ns <= 2^62.
  explicit Slices(std::uint64_t window_ns) noexcept;

  [[nodiscard]] std::uint64_t window_ns() const noexcept { return window_ns_; }
  [[nodiscard]] std::uint64_t At(std::uint64_t now_ns) const noexcept {
    return slice_.Divide(std::min(now_ns, Divider::kMaxDividend));
  }
  /// How many slices before its own an instant in slice `slice` still counts: 15 or, near the
  /// slice's end, fewer.
  [[nodiscard]] unsigned Back(std::uint64_t now_ns, std::uint64_t slice) const noexcept {
    return back_ - (now_ns - slice * slice_.divisor() >= fewer_from_ns_ ? 1 : 0);
  }
  /// The latest instant of `slice` that is not after `now_ns`; its first one if all are.
  [[nodiscard]] std::uint64_t LastInstant(std::uint64_t slice,
                                          std::uint64_t now_ns) const noexcept {
    const std::uint64_t first_ns = slice * slice_.divisor();
    return std::clamp(now_ns, first_ns, AddSaturating(first_ns, slice_.divisor() - 1));
  }
  /// The first instant at which a unit charged in `slice` no longer counts, for a ring whose newest
  /// slice is `newest`.
  [[nodiscard]] std::uint64_t LeavesAt(std::uint64_t slice, std::uint64_t newest) const noexcept;

 private:
  std::uint64_t window_ns_ = 1;
  Divider slice_;
  unsigned back_ = 0;  // Slices touched before the own one, at the own one's first instant.
  std::uint64_t fewer_from_ns_ = 1;  // From this offset in a slice on it is one fewer.
};

template <class Counter>
class SlidingWindow {
 public:
  static constexpr std::size_t kStateBytes = 8 + Slices::kCount * sizeof(Counter);
  static constexpr std::uint64_t kMaxQuota = static_cast<Counter>(~Counter{0});

  SlidingWindow() noexcept = default;
  /// REQUIRES: 0 < quota <= kMaxQuota, 0 < window_ns <= 2^62.
  SlidingWindow(std::uint64_t quota, std::uint64_t window_ns) noexcept
      : quota_(quota), slices_(window_ns) {}

  [[nodiscard]] std::uint64_t quota() const noexcept { return quota_; }
  [[nodiscard]] std::uint64_t window_ns() const noexcept { return slices_.window_ns(); }

  [[nodiscard]] std::uint64_t Remaining(const std::byte* state,
                                        std::uint64_t now_ns) const noexcept;
  void Charge(std::byte* state, std::uint64_t now_ns, std::uint64_t cost) const noexcept;
  void GiveBack(std::byte* state, std::uint64_t now_ns, std::uint64_t charged_ns,
                std::uint64_t cost) const noexcept;
  void GiveBackOldest(std::byte* state, std::uint64_t now_ns, std::uint64_t cost) const noexcept;
  /// As GiveBack, and where the slice of the charge holds too little, takes the rest from newer
  /// ones: a charge made behind the newest slice went there. For leases, of which each must end.
  void Release(std::byte* state, std::uint64_t now_ns, std::uint64_t charged_ns,
               std::uint64_t cost) const noexcept;
  /// REQUIRES: cost <= quota.
  [[nodiscard]] std::uint64_t RetryAfter(const std::byte* state, std::uint64_t now_ns,
                                         std::uint64_t cost) const noexcept;
  [[nodiscard]] std::uint64_t ResetAfter(const std::byte* state,
                                         std::uint64_t now_ns) const noexcept;
  [[nodiscard]] std::uint64_t HoldFor(const std::byte* state, std::uint64_t now_ns) const noexcept;
  [[nodiscard]] Times TimesOf(const std::byte* state, std::uint64_t now_ns) const noexcept;
  [[nodiscard]] Load LoadOf(const std::byte* state, std::uint64_t now_ns) const noexcept;

  struct Charged {
    std::uint64_t at_ns = 0;
    std::uint64_t units = 0;
  };
  /// What counts, the oldest first: each slice's units as charged at its last instant, or at
  /// `now_ns` in the slice of that.
  [[nodiscard]] std::array<Charged, Slices::kCount> Charges(const std::byte* state,
                                                            std::uint64_t now_ns) const noexcept;

 private:
  struct View;  // The slices that count at one instant.
  [[nodiscard]] View Look(const std::byte* state, std::uint64_t now_ns) const noexcept;
  [[nodiscard]] static std::uint64_t Sum(const std::byte* state, const View& view) noexcept;
  /// Bit i: the slice that is 15 - i before the newest counts and is not zero. So the oldest is the
  /// lowest bit.
  [[nodiscard]] static unsigned Live(const std::byte* state, const View& view) noexcept;
  [[nodiscard]] std::uint64_t LeavesAfter(const View& view, unsigned bit,
                                          std::uint64_t now_ns) const noexcept;

  std::uint64_t quota_ = 1;
  Slices slices_;
};

/// Copies a state into one with counters of another width; what does not fit stays the most that
/// fits, which is no less than any quota of that width.
template <class To, class From>
void CopyRing(std::byte* to, const std::byte* from) noexcept {
  std::memcpy(to, from, 8);
  for (unsigned lane = 0; lane < Slices::kCount; ++lane) {
    From wide = 0;
    std::memcpy(&wide, from + 8 + lane * sizeof(From), sizeof(From));
    const auto narrow = static_cast<To>(std::min<std::uint64_t>(wide, static_cast<To>(~To{0})));
    std::memcpy(to + 8 + lane * sizeof(To), &narrow, sizeof(To));
  }
}

extern template class SlidingWindow<std::uint16_t>;
extern template class SlidingWindow<std::uint32_t>;

}  // namespace sluicegate::limit
