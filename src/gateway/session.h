// Session: one client's connection: reads requests, has them decided, and answers or forwards them,
// one after the other. Bound to its worker's loop. Lives as long as its coroutine or a handler that
// still waits holds it.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip.h"
#include "gateway/access_record.h"
#include "gateway/pace.h"
#include "gateway/read_buffer.h"
#include "gateway/request_state.h"
#include "gateway/session_list.h"
#include "gateway/upstream_pool.h"
#include "gateway/worker.h"
#include "http/quota_fields.h"
#include "http/request_reader.h"
#include "net/event_loop.h"
#include "net/pieces.h"
#include "net/socket.h"
#include "sluicegate/decision.h"
#include "wire/chunked.h"
#include "wire/client_address.h"
#include "wire/http_head.h"
#include "wire/problem.h"

namespace sluicegate::gateway {

/// What a connection waits for: it decides what a deadline means.
enum class Phase : std::uint8_t {
  kIdle,      ///< The first byte of the next request.
  kHead,      ///< The rest of a head.
  kBody,      ///< The client: to send more of a body.
  kDrain,     ///< The client: to read what was written.
  kUpstream,  ///< The upstream.
  kStream,    ///< The upstream, for as long as it takes: expiry only looks whether the client left.
  kTunnel,    ///< Either end, after an upgrade.
};

class Session final : public std::enable_shared_from_this<Session>,
                      public SessionList::Member,
                      private net::Socket::HangupListener {
 public:
  Session(Worker& worker, net::FileDescriptor connection, const IpAddress& peer, const Door& door,
          shield::ConnectionCaps::Place counted);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void Start();
  /// The worker stops: leave now if between requests, else after this one.
  void OnDrain();
  /// Leave at once, whatever is under way.
  void Abort();
  /// Likewise, to make room for others.
  void Evict();
  /// Whether it waits for nothing but its client.
  [[nodiscard]] bool waits_for_client() const noexcept;

  // What an exchange uses.
  [[nodiscard]] Worker& worker() noexcept { return worker_; }
  [[nodiscard]] net::Socket& socket() noexcept { return socket_; }
  [[nodiscard]] ReadBuffer& buffer() noexcept { return buffer_; }
  [[nodiscard]] const wire::RequestHead& head() const noexcept { return state_->head; }
  [[nodiscard]] const http::QuotaLines& quota() const noexcept { return state_->quota; }
  [[nodiscard]] std::string_view path() const noexcept { return state_->path; }
  [[nodiscard]] const wire::ClientAddress& client() const noexcept {
    return state_->reader.client();
  }
  [[nodiscard]] const std::string& peer_text() const noexcept { return peer_text_; }
  [[nodiscard]] bool has_tls() const noexcept { return socket_.tls() != nullptr; }
  /// What logs name the request by; empty: the policy has it off.
  [[nodiscard]] const std::string& request_id();
  void CountResponse(std::uint16_t status) {
    worker_.counters().AddResponse(status);
    if (notes_access_) Noted().status = status;
  }
  // For the access log (access.cc): who answered, how much of a body came, how the answer ended.
  void NoteUpstream(const UpstreamConnection& upstream, bool websocket);
  void NoteBody(std::uint64_t bytes) {
    if (notes_access_) Noted().request_bytes = bytes;
  }
  void NoteWhole(bool whole) {
    if (notes_access_) Noted().whole = whole;
  }
  [[nodiscard]] std::string& upstream_head() noexcept { return state_->upstream_head; }
  [[nodiscard]] std::string& out() noexcept { return state_->out; }
  /// Bytes of the request's body beyond which it is refused; 0: no bound.
  [[nodiscard]] std::uint64_t max_body() const noexcept { return max_body_; }
  [[nodiscard]] bool expired() const noexcept { return expired_; }
  /// The client left, or the gateway ends its connection.
  [[nodiscard]] bool client_gone() const noexcept { return client_gone_ || aborted_; }

  /// Waits for `phase` from now on, for at most `wait`.
  void Await(Phase phase, std::chrono::nanoseconds wait);
  /// As Await; while WriteAside waits, this is what is waited for afterwards.
  void AwaitBeside(Phase phase, std::chrono::nanoseconds wait);
  [[nodiscard]] bool awaits() const noexcept { return deadline_.set(); }
  void AwaitNothing() { deadline_.Clear(); }
  /// Reads more of the client's bytes into the buffer. False: the client closed, or the wait ended.
  [[nodiscard]] net::Task<bool> ReadMore();
  /// Writes to the client, waiting at most the idle time for it to read on. False: it is gone.
  [[nodiscard]] net::Task<bool> Write(net::Pieces pieces);
  /// Likewise, where the system does not take all at once.
  [[nodiscard]] net::Task<bool> WriteSlowly(net::Pieces pieces);
  /// As Write, and what was waited for before is waited for on.
  [[nodiscard]] net::Task<bool> WriteAside(net::Pieces pieces);
  /// Whom to cancel when the upstream takes too long, or the client leaves; null: nobody.
  void WatchFor(UpstreamPtr upstream) { watched_ = std::move(upstream); }
  /// From now on the client's leaving cancels what is watched. Whether it left or has closed its
  /// sending half alone cannot be told, so it is answered on for a while. To be called when the
  /// request was read to its end.
  void WatchClient() { socket_.WatchHangup(this); }
  void IgnoreHangup() {
    socket_.WatchHangup(nullptr);
    half_closed_.reset();
  }

  /// Whether the request takes places of limits of requests in flight.
  [[nodiscard]] bool holds_leases() const noexcept {
    return state_ != nullptr && !state_->leases.empty();
  }
  /// The request is over, as far as such limits go.
  void GiveBackLeases() {
    if (holds_leases()) worker_.GiveBack(state_->leases);
  }
  /// A message of MCP goes on for as long as it takes: what it holds is counted anew, now and then.
  void RenewLeases(Now now);
  /// The client's leaving does not end the request: the session era of MCP says so of messages.
  [[nodiscard]] bool outlives_client() const noexcept { return outlives_client_ && !aborted_; }
  /// Nobody reads the answer, and the request goes on.
  [[nodiscard]] bool is_alone() const noexcept { return client_gone_ && outlives_client(); }
  void LoseClient();
  /// How long a stream may be silent before one looks after it.
  [[nodiscard]] Duration StreamWait(Duration idle) const noexcept {
    return on_mcp_ && holds_leases() ? std::min(idle, kRenewal) : idle;
  }

  /// The client is waited for within its body, or not any more.
  void SetUploadWaits(bool waits) noexcept { upload_waits_ = waits; }
  /// It sent or took so many bytes: whoever does is the last to go where connections run out.
  void NoteProgress(std::size_t bytes) {
    constexpr std::size_t kSome = 512;
    progress_ += bytes;
    if (progress_ < kSome) return;
    progress_ = 0;
    worker_.NoteProgress(*this);
  }

  /// The connection ends with what was written last; the client still sends.
  void LingerAfter() noexcept { linger_ = true; }
  /// From now on, however the connection ends: with a reset (`fragile`), as the client could not
  /// tell the end of what it has from the end of the answer; or as usual.
  void ResetUnlessWhole(bool fragile) noexcept { reset_ = fragile; }

  struct AnswerOptions {
    std::uint16_t status = 0;
    std::string_view detail;
    bool keep_alive = true;
  };
  /// Answers with a problem of the gateway's own. True: the connection goes on.
  [[nodiscard]] net::Task<bool> Answer(AnswerOptions options);

 private:
  static constexpr Duration kRenewal = std::chrono::seconds(5);

  [[nodiscard]] net::Task<void> Run();
  /// What comes before the first request: the PROXY protocol's header, TLS. False: the connection
  /// ends.
  [[nodiscard]] net::Task<bool> Open();
  [[nodiscard]] net::Task<bool> ReadProxyHeader();
  [[nodiscard]] net::Task<bool> Greet(std::unique_ptr<net::TlsSession> tls);
  /// The client is counted, if it may have one more connection.
  [[nodiscard]] bool Admit();
  void EndRequest();
  void CloseSocket();
  /// A byte of the next request is there.
  [[nodiscard]] bool HasBegun();
  /// What becomes of the request. Whatever waits for nothing is no coroutine: a flood of denials
  /// costs none but the connection's own.
  enum class Next : std::uint8_t {
    kRead,  ///< Its head, on.
    kForward,
    kAnswer,  ///< out_ holds the answer.
    kClose,
  };
  [[nodiscard]] Next BeginHead();
  [[nodiscard]] std::span<char> HeadRoom();
  /// `bytes`: what came there. Nobody else reads before.
  void KeepHeadBytes(std::span<char> bytes);
  /// kForward: the head is whole. `error`: of reading.
  [[nodiscard]] Next TakeHeadBytes(int error);
  /// `begins`: what came last are the head's first bytes.
  [[nodiscard]] Next ParseHead(bool begins);
  [[nodiscard]] Next TakeHead(std::string_view& query);
  /// kForward: the path, and `query`, are known.
  [[nodiscard]] Next Locate(std::string_view& query);
  [[nodiscard]] Next Judge();
  /// By its Max-Forwards the request ends here (last_hop.cc).
  [[nodiscard]] Next AnswerAsLast(Now now);
  void TakeRequestId(std::string_view header);
  [[nodiscard]] Request ReadRequest(const engine::Ruleset& rules, Now now);
  // Messages of MCP (mcp_message.cc): their bodies are read before anything is decided.
  [[nodiscard]] bool BringsMessage();
  [[nodiscard]] net::Task<Next> ReadMessage(std::string_view& query);
  /// Reads the body into the buffer. kForward: it is there, behind the head.
  [[nodiscard]] net::Task<Next> ReadMessageBody(std::uint64_t max_bytes);
  [[nodiscard]] std::optional<Next> TakeChunks(std::uint64_t max_bytes);
  [[nodiscard]] Next JudgeMessage();
  [[nodiscard]] Next RefuseMessage(std::uint16_t status, std::string_view detail);
  void FillMessage(const http::McpAnswer& answer, Now now, bool keep_alive);
  [[nodiscard]] Next Deny(const engine::Ruleset& rules, const Decision& decision, Now now);
  void Refuse(const wire::Refusal& refusal);
  /// Puts an answer of the gateway's own into out_.
  void Fill(const wire::Problem& problem, Now now, bool keep_alive);
  void FillWith(std::uint16_t status, std::string_view content_type, std::string_view body, Now now,
                bool keep_alive);
  [[nodiscard]] net::Task<void> Linger();
  [[nodiscard]] std::optional<Decision> Decide(const engine::Ruleset& rules, Now now);
  [[nodiscard]] bool SkipBody();
  void BeginAccess();
  // The record of the request. This and what follows REQUIRES notes_access_.
  [[nodiscard]] AccessRecord& Noted();
  void NoteHead(bool located);
  void NoteDecision(const engine::Ruleset& rules, const Decision& decision);
  void NoteMessage(const Request& message, std::uint64_t bytes);
  /// The request is over.
  void TellAccess();
  void OnExpiry();
  void OnHangup() override;

  Worker& worker_;
  net::Socket socket_;
  const Door door_;
  IpAddress peer_;
  std::string peer_text_;
  net::Deadline deadline_;
  Phase phase_ = Phase::kIdle;
  std::chrono::nanoseconds wait_{};
  bool expired_ = false;  // The deadline ended what was waited for.
  bool client_gone_ = false;
  bool closes_ = false;   // The connection ends with what was answered last.
  bool linger_ = false;   // And that must not be lost to a reset: the client may still send.
  bool reset_ = false;    // What was answered last must not pass for whole.
  bool to_head_ = false;  // The request is HEAD. The head's own views die with the next read.
  bool aborted_ = false;
  bool upload_waits_ = false;
  bool writes_aside_ = false;
  struct Waits {
    Phase phase;
    std::chrono::nanoseconds wait;
  };
  std::optional<Waits> after_write_;
  bool on_mcp_ = false;           // The request is one of MCP.
  bool outlives_client_ = false;  // Its upstream goes on when the client leaves.
  bool notes_access_ = false;     // The request is noted for the access log.
  UpstreamPtr watched_;
  ReadBuffer buffer_;
  wire::RequestParser parser_;
  std::unique_ptr<RequestState> state_;  // Of the request that is under way.
  std::uint64_t max_body_ = 0;
  std::uint64_t renewed_ns_ = 0;
  std::size_t chunk_bytes_ = 0;  // Of a message in chunks: the bytes behind its head.
  Now access_begun_;             // Of what is noted for the access log.
  Pace drain_;                   // Of what the client reads.
  std::size_t progress_ = 0;     // Bytes since it was noted.
  std::unique_ptr<net::Deadline> half_closed_;  // Until when such a client is answered on.
  shield::ConnectionCaps::Place counted_;
};

}  // namespace sluicegate::gateway
