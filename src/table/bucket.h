// One bucket of a table: a header line with a lock and the slots' fingerprints, then the slots'
// states.
//
//     line 0      12 fingerprints of 32 bits | lock | 12 tags of 8 bits
//     line 1...   12 states of `slot_bytes` each, padded to whole lines
//
// A fingerprint is 0 in a slot that was never used. Everything but the lock word is guarded by the
// lock.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <thread>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "table/owners.h"

namespace sluicegate::table {

inline constexpr std::size_t kCacheLine = 64;
inline constexpr unsigned kSlotsPerBucket = 12;

/// Tells the core that it waits for another one, where the architecture has a word for it.
inline void SpinPause() noexcept {
#ifdef __SSE2__
  _mm_pause();
#endif
}

/// Lets other threads of this core go on: one of them may be what is waited for.
inline void YieldCore() noexcept { std::this_thread::yield(); }

/// Sleeps for about so long, for what another process may take.
inline void Nap(std::chrono::microseconds length) noexcept { std::this_thread::sleep_for(length); }

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

/// What a thread does around a long wait for a bucket: it may let go of what other threads of its
/// program need, such as an interpreter's lock. `end` gets what `begin` gave, and no bucket's lock
/// was taken between the two. Null: nothing.
struct WaitHooks {
  void* (*begin)() noexcept = nullptr;
  void (*end)(void* begun) noexcept = nullptr;
};
/// For all tables of the program. REQUIRES: both or none are null, and nobody waits meanwhile.
void SetWaitHooks(WaitHooks hooks) noexcept;

/// How an attempt to lock ended.
enum class Locked : std::uint8_t {
  kHeld,
  kSealed,  ///< What it guarded has moved.
  kStuck,   ///< Another process holds it for too long (it is stopped), or this one has no word.
};

/// A lock of one word, held for tens of nanoseconds. A waiter looks after ever longer pauses: so
/// the line stays with the holder, who on a hot key takes many turns at the speed of its own cache
/// before it goes over. In the end a waiter yields its core: on few cores the holder may be the one
/// that waits for it. A sealed lock is never free again: what it guarded has moved.
///
/// Of a table that processes share the word tells the holder (table/owners.h). What a dead one held
/// is taken over, as it stands; a living one is never robbed: a waiter gives up after kNaps naps,
/// 50 to 150 ms. No lock of it is ever sealed.
class BucketLock {
 public:
  static constexpr unsigned kNaps = 1000;
  static constexpr std::chrono::microseconds kNap{50};

  /// `owners`: of a shared table; else null.
  [[nodiscard]] Locked Lock(Owners* owners = nullptr) noexcept {
    const std::uint32_t word = WordOf(owners);
    std::uint32_t seen = word_.load(std::memory_order_relaxed);
    if (seen == kFree && word != kFree &&
        word_.compare_exchange_weak(seen, word, std::memory_order_acquire,
                                    std::memory_order_relaxed)) {
      return Locked::kHeld;
    }
    return LockSlowly(owners, word);
  }
  void Unlock() noexcept { word_.store(kFree, std::memory_order_release); }
  /// REQUIRES: the caller holds it; nobody holds it then.
  void Seal() noexcept { word_.store(kSealed, std::memory_order_release); }

 private:
  // No owner's word is one of these, nor kAlone.
  static constexpr std::uint32_t kFree = 0;
  static constexpr std::uint32_t kSealed = 2;

  [[nodiscard]] Locked LockSlowly(Owners* owners, std::uint32_t word) noexcept;

  std::atomic<std::uint32_t> word_{kFree};
};

/// What a slot's header byte says beside its fingerprint. A value type.
struct SlotTag {
  std::uint8_t generation : 4;  ///< Goes up when a slot changes its key.
  std::uint8_t above : 4;       ///< The four bits of the key's hash above its fingerprint.
};
static_assert(sizeof(SlotTag) == 1);

struct alignas(kCacheLine) Bucket {
  std::array<std::uint32_t, kSlotsPerBucket> fingerprints;
  BucketLock lock;
  std::array<SlotTag, kSlotsPerBucket> tags;

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
    if (mask == 0) return kSlotsPerBucket;
    const auto slot = static_cast<unsigned>(std::countr_zero(mask));
    if (slot >= kSlotsPerBucket) __builtin_unreachable();  // Tells it to the compiler.
    return slot;
#else
    unsigned slot = 0;
    while (slot < kSlotsPerBucket && fingerprints[slot] != fingerprint) ++slot;
    return slot;
#endif
  }

  /// Find without the lock: what it reads may change meanwhile, so the answer is a hint. No race to
  /// a sanitizer, as nothing but a prefetch goes by it.
#ifdef __clang__
  [[clang::no_sanitize("thread")]]
#endif
  [[nodiscard]] unsigned
  PeekFor(std::uint32_t fingerprint) const noexcept {
    return Find(fingerprint);
  }

  [[nodiscard]] std::byte* State(unsigned slot, std::size_t slot_bytes) noexcept {
    return reinterpret_cast<std::byte*>(this + 1) + slot * slot_bytes;
  }
};
static_assert(sizeof(Bucket) == kCacheLine, "the header is one cache line");

}  // namespace sluicegate::table
