// Exchange: one admitted request, sent to the upstream, and its response, relayed as it comes.
// Bound to its session, in whose coroutine it runs.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/session.h"
#include "gateway/upstream_pool.h"
#include "net/event_loop.h"
#include "net/task.h"
#include "wire/body_end.h"
#include "wire/chunked.h"
#include "wire/refusal.h"

namespace sluicegate::gateway {

class Exchange {
 public:
  /// `query` is the request's, with its '?'.
  Exchange(Session& session, std::string_view query);
  ~Exchange() { session_.WatchFor(nullptr); }
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  /// True: the client's connection can carry another request.
  [[nodiscard]] net::Task<bool> Run();

 private:
  enum class Outcome : std::uint8_t {
    kDone,         ///< This step is done.
    kStale,        ///< A pooled connection that was closed before a byte of the response came.
    kLost,         ///< A fresh one that was closed so: another server may do better.
    kUnreachable,  ///< No connection.
    kBroken,       ///< The upstream closed, or what it said is no HTTP.
    kTimeout,      ///< The upstream took too long.
    kClientGone,
    kClientSlow,   ///< It stopped within its body.
    kBodyRefused,  ///< It is not framed as it says.
    kBodyTooLarge,
  };

  [[nodiscard]] net::Task<Outcome> Connect(bool fresh);
  void NoteHealth(Outcome outcome);
  void NoteAnswer();
  [[nodiscard]] bool TakesAnother(Outcome outcome);
  [[nodiscard]] net::Task<Outcome> ConnectTo(const TargetPtr& target);
  [[nodiscard]] net::Task<Outcome> Attempt();
  [[nodiscard]] net::Task<Outcome> SendRequest();
  void BeginUpload();
  [[nodiscard]] net::Task<void> Upload();
  [[nodiscard]] net::Task<void> EndUpload();
  void OnUploadExpiry();
  [[nodiscard]] net::Task<bool> SendUp(net::Pieces pieces);
  [[nodiscard]] net::Task<Outcome> StreamLength();
  [[nodiscard]] net::Task<Outcome> StreamChunks();
  [[nodiscard]] net::Task<Outcome> NextBodyBytes();
  [[nodiscard]] net::Task<Outcome> ReadResponseHead();
  [[nodiscard]] net::Task<int> Fill();
  [[nodiscard]] net::Task<Outcome> ReadUpstream();
  [[nodiscard]] net::Task<Outcome> RelayInterim();
  [[nodiscard]] bool IsUpgraded() const;
  // Once the upstream has agreed to an Upgrade, bytes go both ways as they come (tunnel.cc).
  [[nodiscard]] net::Task<Outcome> Tunnel();
  [[nodiscard]] net::Task<void> TunnelUp();
  [[nodiscard]] net::Task<void> TunnelDown();
  void AppendHead(const wire::ResponseHead& head, bool chunked);
  [[nodiscard]] net::Task<Outcome> Relay();
  [[nodiscard]] Outcome LostClient();
  [[nodiscard]] net::Task<Outcome> RelayPiece(std::string_view head, std::string_view bytes);
  [[nodiscard]] net::Task<Outcome> RelayLast(std::string_view head, std::string_view bytes);
  [[nodiscard]] bool MoreMayCome() const noexcept;
  [[nodiscard]] net::Task<bool> Conclude(Outcome outcome);
  void Release();
  [[nodiscard]] bool CanReplay() const noexcept;
  // Large bodies go on at once: when the others had come as far the caches would have lost them.
  [[nodiscard]] bool regroups() const noexcept {
    constexpr std::size_t kSmall = std::size_t{4} * 1024;
    return upstream_->unread().size() <= kSmall;
  }
  Session& session_;
  Worker& worker_;
  const policy::Timeouts timeouts_;
  const std::uint64_t max_body_;
  // Copies: reading a body may move the bytes that the head's views point to.
  const wire::Framing request_framing_;
  const bool idempotent_;
  const bool to_head_;
  const bool expect_continue_;
  const bool upgrade_;  // The client offers to go on in another protocol.
  const bool client_keep_alive_;
  const unsigned client_minor_;

  TargetPtr target_;
  std::uint64_t tried_ = 0;      // Servers by their place in the group.
  std::vector<TargetPtr> lost_;  // Those that closed before they answered.
  std::string trouble_;          // Why the last could not be used, for people.
  UpstreamPtr upstream_;
  std::uint64_t body_left_ = 0;  // kLength: bytes of the body that are not sent yet.
  std::size_t first_body_ = 0;   // Of it, bytes that lay in the buffer behind the head.
  bool body_done_ = false;       // The request was sent to its end.
  bool body_touched_ = false;    // Bytes of it are gone from the buffer: no replay.
  bool upstream_spoke_ = false;  // A byte of a response came.
  bool upstream_ended_ = false;  // It closed in good order.
  bool ends_by_close_ = false;   // The client can tell the body's end by the connection's only.
  bool head_sent_ = false;       // The client has the head of the response.
  bool keep_alive_ = false;
  bool dechunk_ = false;
  unsigned interim_ = 0;           // Heads that came before the answer's.
  bool patient_ = false;           // A stream of events: it may be silent for hours.
  bool reading_upstream_ = false;  // The response's coroutine waits for the upstream.
  wire::ChunkedDecoder dechunker_;
  std::uint64_t body_bytes_ = 0;  // kChunked: payload so far. Of a tunnel: bytes of the client.
  wire::Refusal refusal_;

  // The sending of the request. What of its body did not come with the head goes up in a coroutine
  // beside the response's.
  net::Deadline upload_deadline_;
  Pace upload_pace_;
  net::Completion upload_ended_;
  Outcome upload_outcome_ = Outcome::kDone;
  bool uploading_ = false;
  bool ending_ = false;  // It is told to end.
  bool upload_expired_ = false;
  bool upload_waits_for_client_ = false;
};

}  // namespace sluicegate::gateway
