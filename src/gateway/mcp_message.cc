// Session's part for messages of MCP: a POST whose body says what is asked, so that it is read and
// understood before anything is decided.
#include <algorithm>
#include <utility>

#include "gateway/heads.h"
#include "gateway/session.h"
#include "http/denial.h"
#include "wire/mcp_answer.h"
#include "wire/path.h"

namespace sluicegate::gateway {
namespace {

constexpr std::string_view kJson = "application/json";
constexpr std::uint64_t kMostFraming = std::uint64_t{64} * 1024;

bool IsUtf8(std::string_view parameter) {
  static constexpr std::string_view kUtf8[] = {"charset=utf-8", "charset=\"utf-8\"",
                                               "charset=utf8"};
  return std::ranges::any_of(kUtf8, [parameter](std::string_view utf8) {
    return wire::EqualsIgnoreCase(parameter, utf8);
  });
}

// Whether a server may read other characters than the bytes are: it would run another message.
bool HasOtherCharset(std::string_view type) {
  constexpr std::string_view kCharset = "charset";
  unsigned charsets = 0;
  for (std::size_t semicolon = type.find(';'); semicolon != std::string_view::npos;) {
    type.remove_prefix(semicolon + 1);
    semicolon = type.find(';');
    const std::string_view parameter = wire::syntax::Trim(type.substr(0, semicolon));
    const auto found = std::ranges::search(parameter, kCharset, {}, wire::syntax::ToLower);
    if (found.empty()) continue;
    if (++charsets > 1 || !IsUtf8(parameter)) return true;
  }
  return false;
}

bool IsPlain(const wire::RequestHead& head) {
  unsigned types = 0;
  for (const wire::Field& field : head.fields()) {
    if (wire::EqualsIgnoreCase(field.name, "content-encoding")) {
      if (!field.value.empty() && !wire::EqualsIgnoreCase(field.value, "identity")) return false;
    } else if (wire::EqualsIgnoreCase(field.name, "content-type")) {
      if (++types > 1 || HasOtherCharset(field.value)) return false;
    }
  }
  return true;
}

}  // namespace

bool Session::BringsMessage() {
  return state_->head.method == "POST" &&
         worker_.rules().policy().settings().mcp.IsAt(state_->path);
}

net::Task<Session::Next> Session::ReadMessage(std::string_view& query) {
  on_mcp_ = true;
  const engine::Ruleset& rules = worker_.rules();
  const Now now = worker_.now();
  const Request sender = ReadRequest(rules, now);
  // A flood is turned away unread.
  if (const auto ban = worker_.FindBan(rules, sender, now)) {
    buffer_.Consume(state_->head.size);
    if (notes_access_) NoteDecision(rules, *ban);
    worker_.fields().Append(rules, {&sender, 1}, *ban, now, state_->quota);
    co_return Deny(rules, *ban, now);
  }
  if (!IsPlain(state_->head)) {
    co_return RefuseMessage(
        415,
        "A message of MCP comes as plain UTF-8: with one Content-Type, no charset "
        "but utf-8, and no Content-Encoding. Send it so.");
  }
  std::uint64_t max_bytes = rules.policy().settings().mcp.max_message;
  if (const std::uint64_t max_body = rules.policy().MaxBody(sender); max_body > 0) {
    max_bytes = std::min(max_bytes, max_body);
  }
  const char* const before = buffer_.unread().data();
  const Next next = co_await ReadMessageBody(max_bytes);
  if (next != Next::kForward) co_return next;
  buffer_.Pad(wire::kMcpPadding);
  if (buffer_.unread().data() != before) {  // The bytes moved, and the head views them.
    parser_.Reset();
    if (parser_.Parse(buffer_.unread(), state_->head) != wire::ParseState::kDone)
      co_return Next::kClose;
    if (Locate(query) != Next::kForward) co_return Next::kAnswer;
  }
  buffer_.Consume(state_->head.size);
  if (state_->head.framing == wire::Framing::kChunked) {
    buffer_.ReplaceFront(chunk_bytes_, state_->chunks);
    state_->head.framing = wire::Framing::kLength;  // It goes on as one piece.
    state_->head.content_length = state_->chunks.size();
  }
  co_return JudgeMessage();
}

net::Task<Session::Next> Session::ReadMessageBody(std::uint64_t max_bytes) {
  const bool chunked = state_->head.framing == wire::Framing::kChunked;
  const std::size_t head_bytes = state_->head.size;
  const std::uint64_t length = state_->head.content_length.value_or(0);
  const Duration idle = worker_.settings().timeouts.idle;
  state_->chunks.clear();
  chunk_bytes_ = 0;
  state_->dechunker = {};
  if (!chunked && length > max_bytes) {
    co_return RefuseMessage(413,
                            "The message is larger than this server takes. Send less at once.");
  }
  if (state_->head.expect_continue && buffer_.unread().size() == head_bytes) {
    const bool invited = co_await Write(net::Pieces(kContinue));
    if (!invited) co_return Next::kClose;
  }
  Pace pace(worker_.settings().connections.body_rate, kBodyWindow, idle);
  for (;;) {
    if (chunked) {
      if (const auto next = TakeChunks(max_bytes)) co_return *next;
    } else if (buffer_.unread().size() - head_bytes >= length) {
      co_return Next::kForward;
    }
    const std::size_t before = buffer_.unread().size();
    Await(Phase::kBody, pace.Begin(worker_.now().engine_ns));
    const bool filled = co_await ReadMore();
    const bool expired = expired_;
    AwaitNothing();
    const std::size_t bytes = buffer_.unread().size() - before;
    NoteProgress(bytes);
    if (filled && pace.End(worker_.now().engine_ns, bytes)) continue;
    if (!filled && expired && pace.Expire(worker_.now().engine_ns, 0)) continue;
    if (!filled && !expired) {
      co_return RefuseMessage(400, "The message ended before its end. Send all of it.");
    }
    worker_.counters().Add(Event::kSlowBodies);
    co_return RefuseMessage(408,
                            "The message came too slowly, or stopped coming. Send it at once.");
  }
}

// What of the body is there already. Nothing: there is more to come.
std::optional<Session::Next> Session::TakeChunks(std::uint64_t max_bytes) {
  const std::size_t head_bytes = state_->head.size;
  for (;;) {
    const std::string_view bytes = buffer_.unread().substr(head_bytes + chunk_bytes_);
    if (bytes.empty()) return std::nullopt;
    const wire::ChunkedDecoder::Step step = state_->dechunker.Read(bytes);
    if (step.state == wire::ParseState::kRefused) {
      Refuse(state_->dechunker.refusal());
      return Next::kAnswer;
    }
    state_->chunks += step.payload;
    chunk_bytes_ += step.consumed;
    // Sizes and line ends count, too: tiny chunks take many times what they say.
    const bool framed = chunk_bytes_ > 2 * max_bytes + kMostFraming;
    if (state_->chunks.size() > max_bytes || framed) {
      return RefuseMessage(413,
                           "The message is larger than this server takes, or in too small chunks. "
                           "Send less at once.");
    }
    if (step.state == wire::ParseState::kDone) return Next::kForward;
  }
}

Session::Next Session::JudgeMessage() {
  const std::string_view text =
      buffer_.unread().substr(0, static_cast<std::size_t>(state_->head.content_length.value_or(0)));
  const Now now = worker_.now();
  http::McpJudge& mcp = worker_.mcp();
  const engine::Ruleset* rules = nullptr;
  std::optional<Decision> decision;
  // Again only where a reload moved the rules' tables in that moment.
  while (!decision) {
    rules = &worker_.rules();
    const Request sender = ReadRequest(*rules, now);
    max_body_ = 0;  // It is known by now.
    if (const auto refusal = mcp.Read(text, rules->policy(), state_->head.fields())) {
      worker_.counters().Add(Event::kRefusedMessages);
      FillMessage(*refusal, now, state_->head.keep_alive && !worker_.draining());
      buffer_.Consume(text.size());
      return Next::kAnswer;
    }
    decision = worker_.DecideMessages(*rules, sender, now, state_->leases);
    if (decision) {
      worker_.fields().Append(*rules, mcp.requests(), *decision, now, state_->quota);
    }
  }
  if (notes_access_) {
    NoteDecision(*rules, *decision);
    NoteMessage(mcp.requests().front(), text.size());
  }
  outlives_client_ = !mcp.is_modern();
  if (decision->allowed()) return Next::kForward;
  worker_.TellDenial(*rules, *decision, now);
  if (http::IsDropped(*rules, *decision)) return Next::kClose;
  const http::McpAnswer answer = mcp.Deny(*rules, *decision);
  if (answer.status != 429) state_->quota.Clear();
  FillMessage(answer, now, state_->head.keep_alive && !worker_.draining());
  buffer_.Consume(text.size());
  return Next::kAnswer;
}

// Its end was not read, so the connection ends with it.
Session::Next Session::RefuseMessage(std::uint16_t status, std::string_view detail) {
  if (status == 413) worker_.counters().Add(Event::kRefusedBody);
  http::McpAnswer answer{.status = status, .body = {}};
  wire::AppendMcpError("null", wire::kMcpInvalidRequest, detail, answer.body);
  FillMessage(answer, worker_.now(), false);
  return Next::kAnswer;
}

void Session::FillMessage(const http::McpAnswer& answer, Now now, bool keep_alive) {
  FillWith(answer.status, kJson, answer.body, now, keep_alive);
}

void Session::RenewLeases(Now now) {
  constexpr auto kEachNs = static_cast<std::uint64_t>(kRenewal.count());
  if (!on_mcp_ || state_->leases.empty() || now.engine_ns < renewed_ns_ + kEachNs) return;
  renewed_ns_ = now.engine_ns;
  worker_.Renew(state_->leases);
}

}  // namespace sluicegate::gateway
