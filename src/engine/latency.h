// A histogram of decision times with fixed bounds. Thread-safe; doors feed it a sample, so its
// lines are seldom touched.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "engine/statistics.h"

namespace sluicegate::engine {

class LatencyHistogram {
 public:
  void Observe(std::uint64_t ns) noexcept {
    std::size_t bucket = 0;
    while (bucket < LatencyReport::kBoundsNs.size() && ns > LatencyReport::kBoundsNs[bucket]) {
      ++bucket;
    }
    counts_[bucket].fetch_add(1, std::memory_order_relaxed);
    sum_ns_.fetch_add(ns, std::memory_order_relaxed);
  }

  /// Cumulative counts, as Prometheus has them.
  [[nodiscard]] LatencyReport Read() const noexcept {
    LatencyReport report;
    std::uint64_t below = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      below += counts_[i].load(std::memory_order_relaxed);
      report.counts[i] = below;
    }
    report.sum_ns = sum_ns_.load(std::memory_order_relaxed);
    return report;
  }

 private:
  std::array<std::atomic<std::uint64_t>, LatencyReport::kBoundsNs.size() + 1> counts_{};
  std::atomic<std::uint64_t> sum_ns_{0};
};

}  // namespace sluicegate::engine
