#include "engine/tool_statistics.h"

#include <mutex>

namespace sluicegate::engine {
namespace {

std::string_view NameOf(std::string_view tool) noexcept {
  return tool.size() > ToolStatistics::kMostNameBytes ? ToolStatistics::kOther : tool;
}

}  // namespace

void ToolStatistics::Add(Counters& counters, bool limited, Now now) noexcept {
  counters.total.fetch_add(1, std::memory_order_relaxed);
  if (!limited) return;
  counters.limited.fetch_add(1, std::memory_order_relaxed);
  counters.last_unix_ns.store(now.unix_ns, std::memory_order_relaxed);
}

ToolStatistics::Counters& ToolStatistics::PlaceOf(std::string_view tool) {
  const bool full = tools_.size() >= kMostTools && !tools_.contains(tool);
  return tools_[std::string(full ? kOther : tool)];
}

void ToolStatistics::Count(std::string_view tool, bool limited, Now now) {
  tool = NameOf(tool);
  {
    const std::shared_lock lock(mu_);
    const auto found = tools_.find(tool);
    if (found != tools_.end()) return Add(found->second, limited, now);
  }
  const std::unique_lock lock(mu_);
  Add(PlaceOf(tool), limited, now);
}

void ToolStatistics::Begin(std::string_view tool) {
  const std::unique_lock lock(mu_);
  (void)PlaceOf(NameOf(tool));
}

ToolReport ToolStatistics::ReportOf(const std::string& tool, const Counters& counters) {
  ToolReport report{.tool = tool,
                    .total_calls = counters.total.load(std::memory_order_relaxed),
                    .limited_calls = counters.limited.load(std::memory_order_relaxed),
                    .last_limited_unix_ns = std::nullopt};
  if (report.limited_calls > 0) {
    report.last_limited_unix_ns = counters.last_unix_ns.load(std::memory_order_relaxed);
  }
  return report;
}

std::vector<ToolReport> ToolStatistics::Read() const {
  const std::shared_lock lock(mu_);
  std::vector<ToolReport> reports;
  reports.reserve(tools_.size());
  for (const auto& [tool, counters] : tools_) reports.push_back(ReportOf(tool, counters));
  return reports;
}

std::optional<ToolReport> ToolStatistics::Read(std::string_view tool) const {
  const std::shared_lock lock(mu_);
  const auto found = tools_.find(tool);
  if (found == tools_.end()) return std::nullopt;
  return ReportOf(found->first, found->second);
}

bool ToolStatistics::Reset(std::string_view tool) {
  const std::unique_lock lock(mu_);
  const auto found = tools_.find(tool);
  if (found == tools_.end()) return false;
  tools_.erase(found);
  return true;
}

void ToolStatistics::ResetAll() {
  const std::unique_lock lock(mu_);
  tools_.clear();
}

}  // namespace sluicegate::engine
