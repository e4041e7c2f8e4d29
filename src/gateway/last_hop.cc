// Session's part for an OPTIONS or TRACE that may not go on: the gateway is its last recipient (RFC
// 9110 section 7.6.2), and answers for itself alone.
#include "gateway/session.h"

namespace sluicegate::gateway {

Session::Next Session::AnswerAsLast(Now now) {
  const bool traces = state_->head.method == "TRACE";
  const bool whole = SkipBody();
  const bool keep_alive = whole && state_->head.keep_alive && !worker_.draining();
  GiveBackLeases();
  if (traces) {
    // An echo would show what proxies added, and to scripts the cookies that are not for them.
    Fill({.status = 501, .detail = "TRACE is not answered here. Raise Max-Forwards, or send none."},
         now, keep_alive);
  } else {
    FillWith(200, {}, {}, now, keep_alive);
  }
  return Next::kAnswer;
}

}  // namespace sluicegate::gateway
