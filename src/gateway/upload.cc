// Exchange's part for what goes to the upstream: the request's head and its body.
#include <algorithm>
#include <string>
#include <utility>

#include "gateway/exchange.h"
#include "gateway/heads.h"

namespace sluicegate::gateway {

using wire::Framing;
using wire::ParseState;

namespace {

// The next payload of `bytes`. Small ones are gathered in `small`, as they leave together: a system
// call for each would slow all others down.
wire::ChunkedDecoder::Step ReadPayload(wire::ChunkedDecoder& decoder, std::string_view bytes,
                                       std::string& small) {
  constexpr std::size_t kSmall = 4096;
  wire::ChunkedDecoder::Step step = decoder.Read(bytes);
  if (step.payload.size() >= kSmall) return step;
  std::size_t consumed = step.consumed;
  if (step.state != ParseState::kNeedMore || consumed == bytes.size()) return step;
  small.assign(step.payload);
  while (step.state == ParseState::kNeedMore && small.size() < kSmall && consumed < bytes.size()) {
    step = decoder.Read(bytes.substr(consumed));
    consumed += step.consumed;
    small += step.payload;
  }
  step.consumed = consumed;
  step.payload = small;
  return step;
}

}  // namespace

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
  if (outcome == Outcome::kClientSlow && head_sent_) worker_.counters().Add(Event::kSlowBodies);
  // What stopped is the body; the answer to what came of it flows.
  const bool given_up =
      head_sent_ && (outcome == Outcome::kTimeout || outcome == Outcome::kClientSlow);
  upload_outcome_ = given_up ? Outcome::kDone : outcome;
  if (upload_outcome_ != Outcome::kDone) {
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
    session_.socket().CancelReader();
  } else {
    upstream_->socket.CancelWriter();
  }
}

net::Task<Exchange::Outcome> Exchange::NextBodyBytes() {
  const std::size_t before = session_.buffer().unread().size();
  for (;;) {
    upload_expired_ = false;
    upload_waits_for_client_ = true;
    session_.SetUploadWaits(true);
    upload_deadline_.Set(upload_pace_.Begin(worker_.now().engine_ns));
    const bool filled = co_await session_.ReadMore();
    upload_deadline_.Clear();
    session_.SetUploadWaits(false);
    if (filled) break;
    if (!upload_expired_ || ending_) co_return Outcome::kClientGone;
    if (!upload_pace_.Expire(worker_.now().engine_ns, 0)) co_return Outcome::kClientSlow;
  }
  const std::size_t bytes = session_.buffer().unread().size() - before;
  session_.NoteProgress(bytes);
  const bool keeps = upload_pace_.End(worker_.now().engine_ns, bytes);
  co_return keeps ? Outcome::kDone : Outcome::kClientSlow;
}

// False: the upstream takes no more. That is no failure yet, as its answer may say why.
net::Task<bool> Exchange::SendUp(net::Pieces pieces) {
  int error = net::kNoError;
  if (!pieces.TryWrite(upstream_->socket, error)) {
    upload_waits_for_client_ = false;
    upload_deadline_.Set(timeouts_.idle);
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
  std::string small;
  for (;;) {
    if (ending_) co_return Outcome::kDone;
    if (buffer.unread().empty()) {
      const Outcome outcome = co_await NextBodyBytes();
      if (outcome != Outcome::kDone) co_return outcome;
    }
    const wire::ChunkedDecoder::Step step = ReadPayload(decoder, buffer.unread(), small);
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

}  // namespace sluicegate::gateway
