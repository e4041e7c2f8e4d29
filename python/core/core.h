// What the files of the extension module share. It translates between Python and the engine, which
// decides; the GIL is held unless a function says otherwise.
#pragma once

#include <nanobind/nanobind.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "arguments.h"
#include "base/manual_clock.h"
#include "sluicegate/decision.h"
#include "sluicegate/limiter.h"

namespace sluicegate::python {

namespace nb = nanobind;

/// A limiter, and what a program asks about it. Its address is its own: doors refer to it.
struct KeyLimiter {
  Limiter limiter;
  std::shared_ptr<const Clock> clock;
  std::shared_ptr<const std::vector<std::string>> names;  ///< As its limits.
  bool shared;                                            ///< Its state lies in a file.
  // Relaxed; of this process.
  std::atomic<std::uint64_t> admitted{0};
  std::atomic<std::uint64_t> violations{0};
};

/// A decision, and how its limits are called.
struct NamedDecision {
  Decision decision;
  std::shared_ptr<const std::vector<std::string>> names;
};

/// Lets other threads of Python run while it lives, where what is worked on lies in a file. In
/// memory they wait: one that forks meanwhile would leave its child a copy of locks that nobody
/// unlocks. In a file the child finds the lock of a process that lives, or takes over a dead one's.
class ReleasedIf {
 public:
  explicit ReleasedIf(bool shared) {
    if (shared) released_.emplace();
  }

 private:
  std::optional<nb::gil_scoped_release> released_;
};

/// While it lives its thread keeps the GIL where it waits long for a bucket: it holds what another
/// one would wait for with the GIL.
class KeptGil {
 public:
  explicit KeptGil(bool kept) noexcept : before_(std::exchange(kept_here, kept_here || kept)) {}
  ~KeptGil() { kept_here = before_; }
  KeptGil(const KeptGil&) = delete;
  KeptGil& operator=(const KeptGil&) = delete;
  [[nodiscard]] static bool IsHere() noexcept { return kept_here; }

 private:
  inline static thread_local bool kept_here = false;
  const bool before_;
};

/// The machine's clock where there is none. It outlives whoever has it.
[[nodiscard]] std::shared_ptr<const Clock> ClockOr(const std::shared_ptr<ManualClock>& clock);

[[nodiscard]] inline double Seconds(std::uint64_t ns) noexcept {
  return static_cast<double>(ns) / 1e9;
}
/// Nothing: no wait helps.
[[nodiscard]] inline std::optional<double> RetrySeconds(const Decision& decision) noexcept {
  if (decision.retry_after_ns == Decision::kNever) return std::nullopt;
  return Seconds(decision.retry_after_ns);
}
/// Throws ValueError where it is no length above 0, or more than 100 years.
[[nodiscard]] Duration DurationOf(double seconds, const char* what);

void BindLimiter(nb::module_& module);
void BindDoors(nb::module_& module);
void BindCounts(nb::module_& module);
void BindTools(nb::module_& module);

}  // namespace sluicegate::python
