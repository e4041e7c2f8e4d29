// `mcp-stdio`: the program in front of a server of MCP that speaks over standard input and output.
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "app/alarm_log.h"
#include "app/commands.h"
#include "app/complain.h"
#include "app/denial_log.h"
#include "app/log.h"
#include "app/open_state.h"
#include "app/pipe_policy.h"
#include "app/policy_source.h"
#include "app/state_guard.h"
#include "base/json_string.h"
#include "engine/engine.h"
#include "engine/tool_statistics.h"
#include "pipe/child_process.h"
#include "pipe/mcp_gate.h"
#include "pipe/signal_feed.h"
#include "pipe/stdio_pump.h"
#include "table/state_file.h"

namespace sluicegate::app {
namespace {

constexpr std::uint64_t kSecondNs = 1'000'000'000;

using Ended = std::expected<pipe::ChildProcess::End, int>;  // Or the status of a refusal.

int Refuse(const Lines& lines, int status) {
  TellLines("sluicegate: mcp-stdio: ", lines);
  return status;
}

/// What counts, and what is to be done about it each second.
class Counting {
 public:
  /// Null: a line on standard error says why.
  static std::unique_ptr<Counting> Start(const std::string& config) {
    Lines notes;
    const PolicySource source(config, [&notes](policy::Config& read) {
      FitToPipe(read);
      notes = NotesOnPipe(read);
    });
    auto policy = source.Load();
    if (!policy) return Failed(policy.error());
    for (const std::string& line : source.Warnings(**policy)) spdlog::warn("start: {}", line);
    for (const std::string& line : notes) spdlog::warn("start: {}: {}", source.name(), line);
    auto state = OpenState((*policy)->settings());
    if (!state) return Failed({state.error()});
    auto counting = std::unique_ptr<Counting>(new Counting(*std::move(state)));
    if (auto bound = counting->Bind(*policy); !bound) return Failed({bound.error()});
    return counting;
  }

  [[nodiscard]] const Clock& clock() const {
    return state_clock_ == nullptr ? SystemClock() : *state_clock_;
  }
  [[nodiscard]] engine::Engine& engine() { return *engine_; }
  [[nodiscard]] DenialLog& denials() { return denials_; }
  [[nodiscard]] engine::ToolStatistics& tools() { return tools_; }

  void OnSecond(Now now) {
    denials_.Flush(now.engine_ns);
    alarms_.Look(engine_->Counts(now), now.engine_ns);
    if (state_ == nullptr) return;
    state_->Keep(now);
    state_->Tidy();
    guard_->Look();
    alarms_.LookAtStateFile(state_->path(), state_->owners().stuck(), now.engine_ns);
  }

 private:
  explicit Counting(std::shared_ptr<table::StateFile> state)
      : state_(std::move(state)),
        state_clock_(state_ == nullptr ? nullptr : state_->ClockBy(SystemClock())),
        denials_([](const std::string& line) { spdlog::info(line); }),
        alarms_([](const std::string& line) { spdlog::warn(line); }) {
    const auto warn = [](const std::string& line) { spdlog::warn(line); };
    if (state_ != nullptr) guard_.emplace(*state_, warn);
  }

  static std::unique_ptr<Counting> Failed(const Lines& lines) {
    Refuse(lines, 1);
    return nullptr;
  }

  std::expected<void, std::string> Bind(const PolicySource::PolicyPtr& policy) {
    const Now now = clock().Read();
    Lines lines;
    auto engine = state_ == nullptr ? engine::Engine::Create(policy, HashSecret::Random())
                                    : engine::Engine::Attach(policy, state_, now, lines);
    for (const std::string& line : lines) spdlog::info("start: {}", line);
    if (!engine) return std::unexpected(std::move(engine.error()));
    engine_ = *std::move(engine);
    if (state_ != nullptr) state_->Keep(now);  // From now on what it has counts.
    return {};
  }

  const std::shared_ptr<table::StateFile> state_;  // Null: in memory.
  const std::unique_ptr<const Clock> state_clock_;
  DenialLog denials_;
  AlarmLog alarms_;
  engine::ToolStatistics tools_;
  std::optional<StateGuard> guard_;
  std::unique_ptr<engine::Engine> engine_;
};

void TellStatistics(const engine::ToolStatistics& tools) {
  Complain("{:>9} {:>9}  tool\n", "calls", "limited");
  for (const ToolReport& report : tools.Read()) {
    std::string name;  // Quoted: a client chose it, and this may be a terminal.
    AppendJsonString(report.tool, name);
    Complain("{:>9} {:>9}  {}\n", report.total_calls, report.limited_calls, name);
  }
}

Ended Wrap(const McpStdioOptions& options) {
  pipe::SignalFeed signals;  // Before there are threads.
  const Log log(options.log_level);
  const auto counting = Counting::Start(options.config);
  if (counting == nullptr) return std::unexpected(1);

  auto server = pipe::ChildProcess::Start(options.command, [&signals] { signals.Restore(); });
  if (!server) return std::unexpected(Refuse({server.error().what}, server.error().status));
  pipe::McpGate gate(
      counting->engine(), counting->tools(),
      [&counting](const http::DenialEvent& event) { counting->denials().Note(event); },
      [&counting](Now now) { counting->OnSecond(now); });
  pipe::StdioPump pump({.client_in = STDIN_FILENO,
                        .client_out = STDOUT_FILENO,
                        .longest_line = pipe::McpGate::kLongestLine},
                       **server, signals, gate, counting->clock());
  const pipe::ChildProcess::End end = pump.Run();

  const Now now = counting->clock().Read();
  gate.End(now);
  counting->denials().Flush(now.engine_ns + kSecondNs);
  if (options.statistics) TellStatistics(counting->tools());
  return end;
}

}  // namespace

int McpStdio(const McpStdioOptions& options) {
  if (options.command.empty()) {
    return Refuse({"no server is named. Write its command behind two dashes: "
                   "sluicegate mcp-stdio -- uvx some-server"},
                  kUsage);
  }
  if (!options.unknown.empty()) {
    return Refuse({fmt::format("'{}' is no option. 'sluicegate mcp-stdio --help' tells which are; "
                               "what is the server's stands behind the two dashes.",
                               options.unknown.front())},
                  kUsage);
  }
  if (options.config == "-") {
    return Refuse({"--config: standard input is the client's. Name a file."}, kUsage);
  }
  const Ended ended = Wrap(options);
  return ended ? pipe::EndLike(*ended) : ended.error();
}

}  // namespace sluicegate::app
