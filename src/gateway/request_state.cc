#include "gateway/request_state.h"

#include <cassert>
#include <utility>

namespace sluicegate::gateway {

void RequestStates::Return(std::unique_ptr<RequestState> state) {
  assert(state->leases.empty());
  state->request_id.clear();
  state->quota.Clear();
  for (std::string* text : {&state->chunks, &state->out}) {
    if (text->capacity() > kMostBytes) *text = std::string();
  }
  free_.Return(std::move(state));
}

}  // namespace sluicegate::gateway
