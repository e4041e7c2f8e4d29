// ToolStatistics: of each tool of MCP how often it was called and denied. Names come from clients,
// so their number and length are bounded.
//
// Thread-safe.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include "sluicegate/time.h"
#include "sluicegate/tool_statistics.h"

namespace sluicegate::engine {

class ToolStatistics {
 public:
  static constexpr std::size_t kMostTools = 4096;
  static constexpr std::size_t kMostNameBytes = 256;
  /// Under which further and longer names count.
  static constexpr std::string_view kOther = "other";

  void Count(std::string_view tool, bool limited, Now now);
  /// From now on the tool is known, with all counters 0 if it was not.
  void Begin(std::string_view tool);
  /// In the order of their names.
  [[nodiscard]] std::vector<ToolReport> Read() const;
  /// Nothing: it is not known.
  [[nodiscard]] std::optional<ToolReport> Read(std::string_view tool) const;
  /// Forgets it. False: it is not known.
  bool Reset(std::string_view tool);
  void ResetAll();

 private:
  // Relaxed.
  struct Counters {
    std::atomic<std::uint64_t> total{0};
    std::atomic<std::uint64_t> limited{0};
    std::atomic<std::int64_t> last_unix_ns{0};
  };
  static void Add(Counters& counters, bool limited, Now now) noexcept;
  // Its own, or where there is no place for it kOther's. REQUIRES: mu_ is held alone.
  [[nodiscard]] Counters& PlaceOf(std::string_view tool);
  [[nodiscard]] static ToolReport ReportOf(const std::string& tool, const Counters& counters);

  mutable std::shared_mutex mu_;
  std::map<std::string, Counters, std::less<>> tools_;  // Guarded by mu_; the counters are not.
};

}  // namespace sluicegate::engine
