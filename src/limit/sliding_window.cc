#include "limit/sliding_window.h"

#include <algorithm>
#include <bit>
#include <cstring>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/write_order.h"

namespace sluicegate::limit {
namespace {

constexpr std::uint64_t kParts =
    Slices::kCount - 1;  // W / 15: then 16 slices cover any interval of W.

// The state's bytes belong to a table; words are copied in and out, which compiles to plain moves.
std::uint64_t LoadHead(const std::byte* state) noexcept {
  std::uint64_t head = 0;
  std::memcpy(&head, state, sizeof(head));
  return head;
}

void StoreHead(std::byte* state, std::uint64_t head) noexcept {
  std::memcpy(state, &head, sizeof(head));
}

template <class Counter>
Counter LoadCounter(const std::byte* state, std::uint64_t slice) noexcept {
  Counter value = 0;
  std::memcpy(&value, state + 8 + (slice % Slices::kCount) * sizeof(Counter), sizeof(value));
  return value;
}

template <class Counter>
void StoreCounter(std::byte* state, std::uint64_t slice, std::uint64_t value) noexcept {
  const auto narrow = static_cast<Counter>(value);
  std::memcpy(state + 8 + (slice % Slices::kCount) * sizeof(Counter), &narrow, sizeof(narrow));
}

// Bit i: the counter in lane i is not zero.
template <class Counter>
unsigned NonZeroLanes(const std::byte* state) noexcept {
#ifdef __SSE2__
  const auto zeros = [state](std::size_t i) {
    const __m128i lanes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(state + 8) + i);
    return sizeof(Counter) == 2 ? _mm_cmpeq_epi16(lanes, _mm_setzero_si128())
                                : _mm_cmpeq_epi32(lanes, _mm_setzero_si128());
  };
  __m128i words[2];
  for (std::size_t i = 0; i < 2; ++i) {
    words[i] = sizeof(Counter) == 2 ? zeros(i) : _mm_packs_epi32(zeros(2 * i), zeros(2 * i + 1));
  }
  return static_cast<unsigned>(_mm_movemask_epi8(_mm_packs_epi16(words[0], words[1]))) ^ 0xFFFFU;
#else
  unsigned lanes = 0;
  for (unsigned i = 0; i < Slices::kCount; ++i) {
    lanes |= LoadCounter<Counter>(state, i) != 0 ? 1U << i : 0U;
  }
  return lanes;
#endif
}

}  // namespace

Slices::Slices(std::uint64_t window_ns) noexcept
    : window_ns_(window_ns), slice_(DivideRoundingUp(window_ns, kParts)) {
  // At offset r in a slice the interval begins at r - (W - 1), in slices ceil((W - 1 - r) / slice)
  // back; r runs over one slice only, so that takes the value at r = 0 and, from some r on, one
  // less.
  const std::uint64_t slice_ns = slice_.divisor();
  back_ = static_cast<unsigned>(DivideRoundingUp(window_ns - 1, slice_ns));
  fewer_from_ns_ = back_ == 0 ? slice_ns : window_ns - 1 - (back_ - 1) * slice_ns;
}

std::uint64_t Slices::LeavesAt(std::uint64_t slice, std::uint64_t newest) const noexcept {
  const std::uint64_t slice_ns = slice_.divisor();
  const std::uint64_t out_ns =
      AddSaturating(MultiplySaturating(slice + 1, slice_ns), window_ns_ - 1);
  // Before the newest slice begins, all counters count.
  return std::max(out_ns, MultiplySaturating(newest, slice_ns));
}

// Slices newest - count + 1 ... newest count. `now` is the slice of the instant, or `newest` if
// that is later.
template <class Counter>
struct SlidingWindow<Counter>::View {
  std::uint64_t now = 0;
  std::uint64_t newest = 0;
  unsigned count = 0;

  [[nodiscard]] std::uint64_t oldest() const noexcept { return newest + 1 - count; }
};

