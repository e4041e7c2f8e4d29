// How often each tool of MCP that this program wrapped (RateLimitTool, in mcp.h) was called and
// denied. By name: wrappers of one name count together. At most 4,096 names of up to 256 bytes each
// are kept; what goes beyond counts under "other". Thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluicegate {

/// What is known of one tool. A value type.
struct ToolReport {
  std::string tool;
  std::uint64_t total_calls = 0;    ///< Denied ones included.
  std::uint64_t limited_calls = 0;  ///< Denied.
  std::optional<std::int64_t> last_limited_unix_ns;

  /// The share of the calls that was denied, from 0 to 1.
  [[nodiscard]] double limited_rate() const noexcept {
    return total_calls == 0 ? 0
                            : static_cast<double>(limited_calls) / static_cast<double>(total_calls);
  }
  friend bool operator==(const ToolReport&, const ToolReport&) = default;
};

/// Nothing: nobody has called it.
[[nodiscard]] std::optional<ToolReport> GetToolStatistics(std::string_view tool);
/// In the order of their names.
[[nodiscard]] std::vector<ToolReport> GetAllToolStatistics();
/// Begins anew. False: nobody has called it.
bool ResetToolStatistics(std::string_view tool);
void ResetAllToolStatistics();

}  // namespace sluicegate
