// ManualClock: a clock that stands still until it is told, for tests and simulations. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>

#include "sluicegate/time.h"

namespace sluicegate {

class ManualClock final : public Clock {
 public:
  explicit ManualClock(Now start = {.engine_ns = 1, .unix_ns = 0}) noexcept { Set(start); }

  [[nodiscard]] Now Read() const noexcept override {
    return {.engine_ns = engine_ns_.load(std::memory_order_relaxed),
            .unix_ns = unix_ns_.load(std::memory_order_relaxed)};
  }
  void Set(Now now) noexcept {
    engine_ns_.store(now.engine_ns, std::memory_order_relaxed);
    unix_ns_.store(now.unix_ns, std::memory_order_relaxed);
  }
  /// Moves both clocks forward.
  void Advance(Duration by) noexcept {
    engine_ns_.fetch_add(static_cast<std::uint64_t>(by.count()), std::memory_order_relaxed);
    unix_ns_.fetch_add(by.count(), std::memory_order_relaxed);
  }

 private:
  std::atomic<std::uint64_t> engine_ns_{1};
  std::atomic<std::int64_t> unix_ns_{0};
};

}  // namespace sluicegate
