// ForgeryGuard: bounds the forged signatures that one client has checked: 50 at once, and one more
// each 50 ms, so that the dearest of them (P-384, 1 ms) take 2 % of a core. Bound to one thread.
// Time is an argument.
//
// Each client is one of 1,024 token buckets (GCRA), by a keyed hash, and a bucket is the time until
// which its forgeries are paid for. A client that shares a bucket with a forger is not looked at
// either while that one forges faster than this; only its tokens that are new, as those that were
// verified are remembered.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/ip.h"
#include "base/siphash.h"

namespace sluicegate::identity {

class ForgeryGuard {
 public:
  static constexpr std::uint64_t kBurst = 50;
  static constexpr std::uint64_t kIntervalNs = 50'000'000;

  explicit ForgeryGuard(const HashSecret& secret) : secret_(secret) {}

  [[nodiscard]] bool Admits(const IpAddress& client, std::uint64_t engine_ns) const noexcept {
    return paid_until_[SlotOf(client)] <= engine_ns + (kBurst - 1) * kIntervalNs;
  }
  void Charge(const IpAddress& client, std::uint64_t engine_ns) noexcept {
    std::uint64_t& paid = paid_until_[SlotOf(client)];
    paid = std::max(paid, engine_ns) + kIntervalNs;
  }

 private:
  static constexpr std::size_t kSlots = 1024;

  [[nodiscard]] std::size_t SlotOf(const IpAddress& client) const noexcept {
    const IpAddress counted = client.Client();
    const auto bytes = std::bit_cast<std::array<char, 16>>(counted);
    return SipHash(secret_, {bytes.data(), bytes.size()}) % kSlots;
  }

  const HashSecret secret_;
  std::array<std::uint64_t, kSlots> paid_until_{};
};

}  // namespace sluicegate::identity
