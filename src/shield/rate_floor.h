// RateFloor: whether a transfer keeps at least so many bytes a second, over a window. A value type;
// pure, and bound to whoever owns it.
//
// Too slow are fewer than rate x window bytes in one of the windows that follow each other, and
// bytes that do not pay for the time since: each pays for 1 / rate seconds, at most for a window
// from when it came on. So a burst buys no more than a window from then, and bytes beyond that
// count for nothing later. A transfer that brings enough in every interval of a window's length is
// never found too slow, however late it is judged.
//
// It is not the client's fault where nobody reads from it (the other side takes no more), or where
// nothing has to come: End then, and Begin when it goes on.
#pragma once

#include <algorithm>
#include <cstdint>

#include "limit/saturating.h"
#include "sluicegate/time.h"

namespace sluicegate::shield {

class RateFloor {
 public:
  RateFloor() noexcept = default;  ///< No floor.
  /// `bytes_per_second` 0: no floor. REQUIRES: window > 0.
  RateFloor(std::uint32_t bytes_per_second, Duration window) noexcept
      : rate_(bytes_per_second),
        window_ns_(static_cast<std::uint64_t>(window.count())),
        least_(CeilDivide(static_cast<unsigned __int128>(rate_) * window_ns_, kSecondNs)) {}

  /// A window begins now, the first or anew.
  void Begin(std::uint64_t now_ns) noexcept {
    BeginWindow(now_ns);
    paid_until_ns_ = limit::AddSaturating(now_ns, window_ns_);
  }
  /// Nothing is expected any more.
  void End() noexcept { begun_ = false; }
  /// So many came, the last of them now.
  void Count(std::uint64_t bytes, std::uint64_t now_ns) noexcept {
    if (!begun_) return;
    bytes_ = limit::AddSaturating(bytes_, bytes);
    const std::uint64_t paid_ns =
        CeilDivide(static_cast<unsigned __int128>(bytes) * kSecondNs, rate_);
    paid_until_ns_ = std::min(limit::AddSaturating(paid_until_ns_, paid_ns),
                              limit::AddSaturating(now_ns, window_ns_));
  }

  /// Whether the transfer is too slow. Where a window is over and it is not, the next one begins.
  [[nodiscard]] bool Expired(std::uint64_t now_ns) noexcept {
    if (!begun_ || now_ns < due_ns()) return false;
    if (now_ns >= paid_until_ns_) return true;
    // Judged late, there were several; with enough in each there is as much in all of them.
    const std::uint64_t windows = (now_ns - begin_ns_) / window_ns_;
    if (bytes_ < limit::MultiplySaturating(least_, windows)) return true;
    BeginWindow(now_ns);
    return false;
  }

  [[nodiscard]] bool begun() const noexcept { return begun_; }
  /// When to ask next. REQUIRES: begun().
  [[nodiscard]] std::uint64_t due_ns() const noexcept {
    return std::min(limit::AddSaturating(begin_ns_, window_ns_), paid_until_ns_);
  }

 private:
  static constexpr std::uint64_t kSecondNs = 1'000'000'000;

  static std::uint64_t CeilDivide(unsigned __int128 number, std::uint64_t by) noexcept {
    constexpr std::uint64_t kMost = ~std::uint64_t{0};
    const unsigned __int128 quotient = by == 0 ? 0 : (number + by - 1) / by;
    return quotient > kMost ? kMost : static_cast<std::uint64_t>(quotient);
  }
  void BeginWindow(std::uint64_t now_ns) noexcept {
    begun_ = least_ > 0;
    begin_ns_ = now_ns;
    bytes_ = 0;
  }

  std::uint64_t rate_ = 0;
  std::uint64_t window_ns_ = 1;
  std::uint64_t least_ = 0;  // Bytes of a whole window, rounded up.
  std::uint64_t begin_ns_ = 0;
  std::uint64_t bytes_ = 0;          // Since begin_ns_.
  std::uint64_t paid_until_ns_ = 0;  // By what came so far.
  bool begun_ = false;
};

}  // namespace sluicegate::shield
