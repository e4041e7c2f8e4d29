#include <time.h>

#include "sluicegate/time.h"

namespace sluicegate {
namespace {

std::int64_t ReadNs(clockid_t clock) noexcept {
  timespec at{};
  ::clock_gettime(clock, &at);
  return std::int64_t{at.tv_sec} * 1'000'000'000 + at.tv_nsec;
}

// + 1: engine time 0 is kept for "never".
std::uint64_t ReadEngineNs() noexcept {
  return static_cast<std::uint64_t>(ReadNs(CLOCK_BOOTTIME)) + 1;
}

// How far wall time is ahead of engine time. Both run at one speed, and only who sets the clock
// changes it: so it is asked once a millisecond, as a clock costs about what a decision does.
struct WallOffset {
  std::uint64_t good_until_ns = 0;  // Engine time.
  std::int64_t ns = 0;
};

class MachineClock final : public Clock {
 public:
  [[nodiscard]] Now Read() const noexcept override {
    constexpr std::uint64_t kGoodForNs = 1'000'000;
    constexpr std::uint64_t kMostApartNs = 10'000;
    thread_local WallOffset wall;
    const std::uint64_t engine_ns = ReadEngineNs();
    if (engine_ns >= wall.good_until_ns) {
      wall.ns = ReadNs(CLOCK_REALTIME) - static_cast<std::int64_t>(engine_ns);
      // Not for longer than now, if the thread stood still between the two.
      const bool close = ReadEngineNs() - engine_ns < kMostApartNs;
      wall.good_until_ns = close ? engine_ns + kGoodForNs : 0;
    }
    return {.engine_ns = engine_ns, .unix_ns = static_cast<std::int64_t>(engine_ns) + wall.ns};
  }
};

}  // namespace

const Clock& SystemClock() noexcept {
  static const MachineClock clock;
  return clock;
}

}  // namespace sluicegate
