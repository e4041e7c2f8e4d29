// Gateway: a reverse proxy that asks the engine about every request before a byte of it reaches the
// upstream. Runs its own threads, one event loop each.
//
// Thread-safe: every public function may be called from any thread but the gateway's own. The
// engine and the clock must outlive it.
#pragma once

#include <chrono>
#include <expected>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/tool_statistics.h"
#include "gateway/access_record.h"
#include "gateway/certificates.h"
#include "gateway/counters.h"
#include "gateway/upstream_target.h"
#include "http/denial.h"
#include "identity/identities.h"
#include "net/file_descriptor.h"
#include "policy/settings.h"
#include "sluicegate/time.h"

namespace sluicegate::gateway {

/// What a gateway works with and a reload replaces.
struct Reloadable {
  std::shared_ptr<const UpstreamGroup> upstream;                     ///< REQUIRES: not null.
  std::shared_ptr<const identity::Identities> identities = nullptr;  ///< Null: none.
  std::shared_ptr<const Certificates> certificates = nullptr;        ///< Null: no TLS.
};

class Gateway {
 public:
  struct Options {
    std::vector<policy::GatewayListener>
        listen;  ///< REQUIRES: not empty. Port 0: the system chooses.
    /// Whether gateways of other processes may have the same port: those that share state.
    bool shares_port = false;
    /// Sockets that listen already, by the listener's place in `listen`: they are served instead of
    /// new ones. Shorter, or empty at a place: none. REQUIRES: they do not block.
    std::vector<std::vector<net::FileDescriptor>> inherited = {};
    Reloadable with;
    unsigned threads = 1;
    /// Called from any loop; thread-safe.
    std::function<void(const http::DenialEvent&)> on_denial = {};
    /// For people: a server of the upstream that failed rests, or begins to fail where it is the
    /// only one. Called from any loop; thread-safe.
    std::function<void(const std::string&)> on_alarm = {};
    /// Of each request that is over, while the policy's access_log is on: it is to copy what it
    /// keeps, and never to wait. Called from any loop; thread-safe.
    std::function<void(const AccessRecord&)> on_access = {};
  };

  /// Binds the listeners; clients can connect, and wait, from then on.
  /// The error says what to do.
  [[nodiscard]] static std::expected<std::unique_ptr<Gateway>, std::string> Create(
      engine::Engine& engine, const Clock& clock, Options options);
  /// Stops at once what still runs.
  ~Gateway();
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  /// The port of the first listener, and those of all in their order. Constant.
  [[nodiscard]] std::uint16_t port() const noexcept { return ports().front(); }
  [[nodiscard]] std::span<const std::uint16_t> ports() const noexcept;
  /// The sockets that listen, by the listener's place, to hand them down. They stay the gateway's.
  /// REQUIRES: Drain was not called.
  [[nodiscard]] std::vector<std::vector<int>> sockets() const;
  /// Connections of clients that the limit of open files leaves, all loops together. Constant.
  [[nodiscard]] std::uint32_t most_connections() const noexcept;
  /// Begins to serve.
  void Start();

  /// Stops accepting, lets requests in flight finish for at most `patience`, and closes connections
  /// that are between requests when `idle` of that is over: until then each may ask once more, so
  /// that none is cut that a client is about to use. True if all finished. Serves nothing any more
  /// when it returns.
  bool Drain(std::chrono::nanoseconds patience,
             std::chrono::nanoseconds idle = std::chrono::nanoseconds(0));
  /// Ends a Drain that is waiting, as if its patience were over.
  void HurryUp();

  /// After the engine published another policy: works with `next` from now on, and has every loop
  /// let go of what was. Connections that are open keep their certificates.
  void TakeReload(Reloadable next);

  [[nodiscard]] Statistics Read() const;
  /// Of the tools of MCP that were called.
  [[nodiscard]] engine::ToolStatistics& tools() noexcept;

 private:
  struct Impl;
  explicit Gateway(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace sluicegate::gateway
