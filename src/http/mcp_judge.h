// McpJudge: messages of MCP, from their text to what becomes of them. For doors that stand between
// a client and its server: they forward what is admitted byte for byte, and answer the rest.
// Bound to one thread. Keeps its room from message to message.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "engine/tool_statistics.h"
#include "policy/mcp.h"
#include "policy/request.h"
#include "sluicegate/decision.h"
#include "wire/mcp_message.h"
#include "wire/syntax.h"

namespace sluicegate::http {

/// What a door answers by itself. A value type.
struct McpAnswer {
  std::uint16_t status = 200;  ///< Of HTTP.
  std::string body;            ///< JSON; empty: none, as for a notification.
};

class McpJudge {
 public:
  /// Reads a message, or a batch. What it returns is the answer to a text that no server should
  /// read: no JSON, no message, or one that the headers of `fields` speak of otherwise. The views
  /// of the text stay until the next call. REQUIRES: wire::kMcpPadding bytes behind `text`.
  [[nodiscard]] std::optional<McpAnswer> Read(std::string_view text, const policy::Policy& policy,
                                              std::span<const wire::Field> fields);

  /// Decides what was read last, as one. `sender` says who asks. Nothing, and `leases`: as
  /// Engine::DecideAll. REQUIRES: Read with the policy of `rules` found nothing wrong.
  [[nodiscard]] std::optional<Decision> Decide(engine::Engine& engine, const engine::Ruleset& rules,
                                               const Request& sender, Now now,
                                               std::vector<Stamp>& leases);

  /// What a client is told whose messages are denied. REQUIRES: `decision` is Decide's.
  [[nodiscard]] McpAnswer Deny(const engine::Ruleset& rules, const Decision& decision) const;

  /// Counts the tools that are called.
  void Count(engine::ToolStatistics& tools, bool denied, Now now) const;

  [[nodiscard]] std::span<const wire::McpMessage> messages() const noexcept { return messages_; }
  /// The messages as the rules saw them, when Decide was called.
  [[nodiscard]] std::span<const Request> requests() const noexcept { return requests_; }
  /// Of the revision 2026-07-28 or later, by its header or its body: without sessions, so that a
  /// closed connection means cancel.
  [[nodiscard]] bool is_modern() const noexcept { return modern_; }

 private:
  [[nodiscard]] std::string_view Mismatch(const wire::McpMessage& message,
                                          std::span<const wire::Field> fields);

  wire::McpReader reader_;
  std::span<const wire::McpMessage> messages_;
  std::vector<Request> requests_;  // As the messages.
  std::string encoded_;
  bool modern_ = false;
};

}  // namespace sluicegate::http
