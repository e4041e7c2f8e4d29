#include "table/bucket.h"

namespace sluicegate::table {
namespace {

constexpr unsigned kMostDoublings = 6;      // 64 pauses: 1 us, some twenty decisions.
constexpr unsigned kWaitsBeforeYield = 64;  // Together 60 us: nobody that runs holds it that long.
constexpr unsigned kWaitsBeforeNap = 128;   // It may not run, with more threads than cores.

void Wait(unsigned waits) noexcept {
  if (waits >= kWaitsBeforeYield) return YieldCore();
  const unsigned pauses = 1U << (waits < kMostDoublings ? waits : kMostDoublings);
  for (unsigned i = 0; i < pauses; ++i) SpinPause();
}

constinit WaitHooks wait_hooks;

// A wait that is so long that the hooks are called around it.
class LongWait {
 public:
  LongWait() = default;
  ~LongWait() { End(); }
  LongWait(const LongWait&) = delete;
  LongWait& operator=(const LongWait&) = delete;

  void Begin() noexcept {
    if (began_ || wait_hooks.begin == nullptr) return;
    began_ = true;
    begun_ = wait_hooks.begin();
  }
  // False: it had not begun.
  bool End() noexcept {
    if (!began_) return false;
    began_ = false;
    wait_hooks.end(begun_);
    return true;
  }

 private:
  bool began_ = false;
  void* begun_ = nullptr;
};

}  // namespace

void SetWaitHooks(WaitHooks hooks) noexcept { wait_hooks = hooks; }

Locked BucketLock::LockSlowly(Owners* owners, std::uint32_t word) noexcept {
  // Without owners there is always a word, and no end to the waiting.
  const auto give_up = [owners] {
    owners->CountStuck();
    return Locked::kStuck;
  };
  if (word == kFree) return owners->are_gone() ? Locked::kSealed : give_up();
  LongWait away;
  for (unsigned waits = 0;; ++waits) {
    std::uint32_t seen = word_.load(std::memory_order_relaxed);
    // In a file nobody seals: there it is damage, and taken over as a dead one's.
    if (seen == kSealed && owners == nullptr) return Locked::kSealed;
    const bool asks = owners != nullptr && waits >= kWaitsBeforeYield;
    const bool may = seen == kFree || (asks && owners->IsDead(seen));
    // What the hooks let go of may be long in coming back: nobody is to wait for the bucket then.
    if (may && away.End()) continue;
    // Others ask as well, and only one of them takes over: by then it is another word.
    if (may && word_.compare_exchange_weak(seen, word, std::memory_order_acquire,
                                           std::memory_order_relaxed)) {
      if (seen != kFree) owners->CountTakeover();
      return Locked::kHeld;
    }
    if (waits >= kWaitsBeforeYield) away.Begin();
    if (owners == nullptr || waits < kWaitsBeforeNap) {
      Wait(waits);
    } else if (waits < kWaitsBeforeNap + kNaps) {
      Nap(kNap);
    } else {
      return give_up();
    }
  }
}

}  // namespace sluicegate::table
