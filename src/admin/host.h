// Host: what the admin door asks of the program it belongs to. Implementations are called on the
// admin door's loop only.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "admin/readings.h"
#include "admin/token.h"
#include "engine/tool_statistics.h"

namespace sluicegate::admin {

class Host {
 public:
  virtual ~Host() = default;

  /// Everything that /metrics and /api/v1/status show. May take milliseconds.
  [[nodiscard]] virtual Readings Read() = 0;

  /// Whether new requests should be sent here. The error says why not, in a few words.
  [[nodiscard]] virtual std::expected<void, std::string> Ready() = 0;

  /// Reads the configuration file anew. The result has a line for each thing worth knowing; the
  /// error one for each mistake, and then the old policy goes on.
  [[nodiscard]] virtual std::expected<std::vector<std::string>, std::vector<std::string>>
  Reload() = 0;

  /// Of the tools of MCP that clients called.
  [[nodiscard]] virtual engine::ToolStatistics& Tools() = 0;

  /// What writes must present; nullptr: writes are refused.
  [[nodiscard]] virtual const AdminToken* Token() = 0;
};

}  // namespace sluicegate::admin
