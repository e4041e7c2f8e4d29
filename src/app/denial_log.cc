#include "app/denial_log.h"

#include <fmt/format.h>

namespace sluicegate::app {

void DenialLog::BeginSecond(std::uint64_t now_ns) {
  const std::uint64_t now_second = now_ns / 1'000'000'000;
  std::uint64_t second = second_.load(std::memory_order_relaxed);
  // A clock that lags (another loop's) stays in the second that runs.
  if (now_second <= second) return;
  if (!second_.compare_exchange_strong(second, now_second, std::memory_order_relaxed)) return;
  const std::uint64_t noted = noted_.exchange(0, std::memory_order_relaxed);
  if (noted > kLinesPerSecond) {
    sink_(fmt::format("denied: {} more within a second were not logged one by one",
                      noted - kLinesPerSecond));
  }
}

void DenialLog::Note(const http::DenialEvent& denial) {
  BeginSecond(denial.now.engine_ns);
  if (noted_.fetch_add(1, std::memory_order_relaxed) >= kLinesPerSecond) return;
  sink_(fmt::format("denied: verdict={} rule={} limit={} client={:08x}",
                    VerdictName(denial.verdict), denial.rule,
                    denial.limit.empty() ? "-" : denial.limit, names_.Of(denial.key_hash)));
}

void DenialLog::Flush(std::uint64_t now_ns) { BeginSecond(now_ns); }

}  // namespace sluicegate::app
