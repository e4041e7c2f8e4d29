// Time as Sluicegate counts it: an argument of every decision, never read inside one.
#pragma once

#include <chrono>
#include <cstdint>

namespace sluicegate {

using Duration = std::chrono::nanoseconds;

/// One instant on two clocks. A value type.
///
/// `engine_ns` is what every window, bucket and ban is measured on: nanoseconds on a clock that
/// never runs backwards, suspended time included (CLOCK_BOOTTIME in a running program, anything
/// from 1 up in a test). `unix_ns` is wall time, nanoseconds since 1970 in UTC: it places calendar
/// edges (fixed windows) and fills fields that are epoch seconds, nothing else.
struct Now {
  std::uint64_t engine_ns = 0;
  std::int64_t unix_ns = 0;
};

/// Where a door gets its `Now`. Implementations are thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual Now Read() const noexcept = 0;
};

/// The machine's clocks (CLOCK_BOOTTIME and CLOCK_REALTIME; that the latter was set is known a
/// millisecond later). One object for the program; thread-safe.
[[nodiscard]] const Clock& SystemClock() noexcept;

}  // namespace sluicegate
