// TimeKeeper: keeps the time of a state file for which no loop does: once a second, by those who
// ask. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>

#include "sluicegate/time.h"
#include "table/state_file.h"

namespace sluicegate::engine {

class TimeKeeper {
 public:
  /// `file`: the same each time.
  void Keep(table::StateFile& file, Now now) noexcept {
    constexpr std::uint64_t kSecondNs = 1'000'000'000;
    std::uint64_t due_ns = due_ns_.load(std::memory_order_relaxed);
    if (now.engine_ns >= due_ns &&
        due_ns_.compare_exchange_strong(due_ns, now.engine_ns + kSecondNs,
                                        std::memory_order_relaxed)) {
      file.Keep(now);
    }
  }

 private:
  std::atomic<std::uint64_t> due_ns_{0};
};

}  // namespace sluicegate::engine
