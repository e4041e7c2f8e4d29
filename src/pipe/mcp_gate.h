// McpGate: decides about the messages of MCP that come in lines over a pipe. Bound to one thread.
//
// A message there has no field of HTTP, no path and no address, and nobody is known: all that comes
// over one pipe is one client, and so is all that comes over others of the same state file.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "engine/tool_statistics.h"
#include "http/denial.h"
#include "http/mcp_judge.h"
#include "pipe/held_places.h"
#include "pipe/line_cutter.h"
#include "pipe/stdio_pump.h"
#include "wire/mcp_message.h"

namespace sluicegate::pipe {

class McpGate final : public LineGate {
 public:
  /// Bytes of a line, of either side. More of the client is refused; more of the server passes and
  /// is not read, so that if it answers a request in flight, that keeps its places.
  static constexpr std::size_t kLongestLine = std::size_t{64} << 20U;

  /// All must outlive it. `on_second`: what else is to be done then.
  McpGate(engine::Engine& engine, engine::ToolStatistics& tools,
          std::function<void(const http::DenialEvent&)> on_denial,
          std::function<void(Now)> on_second)
      : engine_(engine),
        rules_(engine.rulesets()),
        tools_(tools),
        on_denial_(std::move(on_denial)),
        on_second_(std::move(on_second)) {}

  [[nodiscard]] std::size_t padding() const noexcept override { return wire::kMcpPadding; }
  [[nodiscard]] bool Admits(std::string_view line, Now now, std::string& answers) override;
  void RefuseTooLong(std::string& answers) override;
  void Observe(std::string_view bytes, Now now) override;
  void OnSecond(Now now) override;

  /// The server is gone: gives back what its requests hold.
  void End(Now now) { GiveBack(places_.TakeAll(), now); }

 private:
  [[nodiscard]] std::optional<http::McpAnswer> Decide(std::string_view text, Now now);
  void Hold(std::vector<Stamp> leases, Now now);
  void EndCancelled(std::string_view text, Now now);
  void ReadAnswer(std::string_view line, Now now);
  void GiveBack(const HeldPlaces::Places& places, Now now);

  engine::Engine& engine_;
  engine::Engine::Rulesets::Reader rules_;
  engine::ToolStatistics& tools_;
  const std::function<void(const http::DenialEvent&)> on_denial_;
  const std::function<void(Now)> on_second_;

  http::McpJudge judge_;
  HeldPlaces places_;
  // The server's lines are read only while a request holds places. One whose beginning went by
  // unread was begun before that request came, and is no answer to it.
  wire::McpReader answers_;
  LineCutter server_lines_{kLongestLine, wire::kMcpPadding};
  bool reading_server_ = false;
  bool server_within_line_ = false;
};

}  // namespace sluicegate::pipe
