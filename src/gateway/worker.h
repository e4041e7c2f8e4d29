// Worker: one event loop of the gateway and everything that its connections share. Bound to its
// loop's thread, but for what says otherwise.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/snapshot.h"
#include "engine/engine.h"
#include "engine/tool_statistics.h"
#include "gateway/balancer.h"
#include "gateway/counters.h"
#include "gateway/free_list.h"
#include "gateway/gateway.h"
#include "gateway/read_buffer.h"
#include "gateway/request_state.h"
#include "gateway/session_list.h"
#include "gateway/upstream_pool.h"
#include "http/mcp_judge.h"
#include "http/quota_fields.h"
#include "http/request_reader.h"
#include "identity/identities.h"
#include "identity/token_cache.h"
#include "net/event_loop.h"
#include "net/listener.h"
#include "shield/connection_caps.h"
#include "wire/date.h"
#include "wire/proxy_protocol.h"

namespace sluicegate::gateway {

class Session;

/// What all loops share and reloads swap.
struct Shared {
  engine::Engine& engine;
  const Clock& clock;
  Snapshot<UpstreamGroup> upstream;
  Snapshot<identity::Identities> identities;
  Snapshot<Certificates> certificates;
  const std::function<void(const http::DenialEvent&)> on_denial;
  const std::function<void(const std::string&)> on_alarm;
  const std::function<void(const AccessRecord&)> on_access;
  const std::uint32_t most_connections;  ///< What the limit of open files leaves.
  engine::ToolStatistics tools{};
  shield::ConnectionCaps caps{HashSecret::Random()};
  std::atomic<std::uint32_t> connections = 0;  ///< That are open.
};

/// Through which listener a connection came. A value type.
struct Door {
  std::size_t place = 0;        ///< Among the gateway's listeners.
  bool proxy_protocol = false;  ///< Trusted proxies begin with its header.
};

class Worker {
 public:
  explicit Worker(Shared& shared);
  /// REQUIRES: the loop does not run any more. Ends the connections that are left.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Takes a listener over and accepts from it when the loop runs; one after the other for several.
  void Serve(std::unique_ptr<net::Listener> listener, Door door);
  /// Accepts no more, and the next answer of each connection is its last; `on_empty` is called
  /// once, when none is left.
  void Drain(std::function<void()> on_empty);
  /// Closes connections that are between requests, from now on. REQUIRES: Drain was called.
  void CloseIdle();
  void Forget(Session& session);
  /// It is the last to go where connections run out.
  void NoteProgress(Session& session) noexcept;
  /// A proxy whose connections are many clients', which are not counted as one.
  [[nodiscard]] bool Trusts(const IpAddress& peer) const {
    return settings().clients.trusted_proxies.Contains(peer);
  }
  /// Counts a connection of that client, if it may have one more; what is refused is counted here.
  [[nodiscard]] shield::ConnectionCaps::Admission AdmitClient(const IpAddress& client);
  void Release(shield::ConnectionCaps::Place place) noexcept {
    if (place.counted()) shared_.caps.Release(place);
  }
  [[nodiscard]] RequestStates& states() noexcept { return states_; }
  [[nodiscard]] FreeList<ResponseBuffer>& response_buffers() noexcept { return response_buffers_; }
  [[nodiscard]] FreeList<ReadBuffer::Block>& blocks() noexcept { return blocks_; }
  /// Where connections read to; what lies there is good until the next wait.
  [[nodiscard]] std::span<char> scratch() noexcept { return scratch_; }

  [[nodiscard]] net::EventLoop& loop() noexcept { return loop_; }
  [[nodiscard]] Counters& counters() noexcept { return counters_; }
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }  ///< Thread-safe.
  [[nodiscard]] UpstreamPool& pool() noexcept { return pool_; }
  /// Lets an upstream connection rest. What rests is looked through once a second.
  void Rest(UpstreamPtr connection);
  /// Lets go of what a reload replaced, also where no request comes.
  void TakeReload();
  [[nodiscard]] http::QuotaFields& fields() noexcept { return fields_; }
  [[nodiscard]] bool draining() const noexcept { return draining_; }
  [[nodiscard]] bool closes_idle() const noexcept { return closes_idle_; }

