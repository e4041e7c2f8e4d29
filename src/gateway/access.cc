// Session's part for the access log: what it notes of a request while it is under way. Nothing of
// it runs where the log is off.
#include <algorithm>

#include "gateway/session.h"
#include "wire/trace_context.h"

namespace sluicegate::gateway {

void Session::BeginAccess() {
  notes_access_ = true;
  access_begun_ = worker_.now();
}

AccessRecord& Session::Noted() {
  RequestState& state = *state_;
  if (!state.access_begun) {
    if (state.access == nullptr) state.access = std::make_unique<AccessRecord>();
    state.access_begun = true;
    state.access->Clear();
    state.access->begun = access_begun_;
    state.access->tls = has_tls();
    state.sent_before = socket_.sent();
  }
  return *state.access;
}

void Session::NoteHead(bool located) {
  AccessRecord& record = Noted();
  const wire::RequestHead& head = state_->head;
  record.method = head.method.substr(0, AccessRecord::kMostMethod);
  record.host = head.authority.substr(0, AccessRecord::kMostName);
  // Of a path that was refused nobody knows where its query begins.
  if (located) record.path.assign(state_->path, 0, AccessRecord::kMostPath);
  record.request_bytes = head.content_length.value_or(0);
  record.trace_id = wire::FindTraceId(head.fields());
}

void Session::NoteDecision(const engine::Ruleset& rules, const Decision& decision) {
  AccessRecord& record = Noted();
  record.verdict = decision.verdict;
  if (decision.rule == Decision::kNone) return;
  record.rule = rules.policy().rules()[decision.rule].name();
  record.key_hash = decision.key_hash;
  if (const auto* const limit = rules.policy().BindingLimit(decision)) record.limit = limit->name;
}

void Session::NoteMessage(const Request& message, std::uint64_t bytes) {
  AccessRecord& record = Noted();
  record.mcp_method = message.mcp_method.substr(0, AccessRecord::kMostName);
  record.mcp_tool = message.mcp_tool.substr(0, AccessRecord::kMostName);
  record.request_bytes = bytes;
}

void Session::NoteUpstream(const UpstreamConnection& upstream, bool websocket) {
  if (!notes_access_) return;
  AccessRecord& record = Noted();
  record.upstream = upstream.target->url;
  record.upstream_reused = upstream.reused;
  record.websocket = websocket;
}

void Session::TellAccess() {
  AccessRecord& record = Noted();
  notes_access_ = false;
  if (!worker_.settings().request_id.empty()) record.request_id = request_id();
  const std::uint64_t now_ns = worker_.now().engine_ns;
  record.duration_ns = now_ns - std::min(now_ns, record.begun.engine_ns);
  record.response_bytes = socket_.sent() - state_->sent_before;
  state_->access_begun = false;
  worker_.TellAccess(record);
}

}  // namespace sluicegate::gateway
