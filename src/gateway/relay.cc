// Exchange's part for what comes from the upstream: the response's head and its body.
#include <algorithm>
#include <cerrno>
#include <span>
#include <utility>

#include "gateway/exchange.h"
#include "gateway/heads.h"
#include "wire/trailers.h"

namespace sluicegate::gateway {
namespace {

// A stream of events may be silent for hours.
bool IsEventStream(const wire::ResponseHead& head) {
  constexpr std::string_view kType = "text/event-stream";
  const std::string_view type = head.Find("content-type").value_or(std::string_view());
  return type.size() >= kType.size() && wire::EqualsIgnoreCase(type.substr(0, kType.size()), kType);
}

}  // namespace

using wire::Framing;
using wire::ParseState;

// Reads once more; the error is Transfer's. Nothing is held for an upstream that is silent.
// REQUIRES: no view of what was read is needed any more, as bytes may move, and a head that is read
// to its end may go.
net::Task<int> Exchange::Fill() {
  UpstreamConnection& upstream = *upstream_;
  if (upstream.unread().empty()) {
    upstream.begin = upstream.end = 0;
    if (!upstream.socket.readable()) {
      worker_.response_buffers().Return(std::move(upstream.response));
      const int waited = co_await upstream.socket.Readable();
      if (waited != net::kNoError) co_return waited;
    }
  }
  if (upstream.response == nullptr) {
    upstream.response = worker_.response_buffers().Take();
    upstream.response->parser.Reset();
  }
  auto& bytes = upstream.response->bytes;
  if (upstream.end == bytes.size()) {
    std::ranges::copy(upstream.unread(), bytes.begin());
    upstream.end -= std::exchange(upstream.begin, 0);
  }
  if (upstream.end == bytes.size()) co_return EMSGSIZE;
  const net::Transfer read =
      co_await upstream.socket.ReadSome(std::span(bytes).subspan(upstream.end));
  upstream.end += read.bytes;
  co_return read.error;
}

net::Task<Exchange::Outcome> Exchange::ReadUpstream() {
  if (upload_outcome_ != Outcome::kDone) co_return upload_outcome_;  // It failed meanwhile.
  if (session_.client_gone() && !session_.outlives_client()) co_return Outcome::kClientGone;
  reading_upstream_ = true;
  const int error = co_await Fill();
  reading_upstream_ = false;
  if (error == net::kNoError) {
    upstream_spoke_ = true;
    co_return Outcome::kDone;
  }
  if (session_.client_gone() && !session_.outlives_client()) co_return Outcome::kClientGone;
  if (session_.expired()) co_return Outcome::kTimeout;
  upstream_ended_ = error == net::kEndOfStream;
  // A connection that rested may have been closed meanwhile, which says nothing of its server.
  if (upstream_spoke_ || !CanReplay()) co_return Outcome::kBroken;
  co_return upstream_->reused ? Outcome::kStale : Outcome::kLost;
}

net::Task<Exchange::Outcome> Exchange::ReadResponseHead() {
  UpstreamConnection& upstream = *upstream_;
  // Until the request is sent the upload's own deadline holds.
  if (!uploading_) session_.Await(Phase::kUpstream, timeouts_.upstream);
  for (;;) {
    while (!upstream.unread().empty()) {
      wire::ResponseParser& parser = upstream.response->parser;
      const wire::ResponseHead& head = upstream.response->head;
      const ParseState state = parser.Parse(upstream.unread(), to_head_, upstream.response->head);
      if (state == ParseState::kRefused) co_return Outcome::kBroken;
      if (state == ParseState::kNeedMore) break;
      upstream.begin += head.size;
      // 101 answers an Upgrade, where one was sent.
      if (head.status == 101 && !IsUpgraded()) co_return Outcome::kBroken;
      if (!head.interim()) {
        session_.AwaitNothing();
        co_return Outcome::kDone;
      }
      const Outcome relayed = co_await RelayInterim();
      if (relayed != Outcome::kDone) co_return relayed;
      parser.Reset();
    }
    // The upload may have ended meanwhile.
    if (!uploading_ && !session_.awaits()) session_.Await(Phase::kUpstream, timeouts_.upstream);
    const Outcome outcome = co_await ReadUpstream();
    if (outcome != Outcome::kDone) co_return outcome;
    if (regroups()) co_await worker_.loop().Regroup();
    // Bytes that came in the turn in which the time was up do not buy more of it.
    if (session_.expired()) co_return Outcome::kTimeout;
  }
}

// 103 and its like go on to clients that know them. 100 does not: whether to send the body was said
// already.
net::Task<Exchange::Outcome> Exchange::RelayInterim() {
  constexpr unsigned kMost = 16;
  if (++interim_ > kMost) co_return Outcome::kBroken;
  const wire::ResponseHead& head = upstream_->response->head;
  if (head.status == 100 || client_minor_ == 0 || session_.is_alone()) co_return Outcome::kDone;
  std::string& out = session_.out();
  out.clear();
  AppendInterimHead(head, out);
  const bool written = co_await session_.WriteAside(net::Pieces(out));
  co_return written ? Outcome::kDone : LostClient();
}

bool Exchange::IsUpgraded() const {
  const wire::ResponseHead& head = upstream_->response->head;
  return upgrade_ && head.status == 101 && head.upgrade && NamesWebSocket(head);
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

// Puts the answer's head into the session's out().
void Exchange::AppendHead(const wire::ResponseHead& head, bool chunked) {
  std::string& out = session_.out();
  out.clear();
  AppendClientHead({.head = head,
                    .quota = session_.quota(),
                    .date = head.Find("date") ? std::string_view() : worker_.Date(worker_.now()),
                    .request_id_header = worker_.settings().request_id,
                    .request_id = session_.request_id(),
                    .chunked = chunked,
                    .keep_alive = keep_alive_,
                    .websocket = head.status == 101,
                    .client_minor = client_minor_},
                   out);
  session_.CountResponse(head.status);
  session_.NoteUpstream(*upstream_, head.status == 101);
  head_sent_ = true;
}

net::Task<Exchange::Outcome> Exchange::Relay() {
  UpstreamConnection& upstream = *upstream_;
  const wire::ResponseHead& head = upstream.response->head;
  const bool chunked = head.framing == Framing::kChunked;
  const bool until_close = head.framing == Framing::kUntilClose;
  dechunk_ = chunked && client_minor_ == 0;
  ends_by_close_ = dechunk_ || until_close;
  keep_alive_ = client_keep_alive_ && body_done_ && !worker_.draining() && !ends_by_close_;
  AppendHead(head, chunked && !dechunk_);
  const bool upstream_keep_alive = head.keep_alive;
  patient_ = IsEventStream(head);
  wire::BodyEnd end(head);
  wire::Trailers trailers(head);
  std::string_view head_bytes = session_.out();
  session_.ResetUnlessWhole(ends_by_close_);
  if (regroups()) co_await worker_.loop().Regroup();
  for (;;) {
    const std::string_view bytes = upstream.unread();
    const wire::BodyEnd::Step step = end.Advance(bytes);
    std::string_view body = bytes.substr(0, step.body - step.trailers);
    if (step.trailers > 0) trailers.Add(bytes.substr(body.size(), step.trailers));
    const bool last = step.state == ParseState::kDone && !ends_by_close_;
    Outcome sent = Outcome::kDone;
    if (last && !trailers.empty()) {
      sent = co_await RelayPiece(head_bytes, body);
      if (sent != Outcome::kDone) co_return sent;
      head_bytes = {};
      body = trailers.Filter(worker_.settings().request_id);
    }
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
  const bool clean = upstream.unread().empty() && body_done_ && upstream_keep_alive && !until_close;
  if (clean) Release();
  co_return Outcome::kDone;
}

}  // namespace sluicegate::gateway
