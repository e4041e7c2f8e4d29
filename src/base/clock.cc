#include <time.h>

#include "sluicegate/time.h"

namespace sluicegate {
namespace {

std::int64_t ReadNs(clockid_t clock) noexcept {
  timespec at{};
  ::clock_gettime(clock, &at);
  return std::int64_t{at.tv_sec} * 1'000'000'000 + at.tv_nsec;
}

class MachineClock final : public Clock {
 public:
  [[nodiscard]] Now Read() const noexcept override {
    // + 1: engine time 0 is kept for "never".
    return {.engine_ns = static_cast<std::uint64_t>(ReadNs(CLOCK_BOOTTIME)) + 1,
            .unix_ns = ReadNs(CLOCK_REALTIME)};
  }
};

}  // namespace

const Clock& SystemClock() noexcept {
  static const MachineClock clock;
  return clock;
}

}  // namespace sluicegate
