#include "gateway/request_state.h"

#include <cassert>
#include <utility>

namespace sluicegate::gateway {

std::unique_ptr<RequestState> RequestStates::Take() {
  if (free_.empty()) return std::make_unique<RequestState>();
  std::unique_ptr<RequestState> state = std::move(free_.back());
  free_.pop_back();
  return state;
}

void RequestStates::Return(std::unique_ptr<RequestState> state) {
  assert(state->leases.empty());
  if (free_.size() == kMostKept) return;
  state->request_id.clear();
  state->quota.Clear();
  for (std::string* text : {&state->chunks, &state->out}) {
    if (text->capacity() > kMostBytes) *text = std::string();
  }
  free_.push_back(std::move(state));
}

}  // namespace sluicegate::gateway
