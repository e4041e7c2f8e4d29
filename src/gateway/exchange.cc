#include "gateway/exchange.h"

#include <algorithm>
#include <span>
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

// A stream of events may be silent for hours.
bool IsEventStream(const wire::ResponseHead& head) {
  constexpr std::string_view kType = "text/event-stream";
  const std::string_view type = head.Find("content-type").value_or(std::string_view());
  return type.size() >= kType.size() && wire::EqualsIgnoreCase(type.substr(0, kType.size()), kType);
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
      client_keep_alive_(session.head().keep_alive),
      client_minor_(session.head().minor_version),
      upload_deadline_(worker_.loop().timers(), [this] { OnUploadExpiry(); }) {
  std::string& head = session.upstream_head();
  head.clear();
  AppendUpstreamHead({.head = session.head(),
                      .path = session.path(),
                      .query = query,
                      .authority = worker_.upstream()->authority,
                      .peer = session.peer_text(),
                      .client = session.client().address.ToString(),
                      .peer_trusted = session.client().peer_trusted,
                      .forwarded = worker_.settings().clients.forwarded,
                      .identity_header = worker_.settings().clients.identity.header},
                     head);
  if (request_framing_ == Framing::kLength) {
    body_left_ = *session.head().content_length;
    first_body_ = static_cast<std::size_t>(
        std::min<std::uint64_t>(body_left_, session.buffer().unread().size()));
  }
}

net::Task<bool> Exchange::Run() {
  for (bool fresh = false;; fresh = true) {
    Outcome outcome = co_await Connect(fresh);
    if (outcome == Outcome::kDone) outcome = co_await Attempt();
    if (outcome != Outcome::kStale) co_return co_await Conclude(outcome);
    worker_.counters().Add(Event::kUpstreamStaleRetries);
  }
}

net::Task<Exchange::Outcome> Exchange::Connect(bool fresh) {
  const auto target = worker_.upstream();
  if (session_.client_gone()) co_return Outcome::kClientGone;
  if (!fresh) upstream_ = worker_.pool().Take(target);
  if (!fresh && upstream_ != nullptr) {
    worker_.counters().Add(Event::kUpstreamReuses);
    session_.WatchFor(upstream_);
    co_return Outcome::kDone;
  }
  session_.Await(Phase::kUpstream, timeouts_.connect);
  for (const net::SocketAddress& endpoint : target->endpoints) {
    upstream_ = std::make_shared<UpstreamConnection>(worker_.loop());
    upstream_->target = target;
    session_.WatchFor(upstream_);
    const int error = co_await upstream_->socket.Connect(endpoint);
    if (session_.client_gone()) co_return Outcome::kClientGone;
    if (session_.expired()) co_return Outcome::kTimeout;
    if (error != net::kNoError) continue;
    worker_.counters().Add(Event::kUpstreamConnects);
    session_.AwaitNothing();
    co_return Outcome::kDone;
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
  if (outcome == Outcome::kDone) outcome = co_await Relay();
  if (uploading_) co_await EndUpload();
  // What ended the upload ended the rest, and says more.
  const bool failed = outcome != Outcome::kDone && upload_outcome_ != Outcome::kDone;
  co_return failed ? upload_outcome_ : outcome;
}

// The head leaves together with what of the body is there already. A failed write is no failure
// yet: the upstream may have answered before it closed.
net::Task<Exchange::Outcome> Exchange::SendRequest() {
  net::Pieces pieces(session_.upstream_head());
  pieces.Add(session_.buffer().unread().substr(0, first_body_));
  const bool sent = co_await SendUp(pieces);
  if (!sent) co_return upload_expired_ ? Outcome::kTimeout : Outcome::kDone;
  if (request_framing_ == Framing::kNone || body_left_ == first_body_) {
    if (request_framing_ != Framing::kChunked) {
      body_done_ = true;
      co_return Outcome::kDone;
    }
  }
  if (expect_continue_ && session_.buffer().unread().empty()) {
    const bool invited = co_await session_.Write(net::Pieces(kContinue));
    if (!invited) co_return Outcome::kClientGone;
  }
  BeginUpload();
  co_return Outcome::kDone;
}

// The rest of the body goes up beside the response: an upstream may answer before it has read all,
// and go on reading or not.
void Exchange::BeginUpload() {
  session_.buffer().Consume(first_body_);
  body_left_ -= first_body_;
  first_body_ = 0;
  body_touched_ = true;
  uploading_ = true;
  net::Spawn(Upload(), session_.shared_from_this());
}

net::Task<void> Exchange::Upload() {
  Outcome outcome = Outcome::kDone;
  if (request_framing_ == Framing::kChunked) {
    outcome = co_await StreamChunks();
  } else {
    outcome = co_await StreamLength();
  }
  upload_deadline_.Clear();
  uploading_ = false;
  if (ending_) {
    upload_ended_.Tell();
    co_return;
  }
  upload_outcome_ = outcome;
  if (outcome != Outcome::kDone) {
    upstream_->socket.Cancel();
    co_return;
  }
  if (body_done_) session_.WatchClient();
  // From now on the upstream's silence counts.
  if (reading_upstream_ && !patient_) {
    session_.Await(Phase::kUpstream, head_sent_ ? timeouts_.idle : timeouts_.upstream);
  }
}

// The response is over, or failed: so is the upload, whatever is left of it.
net::Task<void> Exchange::EndUpload() {
  ending_ = true;
  session_.socket().Cancel();
  upstream_->socket.Cancel();
  co_await upload_ended_;
}

void Exchange::OnUploadExpiry() {
  upload_expired_ = true;
  if (upload_waits_for_client_) {
    session_.socket().Cancel();
  } else {
    upstream_->socket.Cancel();
  }
}

void Exchange::AwaitUpload(bool client) {
  upload_waits_for_client_ = client;
  upload_deadline_.Set(timeouts_.idle);
}

net::Task<Exchange::Outcome> Exchange::NextBodyBytes() {
  AwaitUpload(true);
  const bool filled = co_await session_.ReadMore();
  upload_deadline_.Clear();
  if (filled) co_return Outcome::kDone;
  co_return upload_expired_ ? Outcome::kClientSlow : Outcome::kClientGone;
}

// False: the upstream takes no more. That is no failure yet, as its answer may say why.
net::Task<bool> Exchange::SendUp(net::Pieces pieces) {
  int error = net::kNoError;
  if (!pieces.TryWrite(upstream_->socket, error)) {
    AwaitUpload(false);
    error = co_await pieces.Write(upstream_->socket);
    upload_deadline_.Clear();
  }
  co_return error == net::kNoError;
}

net::Task<Exchange::Outcome> Exchange::StreamLength() {
  ReadBuffer& buffer = session_.buffer();
  while (body_left_ > 0) {
    if (ending_) co_return Outcome::kDone;
    if (buffer.unread().empty()) {
      const Outcome outcome = co_await NextBodyBytes();
      if (outcome != Outcome::kDone) co_return outcome;
    }
    const auto bytes =
        static_cast<std::size_t>(std::min<std::uint64_t>(body_left_, buffer.unread().size()));
    const net::Pieces piece(buffer.unread().substr(0, bytes));
    const bool sent = co_await SendUp(piece);
    if (!sent) co_return upload_expired_ ? Outcome::kTimeout : Outcome::kDone;
    buffer.Consume(bytes);
    body_left_ -= bytes;
  }
  body_done_ = true;
  co_return Outcome::kDone;
}

net::Task<Exchange::Outcome> Exchange::StreamChunks() {
  ReadBuffer& buffer = session_.buffer();
  wire::ChunkedDecoder decoder;
  for (;;) {
    if (ending_) co_return Outcome::kDone;
    if (buffer.unread().empty()) {
      const Outcome outcome = co_await NextBodyBytes();
      if (outcome != Outcome::kDone) co_return outcome;
    }
    const wire::ChunkedDecoder::Step step = decoder.Read(buffer.unread());
    if (step.state == ParseState::kRefused) {
      refusal_ = decoder.refusal();
      co_return Outcome::kBodyRefused;
    }
    body_bytes_ += step.payload.size();
    if (max_body_ > 0 && body_bytes_ > max_body_) co_return Outcome::kBodyTooLarge;
    net::Pieces pieces;
    const wire::ChunkHead head(std::max<std::size_t>(step.payload.size(), 1));
    if (!step.payload.empty()) {
      pieces.Add(head.view());
      pieces.Add(step.payload);
      pieces.Add(wire::kChunkEnd);
    }
    if (step.state == ParseState::kDone) pieces.Add(wire::kLastChunk);
    const bool sent = co_await SendUp(pieces);
    if (!sent) co_return upload_expired_ ? Outcome::kTimeout : Outcome::kDone;
    buffer.Consume(step.consumed);
    if (step.state == ParseState::kDone) break;
  }
  body_done_ = true;
  co_return Outcome::kDone;
}

// Reads once more. REQUIRES: no view of what was read is needed any more, as bytes may move.
net::Task<Exchange::Outcome> Exchange::ReadUpstream() {
  UpstreamConnection& upstream = *upstream_;
  if (upstream.begin == upstream.end) upstream.begin = upstream.end = 0;
  if (upstream.end == upstream.buffer.size()) {
    std::ranges::copy(upstream.unread(), upstream.buffer.begin());
    upstream.end -= std::exchange(upstream.begin, 0);
  }
  if (upstream.end == upstream.buffer.size()) co_return Outcome::kBroken;
  if (upload_outcome_ != Outcome::kDone) co_return upload_outcome_;  // It failed meanwhile.
  reading_upstream_ = true;
  const net::Transfer read =
      co_await upstream.socket.ReadSome(std::span(upstream.buffer).subspan(upstream.end));
  reading_upstream_ = false;
  upstream.end += read.bytes;
  if (read.error == net::kNoError) {
    upstream_spoke_ = true;
    co_return Outcome::kDone;
  }
  if (session_.client_gone() && !session_.outlives_client()) co_return Outcome::kClientGone;
  if (session_.expired()) co_return Outcome::kTimeout;
  upstream_ended_ = read.error == net::kEndOfStream;
  const bool stale = upstream.reused && !upstream_spoke_ && CanReplay();
  co_return stale ? Outcome::kStale : Outcome::kBroken;
}

net::Task<Exchange::Outcome> Exchange::ReadResponseHead() {
  UpstreamConnection& upstream = *upstream_;
  upstream.parser.Reset();
  // Until the request is sent the upload's own deadline holds.
  if (!uploading_) session_.Await(Phase::kUpstream, timeouts_.upstream);
  for (;;) {
    while (!upstream.unread().empty()) {
      const ParseState state = upstream.parser.Parse(upstream.unread(), to_head_, upstream.head);
      if (state == ParseState::kRefused) co_return Outcome::kBroken;
      if (state == ParseState::kNeedMore) break;
      upstream.begin += upstream.head.size;
      // 101 answers an Upgrade, and none was sent.
      if (upstream.head.status == 101) co_return Outcome::kBroken;
      if (!upstream.head.interim()) {
        session_.AwaitNothing();
        co_return Outcome::kDone;
      }
      upstream.parser.Reset();
    }
    const Outcome outcome = co_await ReadUpstream();
    if (outcome != Outcome::kDone) co_return outcome;
  }
}

// Nobody takes the answer any more: that ends the request, or it goes on alone.
Exchange::Outcome Exchange::LostClient() {
  session_.LoseClient();
  return session_.is_alone() ? Outcome::kDone : Outcome::kClientGone;
}

// One piece of the body, behind `head` where that is not sent yet. Dechunks it for HTTP/1.0.
net::Task<Exchange::Outcome> Exchange::RelayPiece(std::string_view head, std::string_view bytes) {
  if (session_.is_alone()) co_return Outcome::kDone;
  if (!dechunk_) {
    net::Pieces pieces(head);
    pieces.Add(bytes);
    const bool written = co_await session_.Write(pieces);
    co_return written ? Outcome::kDone : LostClient();
  }
  while (!head.empty() || !bytes.empty()) {
    const auto step = bytes.empty() ? wire::ChunkedDecoder::Step{} : dechunker_.Read(bytes);
    net::Pieces pieces(head);
    pieces.Add(step.payload);
    const bool written = co_await session_.Write(pieces);
    if (!written) co_return LostClient();
    head = {};
    bytes.remove_prefix(step.consumed);
    if (step.state != ParseState::kNeedMore) break;
  }
  co_return Outcome::kDone;
}

// The piece with which an answer ends that ends by itself. Its leases are given back before the
// last byte leaves: a client that has the whole answer has its places back, whichever loop reads
// its next request.
net::Task<Exchange::Outcome> Exchange::RelayLast(std::string_view head, std::string_view bytes) {
  if (session_.is_alone()) co_return Outcome::kDone;
  std::string_view& tail = bytes.empty() ? head : bytes;
  const std::string_view last = tail.substr(tail.size() - 1);
  tail.remove_suffix(1);
  net::Pieces pieces(head);
  pieces.Add(bytes);
  pieces.HoldForMore();
  bool written = co_await session_.Write(pieces);
  session_.GiveBackLeases();
  if (written) written = co_await session_.Write(net::Pieces(last));
  co_return written ? Outcome::kDone : LostClient();
}

net::Task<Exchange::Outcome> Exchange::Relay() {
  UpstreamConnection& upstream = *upstream_;
  const wire::ResponseHead& head = upstream.head;
  const bool chunked = head.framing == Framing::kChunked;
  dechunk_ = chunked && client_minor_ == 0;
  ends_by_close_ = dechunk_ || head.framing == Framing::kUntilClose;
  keep_alive_ = client_keep_alive_ && body_done_ && !worker_.draining() && !ends_by_close_;
  std::string& out = session_.out();
  out.clear();
  AppendClientHead({.head = head,
                    .quota = session_.quota(),
                    .date = head.Find("date") ? std::string_view() : worker_.Date(worker_.now()),
                    .chunked = chunked && !dechunk_,
                    .keep_alive = keep_alive_,
                    .client_minor = client_minor_},
                   out);
  worker_.counters().AddResponse(head.status);
  const bool upstream_keep_alive = head.keep_alive;
  patient_ = IsEventStream(head);
  wire::BodyEnd end(head);
  std::string_view head_bytes = out;
  head_sent_ = true;
  session_.ResetUnlessWhole(ends_by_close_);
  for (;;) {
    const std::string_view bytes = upstream.unread();
    const wire::BodyEnd::Step step = end.Advance(bytes);
    const std::string_view body = bytes.substr(0, step.body);
    const bool last = step.state == ParseState::kDone && !ends_by_close_;
    Outcome sent = Outcome::kDone;
    if (last && session_.holds_leases()) {
      sent = co_await RelayLast(head_bytes, body);
    } else {
      sent = co_await RelayPiece(head_bytes, body);
    }
    if (sent != Outcome::kDone) co_return sent;
    head_bytes = {};
    upstream.begin += step.body;
    if (step.state == ParseState::kRefused) co_return Outcome::kBroken;
    if (step.state == ParseState::kDone) break;
    session_.RenewLeases(worker_.now());
    const bool stream = (patient_ || uploading_) && !session_.is_alone();
    session_.Await(stream ? Phase::kStream : Phase::kUpstream,
                   stream ? session_.StreamWait(timeouts_.idle) : timeouts_.idle);
    const Outcome read = co_await ReadUpstream();
    session_.AwaitNothing();
    if (read == Outcome::kDone) continue;
    if (read != Outcome::kBroken || !upstream_ended_ || !end.DoneAtClose()) co_return read;
    break;
  }
  const bool clean = upstream.unread().empty() && body_done_ && upstream_keep_alive &&
                     head.framing != Framing::kUntilClose;
  if (clean) Release();
  co_return Outcome::kDone;
}

void Exchange::Release() {
  session_.WatchFor(nullptr);
  worker_.Rest(std::move(upstream_));
}

net::Task<bool> Exchange::Conclude(Outcome outcome) {
  session_.WatchFor(nullptr);
  session_.GiveBackLeases();  // Before an answer of the gateway's own, too: nothing is in flight.
  if (upstream_ != nullptr) {
    // The wait for an early response may hold it, too, and would keep it open.
    upstream_->socket.Close();
    upstream_.reset();
  }
  // A body that came with its head was kept in case the request had to be sent once more.
  if (body_done_ && !body_touched_) session_.buffer().Consume(first_body_);
  Counters& counters = worker_.counters();
  // With part of an answer sent, the only honest end is a closed connection.
  if (outcome == Outcome::kDone) {
    session_.ResetUnlessWhole(false);
    // It answered before it had read the body, of which more may come.
    if (!body_done_) session_.LingerAfter();
    co_return keep_alive_ && !session_.client_gone();
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
      counters.Add(Event::kIdleTimeouts);
      answer.status = 408;
      answer.detail = "The request's body stopped coming. Send it at once.";
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
