#include "table/bucket.h"

namespace sluicegate::table {
namespace {

constexpr unsigned kMostDoublings = 6;      // 64 pauses: 1 us, some twenty decisions.
constexpr unsigned kWaitsBeforeYield = 64;  // Together 60 us: nobody holds it that long.

void Wait(unsigned waits) noexcept {
  if (waits >= kWaitsBeforeYield) return YieldCore();
  const unsigned pauses = 1U << (waits < kMostDoublings ? waits : kMostDoublings);
  for (unsigned i = 0; i < pauses; ++i) SpinPause();
}

}  // namespace

Locked BucketLock::LockSlowly(Owners* owners, std::uint32_t word) noexcept {
  if (word == kFree) return Locked::kStuck;
  std::chrono::steady_clock::time_point last{};
  for (unsigned waits = 0;; ++waits) {
    std::uint32_t seen = word_.load(std::memory_order_relaxed);
    if (seen == kSealed) return Locked::kSealed;
    bool may = seen == kFree;
    // Longer than any living holder needs that runs: each turn asks for a clock and for the dead.
    if (!may && owners != nullptr && waits >= kWaitsBeforeYield) {
      const auto now = std::chrono::steady_clock::now();
      if (waits == kWaitsBeforeYield) last = now + kPatience;
      may = owners->IsDead(seen);
      if (!may && now > last) return Locked::kStuck;
    }
    // Others ask as well, and only one of them takes over: by then it is another word.
    if (may && word_.compare_exchange_weak(seen, word, std::memory_order_acquire,
                                           std::memory_order_relaxed)) {
      return Locked::kHeld;
    }
    Wait(waits);
  }
}

}  // namespace sluicegate::table
