#include "limit/fixed_window.h"

#include <cstring>

#include "limit/calendar.h"
#include "limit/saturating.h"

namespace sluicegate::limit {
namespace {

struct Window {
  std::int64_t end_unix_ns = 0;
  std::uint64_t used = 0;
};

// The end of the window in which `unix_ns` lies. 0 says "never seen", so a window that ends with
// 1969 takes a nanosecond more.
std::int64_t EndOf(CalendarUnit unit, std::int64_t unix_ns) noexcept {
  const std::int64_t edge = NextEdge(unit, unix_ns);
  return edge == 0 ? 1 : edge;
}

// The window that counts at `unix_ns`; nothing used if the one in the state is over.
Window Current(const std::byte* state, std::int64_t unix_ns) noexcept {
  Window window;
  std::memcpy(&window, state, sizeof(window));
  if (window.end_unix_ns == 0 || unix_ns >= window.end_unix_ns) return {};
  return window;
}

void Store(std::byte* state, const Window& window) noexcept {
  std::memcpy(state, &window, sizeof(window));
}

// `unix_ns` lies before the end, perhaps before 1970: the difference is right in unsigned
// arithmetic.
std::uint64_t Until(const Window& window, std::int64_t unix_ns) noexcept {
  return static_cast<std::uint64_t>(window.end_unix_ns) - static_cast<std::uint64_t>(unix_ns);
}

}  // namespace

std::uint64_t FixedWindow::Remaining(const std::byte* state, std::int64_t unix_ns) const noexcept {
  return SubtractSaturating(quota_, Current(state, unix_ns).used);
}

void FixedWindow::Charge(std::byte* state, std::int64_t unix_ns,
                         std::uint64_t cost) const noexcept {
  Window window = Current(state, unix_ns);
  if (window.end_unix_ns == 0) window.end_unix_ns = EndOf(unit_, unix_ns);
  window.used = AddSaturating(window.used, cost);
  Store(state, window);
}

void FixedWindow::GiveBack(std::byte* state, std::int64_t unix_ns, std::int64_t charged_unix_ns,
                           std::uint64_t cost) const noexcept {
  Window window = Current(state, unix_ns);
  // A charge of an earlier window lies before this one's start; its end tells without knowing the
  // length.
  if (window.end_unix_ns == 0 || EndOf(unit_, charged_unix_ns) != window.end_unix_ns) return;
  window.used = SubtractSaturating(window.used, cost);
  Store(state, window);
}

void FixedWindow::GiveBackOldest(std::byte* state, std::int64_t unix_ns,
                                 std::uint64_t cost) const noexcept {
  Window window = Current(state, unix_ns);
  if (window.end_unix_ns == 0) return;
  window.used = SubtractSaturating(window.used, cost);
  Store(state, window);
}

std::uint64_t FixedWindow::RetryAfter(const std::byte* state, std::int64_t unix_ns,
                                      std::uint64_t cost) const noexcept {
  const Window window = Current(state, unix_ns);
  return cost <= SubtractSaturating(quota_, window.used) ? 0 : Until(window, unix_ns);
}

std::uint64_t FixedWindow::ResetAfter(const std::byte* state, std::int64_t unix_ns) const noexcept {
  const Window window = Current(state, unix_ns);
  return window.used == 0 ? 0 : Until(window, unix_ns);
}

Load FixedWindow::LoadOf(const std::byte* state, std::int64_t unix_ns) const noexcept {
  const Window window = Current(state, unix_ns);
  if (window.end_unix_ns == 0) return {};
  // Even with nothing used an open window must not be dropped: wall time may have stepped back
  // behind its start.
  return {.used_ppm = ShareOf(window.used, quota_), .clears_after_ns = Until(window, unix_ns)};
}

}  // namespace sluicegate::limit