  /// The rules, the upstream and the identities as of now: looked up once a request.
  [[nodiscard]] const engine::Ruleset& rules() {
    rules_.Refresh();
    return *rules_;
  }
  [[nodiscard]] const policy::Settings& settings() const { return rules_->policy().settings(); }
  [[nodiscard]] Balancer& balancer() {
    upstream_.Refresh();
    balancer_.Take(upstream_.ptr());
    return balancer_;
  }
  /// Null: the door is plain.
  [[nodiscard]] std::unique_ptr<net::TlsSession> AcceptTls(const Door& door);
  [[nodiscard]] http::Vouchers VouchersAt(Now now) {
    identities_.Refresh();
    return {.known = &*identities_, .verified = &verified_, .now = now};
  }
  [[nodiscard]] Now now() const noexcept { return shared_.clock.Read(); }
  [[nodiscard]] std::string_view Date(Now now) { return date_.At(now.unix_ns / 1'000'000'000); }

  /// Decides, and times one decision in 64. Nothing: `rules` are not the newest any more, see
  /// Engine::Decide. `leases` gets those that the request holds from then on: to be given back when
  /// it is over. REQUIRES: it is empty.
  [[nodiscard]] std::optional<Decision> Decide(const engine::Ruleset& rules, const Request& request,
                                               Now now, std::vector<Stamp>& leases);
  [[nodiscard]] http::McpJudge& mcp() noexcept { return mcp_; }
  /// As McpJudge::Decide, and counts the tools that are called.
  [[nodiscard]] std::optional<Decision> DecideMessages(const engine::Ruleset& rules,
                                                       const Request& sender, Now now,
                                                       std::vector<Stamp>& leases);
  /// As Engine::FindBan.
  [[nodiscard]] std::optional<Decision> FindBan(const engine::Ruleset& rules,
                                                const Request& request, Now now);
  /// They are still held, by a request that goes on for long.
  void Renew(std::vector<Stamp>& leases);
  /// Leaves `leases` empty.
  void GiveBack(std::vector<Stamp>& leases);
  /// Puts a name for a request into `id`: 32 hex digits that nobody can guess or meets twice.
  void NameRequest(std::string& id);
  /// Whether somebody wants to know of each request.
  [[nodiscard]] bool logs_access() const {
    return shared_.on_access != nullptr && !settings().access_log.empty();
  }
  /// REQUIRES: logs_access() was true when the request began.
  void TellAccess(const AccessRecord& record) { shared_.on_access(record); }
  void TellDenial(const engine::Ruleset& rules, const Decision& decision, Now now);
  /// A server of the upstream could not be connected to, or broke off: `why`.
  void TellUnreachable(const UpstreamTarget& target, std::string_view why);
  void TellFailure(const UpstreamTarget& target, std::string_view why);

 private:
  void Accept(net::FileDescriptor connection, const IpAddress& peer, const Door& door);
  /// Ends the connection that made the least progress, of those that wait for their clients. False:
  /// there is none.
  [[nodiscard]] bool MakeRoom();
  void TellWhenEmpty();
  void TellRest(const UpstreamTarget& target, std::string_view why) const;
  void Sweep();
  void SweepPool();

  Shared& shared_;
  net::EventLoop loop_;
  std::vector<std::unique_ptr<net::Listener>> listeners_;
  engine::Engine::Rulesets::Reader rules_;
  Snapshot<UpstreamGroup>::Reader upstream_;
  Balancer balancer_;
  Snapshot<identity::Identities>::Reader identities_;
  Snapshot<Certificates>::Reader certificates_;
  identity::TokenCache verified_;
  UpstreamPool pool_;
  net::Deadline sweep_;
  http::QuotaFields fields_;
  http::McpJudge mcp_;
  wire::DateCache date_;
  Counters counters_;
  engine::Receipt receipt_;  // Of the decision that is made.
  SessionList sessions_;
  RequestStates states_;
  FreeList<ResponseBuffer> response_buffers_;
  FreeList<ReadBuffer::Block> blocks_;
  std::array<char, std::size_t{16} * 1024> scratch_;
  static_assert(sizeof(scratch_) >= wire::kMaxProxyHeader);
  std::function<void()> on_empty_;
  const HashSecret names_ = HashSecret::Random();
  std::uint64_t named_ = HashSecret::Random().k0;  // Counts requests, from anywhere.
  std::uint32_t decisions_ = 0;
  bool draining_ = false;
  bool closes_idle_ = false;
};

}  // namespace sluicegate::gateway
