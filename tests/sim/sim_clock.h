// SimClock: the machine's two clocks, and the event loops that read them once a turn. Time stands
// still until it is told; wall time may be set; a loop's reading lags by at most a turn. Bound to
// one thread.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "sluicegate/time.h"

namespace sluicegate::sim {

class SimClock {
 public:
  static constexpr std::size_t kLoops = 3;

  /// `turn_ns`: how long a loop goes by one reading.
  SimClock(Now start, std::uint64_t turn_ns) : now_(start), turn_ns_(turn_ns) {
    readings_.fill(start);
  }

  [[nodiscard]] Now now() const { return now_; }
  [[nodiscard]] Now reading(std::size_t loop) const { return readings_[loop]; }
  /// Of all loops the one that lags most.
  [[nodiscard]] Now oldest() const {
    return *std::ranges::min_element(readings_, {}, &Now::engine_ns);
  }

  void Advance(std::uint64_t ns) {
    now_.engine_ns += ns;
    now_.unix_ns += static_cast<std::int64_t>(ns);
    for (Now& reading : readings_) {
      if (now_.engine_ns - reading.engine_ns > turn_ns_) reading = now_;
    }
  }
  void Read(std::size_t loop) { readings_[loop] = now_; }
  void ReadAll() { readings_.fill(now_); }
  /// Somebody sets the wall clock.
  void SetWall(std::int64_t by_ns) { now_.unix_ns += by_ns; }

 private:
  Now now_;
  const std::uint64_t turn_ns_;
  std::array<Now, kLoops> readings_;
};

}  // namespace sluicegate::sim
