// Pace: how long to wait for the next bytes of a client that has to keep a rate, and whether it
// keeps it. Only the time that was waited for it counts. A value type; bound to whoever owns it.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "shield/rate_floor.h"
#include "sluicegate/time.h"

namespace sluicegate::gateway {

inline constexpr Duration kBodyWindow = std::chrono::seconds(10);
inline constexpr Duration kDrainWindow = std::chrono::seconds(20);
inline constexpr Duration kDrainLook = std::chrono::milliseconds(500);

class Pace {
 public:
  /// `bytes_per_second` over each `window`, 0: any; `idle`: the longest wait for one byte. `look`:
  /// after how long to look, where bytes do not tell that they come.
  Pace(std::uint32_t bytes_per_second, Duration window, Duration idle,
       Duration look = Duration::max()) noexcept
      : floor_(bytes_per_second, window), idle_(idle), look_(look) {
    floor_.Begin(0);
  }

  /// A wait begins. How long it may take.
  [[nodiscard]] Duration Begin(std::uint64_t now_ns) noexcept {
    since_ns_ = now_ns;
    wait_ = idle_ - silent_;
    if (floor_.begun()) {
      const std::uint64_t left = floor_.due_ns() - waited_ns_;
      wait_ = std::min({wait_, look_, Duration(static_cast<Duration::rep>(left))});
    }
    return wait_;
  }
  /// It ended with so many bytes. False: the client is too slow.
  [[nodiscard]] bool End(std::uint64_t now_ns, std::uint64_t bytes) noexcept {
    return Note(Elapsed(now_ns), bytes);
  }
  /// It took as long as it may, or longer, with so many bytes. False: the client is too slow.
  [[nodiscard]] bool Expire(std::uint64_t now_ns, std::uint64_t bytes) noexcept {
    return Note(std::max(wait_, Elapsed(now_ns)), bytes);
  }

 private:
  [[nodiscard]] Duration Elapsed(std::uint64_t now_ns) const noexcept {
    return Duration(now_ns - std::min(since_ns_, now_ns));
  }
  [[nodiscard]] bool Note(Duration waited, std::uint64_t bytes) noexcept {
    waited_ns_ += static_cast<std::uint64_t>(waited.count());
    silent_ = bytes > 0 ? Duration::zero() : silent_ + waited;
    floor_.Count(bytes, waited_ns_);
    return silent_ < idle_ && !floor_.Expired(waited_ns_);
  }

  shield::RateFloor floor_;
  Duration idle_;
  Duration look_;
  Duration wait_{};
  Duration silent_{};
  std::uint64_t since_ns_ = 0;
  std::uint64_t waited_ns_ = 0;
};

}  // namespace sluicegate::gateway
