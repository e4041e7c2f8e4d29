#include "gateway/session.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "gateway/exchange.h"
#include "gateway/heads.h"
#include "http/denial.h"
#include "wire/path.h"

namespace sluicegate::gateway {
Session::Session(Worker& worker, net::FileDescriptor connection, const IpAddress& peer,
                 const Door& door, shield::ConnectionCaps::Place counted)
    : worker_(worker),
      socket_(worker.loop(), std::move(connection)),
      door_(door),
      peer_(peer),
      peer_text_(peer.ToString()),
      deadline_(worker_.loop().timers(), [this] { OnExpiry(); }),
      drain_(worker.settings().connections.drain_rate, kDrainWindow,
             worker.settings().timeouts.idle, kDrainLook),
      counted_(counted) {}

Session::~Session() {
  GiveBackLeases();
  worker_.Release(counted_);
  worker_.Forget(*this);
}

void Session::Start() { net::Spawn(Run(), shared_from_this()); }

void Session::OnDrain() {
  // A request that came already is answered: closing would reset it.
  if (phase_ == Phase::kIdle && deadline_.set() && !socket_.HasBytesOrEnded()) socket_.Cancel();
}

void Session::Abort() {
  aborted_ = true;
  deadline_.Clear();
  if (watched_ != nullptr) watched_->socket.Close();
  CloseSocket();
}

// A reset also says nothing of TLS's goodbye, which would make a part pass for the whole.
void Session::CloseSocket() {
  if (reset_) {
    socket_.Reset();
  } else {
    socket_.Close();
  }
}

void Session::Evict() {
  reset_ = true;
  Abort();
}

void Session::Await(Phase phase, std::chrono::nanoseconds wait) {
  phase_ = phase;
  wait_ = wait;
  expired_ = false;
  deadline_.Set(wait);
}

void Session::OnExpiry() {
  if (phase_ == Phase::kStream) {
    if (socket_.hung_up() && half_closed_ == nullptr) OnHangup();
    if (client_gone_) return;
    RenewLeases(worker_.now());
    deadline_.Set(wait_);
    return;
  }
  expired_ = true;
  if (phase_ == Phase::kDrain) {
    socket_.CancelWriter();  // Another coroutine may read.
  } else if (phase_ != Phase::kUpstream && phase_ != Phase::kTunnel) {
    socket_.Cancel();
  } else if (watched_ != nullptr) {
    watched_->socket.Cancel();
  }
}

void Session::LoseClient() {
  client_gone_ = true;
  socket_.CancelWriter();
  if (outlives_client() && watched_ != nullptr) {  // But it does not wait for ever.
    return Await(Phase::kUpstream, worker_.settings().timeouts.idle);
  }
  if (watched_ != nullptr) watched_->socket.Cancel();
}

void Session::OnHangup() {
  if (watched_ == nullptr || aborted_) return;  // Whoever reads will see.
  const Duration wait = worker_.settings().timeouts.half_closed;
  if (socket_.lost() || wait <= Duration::zero()) return LoseClient();
  half_closed_ = std::make_unique<net::Deadline>(worker_.loop().timers(), [this] {
    if (watched_ != nullptr && !aborted_) LoseClient();
  });
  half_closed_->Set(wait);
}

// While nothing is unread, nothing is held.
net::Task<bool> Session::ReadMore() {
  while (buffer_.unread().empty()) {
    if (aborted_) co_return false;
    if (!socket_.TakesTurn()) {
      worker_.blocks().Return(buffer_.GiveBack());
      const int waited = co_await socket_.Readable();
      if (waited != net::kNoError) co_return false;
    }
    if (!buffer_.borrows()) buffer_.Borrow(worker_.blocks().Take());
    const net::Transfer got = socket_.TryRead(buffer_.Room());
    if (got.error == EAGAIN) continue;  // A part of a record of TLS.
    buffer_.Filled(got.bytes);
    co_return got.error == net::kNoError;
  }
  if (aborted_) co_return false;
  const net::Transfer read = co_await socket_.ReadSome(buffer_.Room());
  buffer_.Filled(read.bytes);
  co_return read.error == net::kNoError;
}

net::Task<bool> Session::Write(net::Pieces pieces) {
  int error = net::kNoError;
  if (pieces.TryWrite(socket_, error)) co_return error == net::kNoError;
  co_return co_await WriteSlowly(pieces);
}

// The client may take its time, as long as it takes enough in it. What counts is what its system
// says it has, as ours takes large lumps for it; that tells nobody, so one looks. What the client
// does not take is thrown away at once: the system would hold it for minutes.
net::Task<bool> Session::WriteSlowly(net::Pieces pieces) {
  std::uint64_t acknowledged = socket_.Acknowledged();
  for (bool done = false; !done;) {
    Await(Phase::kDrain, drain_.Begin(worker_.now().engine_ns));
    int error = co_await socket_.Writable();
    AwaitNothing();
    if (error != net::kNoError && (!expired_ || client_gone())) co_return false;
    const std::uint64_t taken = std::max(socket_.Acknowledged(), acknowledged) - acknowledged;
    acknowledged += taken;
    NoteProgress(taken);
    const std::uint64_t now_ns = worker_.now().engine_ns;
    const bool keeps =
        error == net::kNoError ? drain_.End(now_ns, taken) : drain_.Expire(now_ns, taken);
    // Also after a look: the room that came in that moment is told once.
    done = pieces.TryWrite(socket_, error);
    if (error != net::kNoError) co_return false;
    expired_ = false;
    if (keeps) continue;
    worker_.counters().Add(Event::kSlowReaders);
    reset_ = true;
    co_return false;
  }
  co_return true;
}

net::Task<bool> Session::WriteAside(net::Pieces pieces) {
  int error = net::kNoError;
  if (pieces.TryWrite(socket_, error)) co_return error == net::kNoError;
  after_write_.reset();
  if (deadline_.set()) after_write_ = Waits{.phase = phase_, .wait = deadline_.left()};
  writes_aside_ = true;
  const bool written = co_await WriteSlowly(pieces);
  writes_aside_ = false;
  if (const auto waits = std::exchange(after_write_, std::nullopt)) {
    Await(waits->phase, waits->wait);
  }
  co_return written;
}

void Session::AwaitBeside(Phase phase, std::chrono::nanoseconds wait) {
  if (writes_aside_) {
    after_write_ = Waits{.phase = phase, .wait = wait};
  } else {
    Await(phase, wait);
  }
}

bool Session::waits_for_client() const noexcept {
  const bool phase = phase_ == Phase::kIdle || phase_ == Phase::kHead || phase_ == Phase::kBody ||
                     phase_ == Phase::kDrain;
  return !aborted_ && (upload_waits_ || (phase && deadline_.set()));
}

const std::string& Session::request_id() {
  if (state_->request_id.empty()) worker_.NameRequest(state_->request_id);
  return state_->request_id;
}

net::Task<void> Session::Run() {
  bool more = co_await Open();
  while (more) {
    Next next = BeginHead();
    while (next == Next::kRead) {
      const std::span<char> room = HeadRoom();
      const net::Transfer read = co_await socket_.ReadSome(room);
      KeepHeadBytes(room.first(read.bytes));
      co_await worker_.loop().Regroup();
      next = TakeHeadBytes(read.error);
    }
    std::string_view query;
    if (next == Next::kForward) next = TakeHead(query);
    if (next == Next::kForward && BringsMessage()) {
      next = co_await ReadMessage(query);
    } else if (next == Next::kForward) {
      buffer_.Consume(state_->head.size);
      next = Judge();
    }
    if (next == Next::kForward) {
      Exchange exchange(*this, query);
      more = co_await exchange.Run();
    } else if (next == Next::kAnswer) {
      co_await worker_.loop().Regroup();
      net::Pieces answer(state_->out);
      int error = net::kNoError;
      bool written = answer.TryWrite(socket_, error) && error == net::kNoError;
      // The client reads slowly.
      if (!written && error == net::kNoError) written = co_await WriteSlowly(answer);
      more = written && !closes_;
      NoteWhole(written);
    } else {
      more = false;
    }
    if (state_ != nullptr) EndRequest();
  }
  if (linger_ && !reset_ && !aborted_) co_await Linger();
  AwaitNothing();
  CloseSocket();
}

void Session::EndRequest() {
  if (notes_access_) TellAccess();
  GiveBackLeases();
  worker_.states().Return(std::move(state_));
  worker_.blocks().Return(buffer_.GiveBack());
  buffer_.Shrink();
  IgnoreHangup();  // Of the next request: when that is read to its end.
  worker_.NoteProgress(*this);
}

// Old clients end a body with an empty line too many, which begins no request.
bool Session::HasBegun() {
  while (buffer_.unread().starts_with("\r\n")) buffer_.Consume(2);
  return !buffer_.unread().empty() && buffer_.unread() != "\r";
}

Session::Next Session::BeginHead() {
  closes_ = linger_ = false;
  to_head_ = false;
  parser_.Reset();
  if (HasBegun()) return ParseHead(true);
  if (worker_.closes_idle()) return Next::kClose;
  Await(Phase::kIdle, worker_.rules().policy().settings().timeouts.idle);
  return Next::kRead;
}

// A connection has room of its own once it had a request. What is read elsewhere is used before
// anybody else reads, so all others read to the same place.
std::span<char> Session::HeadRoom() {
  constexpr std::size_t kLeast = 512;
  const std::span<char> own = buffer_.FreeRoom();
  return own.size() >= kLeast ? own : worker_.scratch();
}

void Session::KeepHeadBytes(std::span<char> bytes) {
  if (bytes.data() == worker_.scratch().data()) {
    buffer_.Append({bytes.data(), bytes.size()});
  } else {
    buffer_.Filled(bytes.size());
  }
}

Session::Next Session::TakeHeadBytes(int error) {
  const bool begun = phase_ == Phase::kHead;
  // A byte that came in the turn in which the time was up does not buy more of it.
  if (error == net::kNoError && !(expired_ && begun)) {
    if (aborted_) return Next::kClose;
    return begun || HasBegun() ? ParseHead(!begun) : Next::kRead;
  }
  if (!expired_) return Next::kClose;
  worker_.counters().Add(begun ? Event::kHeaderTimeouts : Event::kIdleTimeouts);
  if (!begun) return Next::kClose;
  state_ = worker_.states().Take();
  Fill({.status = 408, .detail = "The request's head took too long. Send it at once."},
       worker_.now(), false);
  return Next::kAnswer;
}

Session::Next Session::ParseHead(bool begins) {
  if (begins && worker_.logs_access()) BeginAccess();
  state_ = worker_.states().Take();
  const wire::ParseState parsed = parser_.Parse(buffer_.unread(), state_->head);
  if (parsed == wire::ParseState::kDone) {
    AwaitNothing();
    expired_ = false;  // Of what was waited for before.
    return Next::kForward;
  }
  if (parsed == wire::ParseState::kRefused) {
    worker_.counters().Add(Event::kRequests);
    state_->head.minor_version = 1;  // Nothing that was read can be relied on.
    Refuse(parser_.refusal());
    return Next::kAnswer;
  }
  worker_.states().Return(std::move(state_));
  // Absolute from the first byte on, however slowly the others drip.
  if (begins) Await(Phase::kHead, worker_.rules().policy().settings().timeouts.header);
  return Next::kRead;
}

Session::Next Session::TakeHead(std::string_view& query) {
  worker_.counters().Add(Event::kRequests);
  to_head_ = state_->head.method == "HEAD";
  on_mcp_ = outlives_client_ = false;
  const Next next = Locate(query);
  if (notes_access_) NoteHead(next == Next::kForward);
  // A refusal ends the connection, and what it does not read of it is no request.
  if (next != Next::kForward) buffer_.Consume(state_->head.size);
  return next;
}

void Session::Refuse(const wire::Refusal& refusal) {
  worker_.counters().Add(Event::kRefusedFraming);
  Fill(wire::ProblemOf(refusal), worker_.now(), false);
}

net::Task<bool> Session::Answer(AnswerOptions options) {
  Fill({.status = options.status, .detail = options.detail}, worker_.now(),
       options.keep_alive && !worker_.draining());
  const bool written = co_await Write(net::Pieces(state_->out));
  NoteWhole(written);
  co_return written && !closes_;
}

void Session::Fill(const wire::Problem& problem, Now now, bool keep_alive) {
  // The body's length comes before it: formatted into a string of its own that keeps its room.
  thread_local std::string body;
  body.clear();
  wire::AppendProblem(problem, body);
  FillWith(problem.status, wire::kProblemContentType, body, now, keep_alive);
}

void Session::FillWith(std::uint16_t status, std::string_view content_type, std::string_view body,
                       Now now, bool keep_alive) {
  closes_ = linger_ = !keep_alive;
  state_->out.clear();
  AppendOwnAnswer({.status = status,
                   .content_type = content_type,
                   .body = body,
                   .quota = state_->quota,
                   .date = worker_.Date(now),
                   .request_id_header = worker_.settings().request_id,
                   .request_id = request_id(),
                   .keep_alive = keep_alive,
                   .to_head = to_head_,
                   .client_minor = state_->head.minor_version},
                  state_->out);
  CountResponse(status);
}

Request Session::ReadRequest(const engine::Ruleset& rules, Now now) {
  const bool folds = rules.policy().settings().mcp.Fold(state_->path, state_->folded_path);
  const Request request = state_->reader.Read(rules.policy(), worker_.VouchersAt(now),
                                              {.peer = peer_,
                                               .method = state_->head.method,
                                               .path = folds ? state_->folded_path : state_->path,
                                               .authority = state_->head.authority,
                                               .fields = state_->head.fields()});
  TakeRequestId(rules.policy().settings().request_id);
  return request;
}

// A proxy that is trusted may have named the request before us.
void Session::TakeRequestId(std::string_view header) {
  constexpr std::size_t kMostBytes = 128;
  if (header.empty() || !state_->reader.client().peer_trusted || !state_->request_id.empty())
    return;
  const std::string_view named = state_->head.Find(header).value_or(std::string_view());
  const bool usable = !named.empty() && named.size() <= kMostBytes &&
                      std::ranges::all_of(named, [](char c) { return c > ' ' && c < 0x7F; });
  if (usable) state_->request_id = named;
}

std::optional<Decision> Session::Decide(const engine::Ruleset& rules, Now now) {
  Request request = ReadRequest(rules, now);
  const policy::Mcp& mcp = rules.policy().settings().mcp;
  on_mcp_ = mcp.IsAt(request.path);  // Folded already, where it had to be.
  if (on_mcp_) {
    const std::string_view accept = state_->head.Find("accept").value_or(std::string_view());
    mcp.Classify(request, accept.contains("text/event-stream"));
  }
  max_body_ = rules.policy().MaxBody(request);
  const std::optional<Decision> decision = worker_.Decide(rules, request, now, state_->leases);
  if (decision) worker_.fields().Append(rules, {&request, 1}, *decision, now, state_->quota);
  return decision;
}

Session::Next Session::Locate(std::string_view& query) {
  state_->path.clear();
  const auto located = wire::LocateTarget(state_->head, state_->path);
  if (located) {
    query = *located;
    return Next::kForward;
  }
  Refuse(located.error());
  return Next::kAnswer;
}

Session::Next Session::Judge() {
  const Now now = worker_.now();
  std::optional<Decision> decision;
  const engine::Ruleset* rules = nullptr;
  // Again only where a reload moved the rules' tables in that moment.
  while (!decision) {
    rules = &worker_.rules();
    decision = Decide(*rules, now);
  }
  if (notes_access_) NoteDecision(*rules, *decision);
  if (!decision->allowed()) return Deny(*rules, *decision, now);
  if (max_body_ > 0 && state_->head.content_length.value_or(0) > max_body_) {
    GiveBackLeases();
    worker_.counters().Add(Event::kRefusedBody);
    Fill({.status = 413, .detail = "The request's body is larger than this server takes."}, now,
         false);
    return Next::kAnswer;
  }
  return state_->head.max_forwards == 0U ? AnswerAsLast(now) : Next::kForward;
}

// Whether the denied request's body is out of the way, so that the next one can be read.
bool Session::SkipBody() {
  switch (state_->head.framing) {
    case wire::Framing::kNone:
      return true;
    case wire::Framing::kLength:
      if (state_->head.expect_continue && buffer_.unread().empty()) return false;
      if (*state_->head.content_length > buffer_.unread().size()) return false;
      buffer_.Consume(static_cast<std::size_t>(*state_->head.content_length));
      return true;
    case wire::Framing::kChunked:
    case wire::Framing::kUntilClose:
      break;
  }
  return false;
}

Session::Next Session::Deny(const engine::Ruleset& rules, const Decision& decision, Now now) {
  worker_.TellDenial(rules, decision, now);
  if (http::IsDropped(rules, decision)) return Next::kClose;
  const wire::Problem problem = http::ProblemOf(rules, decision, worker_.fields());
  const bool whole = SkipBody();
  Fill(problem, now, whole && state_->head.keep_alive && !worker_.draining());
  linger_ = linger_ && !(whole && buffer_.unread().empty());  // Nothing comes any more.
  return Next::kAnswer;
}

// A socket that is closed while bytes lie unread sends a reset, and that may overtake the answer:
// so the answer's end is told first, and what still comes is thrown away for a moment.
net::Task<void> Session::Linger() {
  constexpr std::chrono::seconds kLonger{2};
  constexpr std::size_t kMost = std::size_t{1} << 20U;
  socket_.ShutdownSend();
  Await(Phase::kBody, kLonger);
  std::size_t thrown = 0;
  while (thrown < kMost && !expired_) {
    buffer_.Consume(buffer_.unread().size());
    const bool filled = co_await ReadMore();
    if (!filled) break;
    thrown += buffer_.unread().size();
  }
}

}  // namespace sluicegate::gateway
