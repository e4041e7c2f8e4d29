#include "gateway/exchange.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "gateway/heads.h"

namespace sluicegate::gateway {
namespace {

using wire::Framing;
using wire::ParseState;

bool IsIdempotent(std::string_view method) {
  return method == "GET" || method == "HEAD" || method == "OPTIONS" || method == "PUT" ||
         method == "DELETE" || method == "TRACE";
}

// Of all protocols WebSocket alone: others would carry requests that nobody decides.
bool OffersWebSocket(const wire::RequestHead& head) {
  if (!head.upgrade || head.method != "GET" || head.framing != Framing::kNone) return false;
  const auto offers = std::ranges::count_if(head.fields(), [](const wire::Field& field) {
    return wire::EqualsIgnoreCase(field.name, "upgrade");
  });
  return offers == 1 && head.minor_version == 1 && NamesWebSocket(head);
}

}  // namespace

Exchange::Exchange(Session& session, std::string_view query)
    : session_(session),
      worker_(session.worker()),
      timeouts_(worker_.settings().timeouts),
      max_body_(session.max_body()),
      request_framing_(session.head().framing),
      idempotent_(IsIdempotent(session.head().method)),
      to_head_(session.head().method == "HEAD"),
      expect_continue_(session.head().expect_continue),
      upgrade_(OffersWebSocket(session.head())),
      client_keep_alive_(session.head().keep_alive),
      client_minor_(session.head().minor_version),
      upload_deadline_(worker_.loop().timers(), [this] { OnUploadExpiry(); }),
      upload_pace_(worker_.settings().connections.body_rate, kBodyWindow, timeouts_.idle) {
  target_ = worker_.balancer().Choose(worker_.now().engine_ns, tried_);
  std::string& head = session.upstream_head();
  head.clear();
  AppendUpstreamHead({.head = session.head(),
                      .path = session.path(),
                      .query = query,
                      .authority = target_->authority,
                      .peer = session.peer_text(),
                      .client = session.client().address.ToString(),
                      .peer_trusted = session.client().peer_trusted,
                      .forwarded = worker_.settings().clients.forwarded,
                      .identity_header = worker_.settings().clients.identity.header,
                      .request_id_header = worker_.settings().request_id,
                      .request_id = session.request_id(),
                      .tls = session.has_tls(),
                      .websocket = upgrade_},
                     head);
  if (request_framing_ == Framing::kLength) {
    body_left_ = *session.head().content_length;
    first_body_ = static_cast<std::size_t>(
        std::min<std::uint64_t>(body_left_, session.buffer().unread().size()));
  }
}

net::Task<bool> Exchange::Run() {
  co_await worker_.loop().Regroup();
  for (bool fresh = false;;) {
    Outcome outcome = co_await Connect(fresh);
    if (outcome == Outcome::kDone) {
      outcome = co_await Attempt();
      NoteHealth(outcome);
    }
    if (!TakesAnother(outcome)) co_return co_await Conclude(outcome);
    worker_.counters().Add(Event::kUpstreamStaleRetries);
    fresh = outcome == Outcome::kStale;
  }
}

// What the attempt says of its server, unless it was the client that left. That it closed before it
// answered may be the request's doing, and is held against nobody yet.
void Exchange::NoteHealth(Outcome outcome) {
  if (session_.client_gone()) return;
  if (outcome == Outcome::kTimeout) worker_.TellFailure(*target_, "it took too long");
  if (outcome == Outcome::kLost) lost_.push_back(target_);
  if (outcome == Outcome::kBroken) {
    worker_.TellFailure(*target_, "it broke off or answered nonsense");
  }
}

// The server answers, so it was not the request's doing that others closed.
void Exchange::NoteAnswer() {
  worker_.balancer().NoteAnswer(*target_);
  for (const TargetPtr& lost : lost_) worker_.TellFailure(*lost, "it closed before it answered");
}

// Whether the request is sent once more: to the same server, or to one that was not tried yet. What
// several servers close on is no good for the others either, and is not to cost each of them.
bool Exchange::TakesAnother(Outcome outcome) {
  constexpr std::size_t kMostLost = 3;
  if (outcome != Outcome::kLost) return outcome == Outcome::kStale;
  if (lost_.size() >= kMostLost) return false;
  TargetPtr next = worker_.balancer().Choose(worker_.now().engine_ns, tried_);
  if (next == nullptr) return false;
  target_ = std::move(next);
  return true;
}

// Of several servers the next one that can be connected to: no byte was sent yet, so nothing can
// happen twice.
net::Task<Exchange::Outcome> Exchange::Connect(bool fresh) {
  constexpr unsigned kMostTimeouts = 3;
  Outcome outcome = Outcome::kUnreachable;
  for (unsigned timeouts = 0; target_ != nullptr && timeouts < kMostTimeouts; fresh = false) {
    if (session_.client_gone()) co_return Outcome::kClientGone;
    if (!fresh) upstream_ = worker_.pool().Take(target_);
    if (!fresh && upstream_ != nullptr) {
      worker_.counters().Add(Event::kUpstreamReuses);
      session_.WatchFor(upstream_);
      co_return Outcome::kDone;
    }
    outcome = co_await ConnectTo(target_);
    if (outcome != Outcome::kUnreachable && outcome != Outcome::kTimeout) co_return outcome;
    worker_.TellUnreachable(*target_, trouble_);
    if (outcome == Outcome::kTimeout) ++timeouts;
    target_ = worker_.balancer().Choose(worker_.now().engine_ns, tried_);
  }
  co_return outcome;
}

net::Task<Exchange::Outcome> Exchange::ConnectTo(const TargetPtr& target) {
  session_.Await(Phase::kUpstream, timeouts_.connect);
  for (const net::SocketAddress& endpoint : target->endpoints) {
    upstream_ = std::make_shared<UpstreamConnection>(worker_.loop());
    upstream_->target = target;
    session_.WatchFor(upstream_);
    net::Socket& socket = upstream_->socket;
    int error = co_await socket.Connect(endpoint);
    if (error == net::kNoError && target->tls != nullptr) {
      socket.UseTls(target->tls->Connect(target->tls_name));
      error = co_await socket.Handshake();
    }
    if (session_.client_gone()) co_return Outcome::kClientGone;
    if (session_.expired()) {
      trouble_ = "it cannot be connected to in time";
      co_return Outcome::kTimeout;
    }
    if (error == net::kNoError) {
      worker_.counters().Add(Event::kUpstreamConnects);
      session_.AwaitNothing();
      co_return Outcome::kDone;
    }
    trouble_ = error == net::kBrokenTls ? "TLS: " + socket.tls()->failure() : std::strerror(error);
  }
  session_.AwaitNothing();
  co_return Outcome::kUnreachable;
}

bool Exchange::CanReplay() const noexcept {
  const bool whole = request_framing_ == Framing::kNone ||
                     (request_framing_ == Framing::kLength && body_left_ == first_body_);
  return idempotent_ && whole && !body_touched_;
}

net::Task<Exchange::Outcome> Exchange::Attempt() {
  Outcome outcome = co_await SendRequest();
  if (outcome != Outcome::kDone) co_return outcome;
  if (body_done_) session_.WatchClient();
  outcome = co_await ReadResponseHead();
  if (outcome == Outcome::kDone) {
    NoteAnswer();
    if (IsUpgraded()) {
      outcome = co_await Tunnel();
    } else {
      outcome = co_await Relay();
    }
  }
  if (uploading_) co_await EndUpload();
  // What ended the upload ended the rest, and says more.
  const bool failed = outcome != Outcome::kDone && upload_outcome_ != Outcome::kDone;
  co_return failed ? upload_outcome_ : outcome;
}

void Exchange::Release() {
  session_.WatchFor(nullptr);
  worker_.response_buffers().Return(std::move(upstream_->response));
  worker_.Rest(std::move(upstream_));
}

// Whether the client sends, or may send, what nobody will read: the system would answer that with a
// reset, which the answer might not survive.
bool Exchange::MoreMayCome() const noexcept {
  return !body_done_ || client_keep_alive_ || !session_.buffer().unread().empty() ||
         session_.socket().readable();
}

net::Task<bool> Exchange::Conclude(Outcome outcome) {
  session_.WatchFor(nullptr);
  session_.GiveBackLeases();  // Before an answer of the gateway's own, too: nothing is in flight.
  if (upstream_ != nullptr) {
    // The wait for an early response may hold it, too, and would keep it open.
    upstream_->socket.Close();
    worker_.response_buffers().Return(std::move(upstream_->response));
    upstream_.reset();
  }
  // A body that came with its head was kept in case the request had to be sent once more.
  if (body_done_ && !body_touched_) session_.buffer().Consume(first_body_);
  if (body_bytes_ > 0) session_.NoteBody(body_bytes_);
  Counters& counters = worker_.counters();
  // With part of an answer sent, the only honest end is a closed connection.
  if (outcome == Outcome::kDone) {
    session_.ResetUnlessWhole(false);
    const bool gone = session_.client_gone();
    if (!keep_alive_ && !gone && MoreMayCome()) session_.LingerAfter();
    session_.NoteWhole(!gone);
    co_return keep_alive_ && !gone;
  }
  if (outcome == Outcome::kClientGone || session_.client_gone()) {
    counters.Add(Event::kClientsGone);
    co_return false;
  }
  const bool keep_alive = client_keep_alive_ && body_done_;
  Session::AnswerOptions answer{.status = 502, .detail = {}, .keep_alive = keep_alive};
  switch (outcome) {
    case Outcome::kUnreachable:
      counters.Add(Event::kUpstreamUnreachable);
      answer.detail = "The server behind this gateway cannot be reached. Try again later.";
      answer.keep_alive = client_keep_alive_ && request_framing_ == Framing::kNone;
      break;
    case Outcome::kTimeout:
      counters.Add(Event::kUpstreamTimeouts);
      answer.status = 504;
      answer.detail = "The server behind this gateway took too long. Try again later.";
      break;
    case Outcome::kClientSlow:
      counters.Add(Event::kSlowBodies);
      answer.status = 408;
      answer.detail = "The request's body came too slowly, or stopped coming. Send it at once.";
      break;
    case Outcome::kBodyRefused:
      counters.Add(Event::kRefusedFraming);
      answer.status = refusal_.status;
      answer.detail = refusal_.detail;
      break;
    case Outcome::kBodyTooLarge:
      counters.Add(Event::kRefusedBody);
      answer.status = 413;
      answer.detail = "The request's body is larger than this server takes.";
      break;
    default:
      counters.Add(Event::kUpstreamBroken);
      answer.detail = "The server behind this gateway closed the connection or answered nonsense.";
      break;
  }
  if (head_sent_) co_return false;
  co_return co_await session_.Answer(answer);
}

}  // namespace sluicegate::gateway
