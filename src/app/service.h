// Service: the running program: the engine, the doors of a configuration, and what signals and the
// admin door ask of them. The gateway has threads of its own; everything else happens on the
// thread that calls Run.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "admin/host.h"
#include "admin/server.h"
#include "app/access_log.h"
#include "app/alarm_log.h"
#include "app/configuration.h"
#include "app/denial_log.h"
#include "app/policy_source.h"
#include "app/state_guard.h"
#include "engine/engine.h"
#include "gateway/gateway.h"
#include "handover/handover.h"
#include "handover/invocation.h"
#include "handover/predecessor.h"
#include "sluicegate/time.h"
#include "table/state_file.h"

namespace sluicegate::app {

class Service final : private admin::Host {
 public:
  struct Options {
    PolicySource source;                      ///< Read again at each reload.
    Configuration first;                      ///< What it said at the start.
    unsigned threads = 1;                     ///< Of the gateway.
    const Clock& clock;                       ///< Must outlive the service.
    std::shared_ptr<table::StateFile> state;  ///< Null: in memory. The clock is its.
    handover::Predecessor& predecessor;       ///< Must outlive the service.
    handover::Invocation invocation;          ///< To start the program anew.
  };

  /// Takes the memory and opens the doors. The error says which setting is to blame, and the mend.
  [[nodiscard]] static std::expected<std::unique_ptr<Service>, std::string> Open(Options options);
  ~Service() override = default;
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  /// Serves until SIGTERM or SIGINT, then lets requests in flight finish; a second one cuts them
  /// short. SIGHUP reads the configuration again. SIGUSR2 starts the program anew: when the new
  /// process serves, this one ends as by SIGTERM.
  void Run();

  /// Where the doors listen: ADDRESS:PORT, the gateway's listeners in their order. This and what
  /// follows is constant while the service lives.
  [[nodiscard]] Lines gateway_addresses() const;
  [[nodiscard]] std::optional<std::string> admin_address() const;  ///< Absent: not open.
  /// Of the first gateway, as a client on this machine can reach it.
  [[nodiscard]] std::string gateway_url() const;
  [[nodiscard]] std::string admin_url() const;  ///< As gateway_url; empty: not open.

 private:
  explicit Service(Options options);
  [[nodiscard]] std::expected<void, std::string> OpenGateway();
  [[nodiscard]] std::expected<void, std::string> OpenAdmin();
  void WarnOfListeners() const;
  void WarnOfFiles() const;
  void AwaitSignal();
  void OnSignal(int number);
  void OnStop(int number);
  void OnHandover();
  void OnServes(int pid);
  void Drain(std::chrono::nanoseconds idle);
  [[nodiscard]] std::string PatienceText() const;
  void AwaitSecond();
  void OnSecond();
  [[nodiscard]] std::vector<std::string> NotesOnDoors(const policy::Settings& settings) const;

  // admin::Host
  [[nodiscard]] admin::Readings Read() override;
  [[nodiscard]] std::expected<void, std::string> Ready() override;
  [[nodiscard]] std::expected<Lines, Lines> Reload() override;
  [[nodiscard]] engine::ToolStatistics& Tools() override;
  [[nodiscard]] const admin::AdminToken* Token() override;

  // Constant after construction.
  const PolicySource source_;
  const Clock& clock_;
  handover::Predecessor& predecessor_;
  const std::shared_ptr<table::StateFile> state_;
  const unsigned threads_;
  const Now start_;
  const policy::Settings opened_;  // With the doors' addresses: a reload cannot move them.

  Configuration now_;  // What holds now.
  admin::ReloadInfo reloads_;
  bool draining_ = false;
  bool stopping_ = false;       // By a signal.
  bool missed_reload_ = false;  // By the successor, which had read the policy before.

  // In the order in which each needs the one before.
  const Pseudonyms names_;
  DenialLog denials_;
  AccessLog accesses_;
  AlarmLog alarms_;
  std::optional<StateGuard> guard_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<gateway::Gateway> gateway_;
  boost::asio::io_context loop_;
  std::unique_ptr<admin::Server> admin_;
  handover::Handover handover_;
  boost::asio::signal_set signals_;
  boost::asio::steady_timer second_;
  std::jthread drainer_;
};

}  // namespace sluicegate::app