template <class Counter>
auto SlidingWindow<Counter>::Look(const std::byte* state, std::uint64_t now_ns) const noexcept
    -> View {
  now_ns = std::min(now_ns, Divider::kMaxDividend);
  const std::uint64_t head = LoadHead(state);
  const std::uint64_t now = slices_.At(now_ns);
  if (head == 0) return {.now = now, .newest = now, .count = 0};
  const std::uint64_t newest = head - 1;
  if (now < newest) return {.now = newest, .newest = newest, .count = Slices::kCount};
  const std::uint64_t back = slices_.Back(now_ns, now);
  const std::uint64_t age = now - newest;
  return {.now = now,
          .newest = newest,
          .count = age > back ? 0 : static_cast<unsigned>(back - age) + 1};
}

// Counts lane by lane, so that the compiler makes vectors of it: a lane's age is its distance to
// the newest slice.
template <class Counter>
std::uint64_t SlidingWindow<Counter>::Sum(const std::byte* state, const View& view) noexcept {
  Counter counters[Slices::kCount];
  std::memcpy(counters, state + 8, sizeof(counters));
  const auto newest = static_cast<Counter>(view.newest % Slices::kCount);
  const auto count = static_cast<Counter>(view.count);
  std::uint32_t low = 0;
  std::uint32_t high = 0;
  for (unsigned lane = 0; lane < Slices::kCount; ++lane) {
    const auto age = static_cast<Counter>((newest - lane) % Slices::kCount);
    const auto counts = static_cast<Counter>(age < count ? counters[lane] : 0);
    low += counts & 0xFFFFU;
    if constexpr (sizeof(Counter) > 2) high += counts >> 16U;
  }
  return (std::uint64_t{high} << 16U) + low;
}

template <class Counter>
unsigned SlidingWindow<Counter>::Live(const std::byte* state, const View& view) noexcept {
  const auto lanes = static_cast<std::uint16_t>(NonZeroLanes<Counter>(state));
  const auto oldest_lane = static_cast<int>((view.newest + 1) % Slices::kCount);
  const unsigned ages = std::rotr(lanes, oldest_lane);
  const unsigned uncounted = Slices::kCount - view.count;
  return ages >> uncounted << uncounted;
}

// Before the first slice none was charged, but a file may say anything.
template <class Counter>
std::uint64_t SlidingWindow<Counter>::LeavesAfter(const View& view, unsigned bit,
                                                  std::uint64_t now_ns) const noexcept {
  const std::uint64_t slice = SubtractSaturating(view.newest, Slices::kCount - 1 - bit);
  return SubtractSaturating(slices_.LeavesAt(slice, view.newest), now_ns);
}

template <class Counter>
std::uint64_t SlidingWindow<Counter>::Remaining(const std::byte* state,
                                                std::uint64_t now_ns) const noexcept {
  const View view = Look(state, now_ns);
  return view.count == 0 ? quota_ : SubtractSaturating(quota_, Sum(state, view));
}

template <class Counter>
void SlidingWindow<Counter>::Charge(std::byte* state, std::uint64_t now_ns,
                                    std::uint64_t cost) const noexcept {
  const View view = Look(state, now_ns);
  // First the head: a process that dies then leaves slices of a turn before as new ones, so more in
  // use than there is, and never less.
  StoreHead(state, view.now + 1);
  KeepWriteOrder();
  // What lies between the newest slice and now is from a turn of the ring before.
  const std::uint64_t steps = view.now - view.newest;
  if (steps >= Slices::kCount) {
    std::memset(state + 8, 0, kStateBytes - 8);
  } else {
    for (std::uint64_t i = 0; i < steps; ++i) StoreCounter<Counter>(state, view.now - i, 0);
  }
  const std::uint64_t sum = AddSaturating(LoadCounter<Counter>(state, view.now), cost);
  StoreCounter<Counter>(state, view.now, std::min(sum, kMaxQuota));
}

template <class Counter>
void SlidingWindow<Counter>::GiveBack(std::byte* state, std::uint64_t now_ns,
                                      std::uint64_t charged_ns, std::uint64_t cost) const noexcept {
  const View view = Look(state, now_ns);
  const std::uint64_t slice = slices_.At(charged_ns);
  if (view.count == 0 || slice > view.newest || slice + view.count <= view.newest) return;
  StoreCounter<Counter>(state, slice, SubtractSaturating(LoadCounter<Counter>(state, slice), cost));
}

