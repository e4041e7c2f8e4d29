// RateFloor: whether a transfer keeps at least so many bytes a second, over a window. A value type;
// pure, and bound to whoever owns it.
//
// Judged at the end of each window: fewer than rate x window bytes within it are too slow. So a
// client that sends them in one burst and is silent for the rest passes, and no faster than the
// floor has to be fed: bytes beyond it count for no later window. A transfer that brings enough in
// every interval of a window's length is never found too slow, however late it is judged.
//
// It is not the client's fault where nobody reads from it (the other side takes no more), or where
// nothing has to come: End then, and Begin when it goes on.
#pragma once

#include <cstdint>

#include "limit/saturating.h"
#include "sluicegate/time.h"

namespace sluicegate::shield {

class RateFloor {
 public:
  RateFloor() noexcept = default;  ///< No floor.
  /// `bytes_per_second` 0: no floor. REQUIRES: window > 0.
  RateFloor(std::uint32_t bytes_per_second, Duration window) noexcept
      : window_ns_(static_cast<std::uint64_t>(window.count())),
        least_(Least(bytes_per_second, window_ns_)) {}

  /// A window begins now, the first or anew.
  void Begin(std::uint64_t now_ns) noexcept {
    begun_ = least_ > 0;
    begin_ns_ = now_ns;
    bytes_ = 0;
  }
  /// Nothing is expected any more.
  void End() noexcept { begun_ = false; }
  void Count(std::uint64_t bytes) noexcept { bytes_ = limit::AddSaturating(bytes_, bytes); }

  /// Whether the transfer is too slow. Where a window is over and it is not, the next one begins.
  [[nodiscard]] bool Expired(std::uint64_t now_ns) noexcept {
    if (!begun_ || now_ns < due_ns()) return false;
    // Judged late, there were several; with enough in each there is as much in all of them.
    const std::uint64_t windows = (now_ns - begin_ns_) / window_ns_;
    if (bytes_ < limit::MultiplySaturating(least_, windows)) return true;
    Begin(now_ns);
    return false;
  }

  [[nodiscard]] bool begun() const noexcept { return begun_; }
  /// When to ask next. REQUIRES: begun().
  [[nodiscard]] std::uint64_t due_ns() const noexcept {
    return limit::AddSaturating(begin_ns_, window_ns_);
  }

 private:
  /// Bytes of a whole window, rounded up.
  static std::uint64_t Least(std::uint64_t bytes_per_second, std::uint64_t window_ns) noexcept {
    constexpr std::uint64_t kSecondNs = 1'000'000'000;
    const auto product = static_cast<unsigned __int128>(bytes_per_second) * window_ns;
    return static_cast<std::uint64_t>((product + kSecondNs - 1) / kSecondNs);
  }

  std::uint64_t window_ns_ = 1;
  std::uint64_t least_ = 0;
  std::uint64_t begin_ns_ = 0;
  std::uint64_t bytes_ = 0;  // Since begin_ns_.
  bool begun_ = false;
};

}  // namespace sluicegate::shield
