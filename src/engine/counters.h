// Counters of one rule, spread over shards so that threads do not fight over a line. Thread-safe;
// reading while others count gives each counter's value at some moment of the call.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "table/bucket.h"

namespace sluicegate::engine {

enum class Count : std::uint8_t {
  kAdmitted,
  kLimited,
  kBanned,
  kExempt,
  kObserved,
  kObservedDenials,
  kViolations,
  kBans,
  kBlocked,          // Limited, as the sketch says that the key was evicted at a limit.
  kNetworkForKey,    // Decided on the parent network: it brought too many new keys,
  kNetworkForLease,  // or all places for leases were taken,
  kNetworkForBan,    // or all places for offenders were.
};
inline constexpr std::size_t kCounts = 12;

class RuleCounters {
 public:
  void Add(Count what) noexcept {
    shards_[ShardOfThread()].values[static_cast<std::size_t>(what)].fetch_add(
        1, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t Sum(Count what) const noexcept {
    std::uint64_t sum = 0;
    for (const Shard& shard : shards_) {
      sum += shard.values[static_cast<std::size_t>(what)].load(std::memory_order_relaxed);
    }
    return sum;
  }

 private:
  static constexpr std::size_t kShards =
      16;  // Threads beyond share; then an addition may wait for a line.
  struct alignas(table::kCacheLine) Shard {
    std::array<std::atomic<std::uint64_t>, kCounts> values{};
  };
  static std::size_t ShardOfThread() noexcept {
    static std::atomic<std::size_t> next{0};
    thread_local const std::size_t mine = next.fetch_add(1, std::memory_order_relaxed) % kShards;
    return mine;
  }
  std::array<Shard, kShards> shards_{};
};

}  // namespace sluicegate::engine