template <class Counter>
void SlidingWindow<Counter>::Release(std::byte* state, std::uint64_t now_ns,
                                     std::uint64_t charged_ns, std::uint64_t cost) const noexcept {
  const View view = Look(state, now_ns);
  std::uint64_t slice = slices_.At(charged_ns);
  if (view.count == 0 || slice + view.count <= view.newest) return;
  for (; slice <= view.newest && cost > 0; ++slice) {
    const std::uint64_t held = LoadCounter<Counter>(state, slice);
    StoreCounter<Counter>(state, slice, SubtractSaturating(held, cost));
    cost -= std::min(held, cost);
  }
}

template <class Counter>
void SlidingWindow<Counter>::GiveBackOldest(std::byte* state, std::uint64_t now_ns,
                                            std::uint64_t cost) const noexcept {
  const View view = Look(state, now_ns);
  for (unsigned i = 0; i < view.count && cost > 0; ++i) {
    const std::uint64_t slice = view.oldest() + i;
    const std::uint64_t held = LoadCounter<Counter>(state, slice);
    StoreCounter<Counter>(state, slice, SubtractSaturating(held, cost));
    cost -= std::min(held, cost);
  }
}

template <class Counter>
std::uint64_t SlidingWindow<Counter>::RetryAfter(const std::byte* state, std::uint64_t now_ns,
                                                 std::uint64_t cost) const noexcept {
  const View view = Look(state, now_ns);
  std::uint64_t used = view.count == 0 ? 0 : Sum(state, view);
  if (AddSaturating(used, cost) <= quota_) return 0;
  for (unsigned live = Live(state, view); live != 0; live &= live - 1) {
    const auto oldest = static_cast<unsigned>(std::countr_zero(live));
    used -= LoadCounter<Counter>(state, view.newest + 1 + oldest);
    if (used + cost <= quota_) return LeavesAfter(view, oldest, now_ns);
  }
  return 0;
}

template <class Counter>
Times SlidingWindow<Counter>::TimesOf(const std::byte* state, std::uint64_t now_ns) const noexcept {
  const View view = Look(state, now_ns);
  const unsigned live = view.count == 0 ? 0 : Live(state, view);
  if (live == 0) return {};
  const auto oldest = static_cast<unsigned>(std::countr_zero(live));
  const auto newest = static_cast<unsigned>(std::bit_width(live)) - 1;
  return {.hold_ns = LeavesAfter(view, oldest, now_ns),
          .reset_after_ns = LeavesAfter(view, newest, now_ns)};
}

template <class Counter>
std::uint64_t SlidingWindow<Counter>::ResetAfter(const std::byte* state,
                                                 std::uint64_t now_ns) const noexcept {
  return TimesOf(state, now_ns).reset_after_ns;
}

template <class Counter>
std::uint64_t SlidingWindow<Counter>::HoldFor(const std::byte* state,
                                              std::uint64_t now_ns) const noexcept {
  return TimesOf(state, now_ns).hold_ns;
}

template <class Counter>
Load SlidingWindow<Counter>::LoadOf(const std::byte* state, std::uint64_t now_ns) const noexcept {
  const View view = Look(state, now_ns);
  const unsigned live = view.count == 0 ? 0 : Live(state, view);
  if (live == 0) return {};
  const auto newest = static_cast<unsigned>(std::bit_width(live)) - 1;
  return {.used_ppm = ShareOf(Sum(state, view), quota_),
          .clears_after_ns = LeavesAfter(view, newest, now_ns)};
}

template <class Counter>
auto SlidingWindow<Counter>::Charges(const std::byte* state, std::uint64_t now_ns) const noexcept
    -> std::array<Charged, Slices::kCount> {
  std::array<Charged, Slices::kCount> charges{};
  const View view = Look(state, now_ns);
  for (unsigned i = 0; i < view.count; ++i) {
    const std::uint64_t slice = view.oldest() + i;
    charges[i] = {.at_ns = slices_.LastInstant(slice, now_ns),
                  .units = LoadCounter<Counter>(state, slice)};
  }
  return charges;
}

template class SlidingWindow<std::uint16_t>;
template class SlidingWindow<std::uint32_t>;

}  // namespace sluicegate::limit
