// TokenBucket: a bucket of `burst` units that gets `count` back each `period`, as the generic cell
// rate algorithm (GCRA, ITU-T I.371): one word, the theoretical arrival time (TAT), says when the
// bucket will be full again.
//
// In any interval W at most burst + rate * W units are admitted. Derivation and inaccuracies:
// doc/algorithms.md. Immutable, so thread-safe. The state is one word, 0 for a key never seen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "limit/divider.h"
#include "limit/load.h"
#include "limit/saturating.h"

namespace sluicegate::limit {

class TokenBucket {
 public:
  static constexpr std::size_t kStateBytes = 8;

  TokenBucket() noexcept = default;
  /// `interval_ns` is ceil(period / count): what one unit costs. REQUIRES: burst, interval_ns > 0
  /// and their product fits 2^62.
  TokenBucket(std::uint64_t burst, std::uint64_t interval_ns) noexcept
      : burst_(burst), tolerance_ns_(burst * interval_ns), interval_(interval_ns) {}

  /// The word lies in a table's bytes: copied in and out, which is one move each.
  [[nodiscard]] static std::uint64_t TatOf(const std::byte* state) noexcept {
    std::uint64_t tat_ns = 0;
    std::memcpy(&tat_ns, state, sizeof(tat_ns));
    return tat_ns;
  }
  static void SetTat(std::byte* state, std::uint64_t tat_ns) noexcept {
    std::memcpy(state, &tat_ns, sizeof(tat_ns));
  }

  [[nodiscard]] std::uint64_t burst() const noexcept { return burst_; }
  [[nodiscard]] std::uint64_t interval_ns() const noexcept { return interval_.divisor(); }
  [[nodiscard]] std::uint64_t tolerance_ns() const noexcept { return tolerance_ns_; }

  [[nodiscard]] std::uint64_t Remaining(std::uint64_t tat_ns, std::uint64_t now_ns) const noexcept {
    return interval_.Divide(SubtractSaturating(tolerance_ns_, Debt(tat_ns, now_ns)));
  }
  /// The state after a charge. REQUIRES: cost <= Remaining(tat_ns, now_ns).
  [[nodiscard]] std::uint64_t Charged(std::uint64_t tat_ns, std::uint64_t now_ns,
                                      std::uint64_t cost) const noexcept {
    return AddSaturating(tat_ns > now_ns ? tat_ns : now_ns, cost * interval_ns());
  }
  /// The state after what is left of a charge made at `charged_ns` was taken back.
  [[nodiscard]] std::uint64_t GivenBack(std::uint64_t tat_ns, std::uint64_t now_ns,
                                        std::uint64_t charged_ns,
                                        std::uint64_t cost) const noexcept;
  /// The state with up to `cost` units back in the bucket.
  [[nodiscard]] std::uint64_t GivenBackOldest(std::uint64_t tat_ns, std::uint64_t now_ns,
                                              std::uint64_t cost) const noexcept;
  /// The state in which as many units are owed here as `tat_ns` says of `other`, rounded up.
  [[nodiscard]] std::uint64_t Repriced(std::uint64_t tat_ns, std::uint64_t now_ns,
                                       const TokenBucket& other) const noexcept;
  /// REQUIRES: cost <= burst.
  [[nodiscard]] std::uint64_t RetryAfter(std::uint64_t tat_ns, std::uint64_t now_ns,
                                         std::uint64_t cost) const noexcept {
    return SubtractSaturating(AddSaturating(Debt(tat_ns, now_ns), cost * interval_ns()),
                              tolerance_ns_);
  }
  [[nodiscard]] std::uint64_t ResetAfter(std::uint64_t tat_ns,
                                         std::uint64_t now_ns) const noexcept {
    return Debt(tat_ns, now_ns);
  }
  /// REQUIRES: remaining == Remaining(tat_ns, now_ns).
  [[nodiscard]] Times TimesOf(std::uint64_t tat_ns, std::uint64_t now_ns,
                              std::uint64_t remaining) const noexcept {
    const std::uint64_t debt_ns = Debt(tat_ns, now_ns);
    if (debt_ns == 0) return {};
    // One more unit is there once the debt has fallen to the tolerance less that many.
    return {.hold_ns = debt_ns - (tolerance_ns_ - (remaining + 1) * interval_ns()),
            .reset_after_ns = debt_ns};
  }
  [[nodiscard]] std::uint64_t HoldFor(std::uint64_t tat_ns, std::uint64_t now_ns) const noexcept {
    return TimesOf(tat_ns, now_ns, Remaining(tat_ns, now_ns)).hold_ns;
  }
  [[nodiscard]] Load LoadOf(std::uint64_t tat_ns, std::uint64_t now_ns) const noexcept;

 private:
  /// Nanoseconds until the bucket is full.
  static std::uint64_t Debt(std::uint64_t tat_ns, std::uint64_t now_ns) noexcept {
    return SubtractSaturating(tat_ns, now_ns);
  }

  std::uint64_t burst_ = 1;
  std::uint64_t tolerance_ns_ = 1;
  Divider interval_;
};

}  // namespace sluicegate::limit
