// One bucket of a table: a header line with a lock and the slots' fingerprints, then the slots'
// states.
//
//     line 0      12 fingerprints of 32 bits | lock | 12 generations
//     line 1...   12 states of `slot_bytes` each, padded to whole lines
//
// A fingerprint is 0 in a slot that was never used. Everything but the lock word is guarded by the
// lock.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <thread>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace sluicegate::table {

inline constexpr std::size_t kCacheLine = 64;
inline constexpr unsigned kSlotsPerBucket = 12;

/// Tells the core that it waits for another one, where the architecture has a word for it.
inline void SpinPause() noexcept {
#ifdef __SSE2__
  _mm_pause();
#endif
}

/// Starts to fetch a line that will be written. Written out, as without a flag for newer machines
/// the compilers make a plain prefetch of it, which is dropped where the page is not in the TLB:
/// that made a decision over 10 M keys a quarter slower. Every x86-64 takes the instruction.
inline void PrefetchForWrite(const void* line) noexcept {
#ifdef __x86_64__
  asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(line)));
#else
  __builtin_prefetch(line, 1);
#endif
}

/// A lock of one word, held for tens of nanoseconds. A waiter spins, then yields its core: on few
/// cores the holder may be the one that waits for it.
class BucketLock {
 public:
  void Lock() noexcept {
    for (unsigned spins = 0; !TryLock(); ++spins) {
      if (spins < kSpinsBeforeYield) {
        SpinPause();
      } else {
        std::this_thread::yield();
      }
    }
  }
  void Unlock() noexcept { word_.store(kFree, std::memory_order_release); }

 private:
  static constexpr std::uint32_t kFree = 0;
  static constexpr std::uint32_t kTaken = 1;
  static constexpr unsigned kSpinsBeforeYield =
      128;  // About 5 us at 40 ns a pause: 50 times a decision.

  bool TryLock() noexcept {
    // A read first: a spinning core then shares the line and does not fight over it.
    return word_.load(std::memory_order_relaxed) == kFree &&
           word_.exchange(kTaken, std::memory_order_acquire) == kFree;
  }

  std::atomic<std::uint32_t> word_{kFree};
};

struct alignas(kCacheLine) Bucket {
  std::array<std::uint32_t, kSlotsPerBucket> fingerprints;
  BucketLock lock;
  std::array<std::uint8_t, kSlotsPerBucket> generations;  // Goes up when a slot changes its key.

  /// The slot of a fingerprint, or kSlotsPerBucket. REQUIRES: the lock is held.
  [[nodiscard]] unsigned Find(std::uint32_t fingerprint) const noexcept {
#ifdef __SSE2__
    const __m128i wanted = _mm_set1_epi32(static_cast<int>(fingerprint));
    const auto* lanes = reinterpret_cast<const __m128i*>(fingerprints.data());
    const __m128i low = _mm_packs_epi32(_mm_cmpeq_epi32(_mm_load_si128(lanes), wanted),
                                        _mm_cmpeq_epi32(_mm_load_si128(lanes + 1), wanted));
    const __m128i high =
        _mm_packs_epi32(_mm_cmpeq_epi32(_mm_load_si128(lanes + 2), wanted), _mm_setzero_si128());
    const auto mask = static_cast<unsigned>(_mm_movemask_epi8(_mm_packs_epi16(low, high)));
    return mask == 0 ? kSlotsPerBucket : static_cast<unsigned>(std::countr_zero(mask));
#else
    unsigned slot = 0;
    while (slot < kSlotsPerBucket && fingerprints[slot] != fingerprint) ++slot;
    return slot;
#endif
  }

  [[nodiscard]] std::byte* State(unsigned slot, std::size_t slot_bytes) noexcept {
    return reinterpret_cast<std::byte*>(this + 1) + slot * slot_bytes;
  }
};
static_assert(sizeof(Bucket) == kCacheLine, "the header is one cache line");

}  // namespace sluicegate::table
