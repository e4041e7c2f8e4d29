// LiveState: what the processes of a policy's state file have counted, for commands that only look.
// It is a copy, so nothing that is asked of it changes anything. Bound to one thread.
#pragma once

#include <expected>
#include <memory>
#include <string>

#include "app/policy_source.h"
#include "engine/engine.h"
#include "table/state_file.h"

namespace sluicegate::app {

struct LiveState {
  table::StateFileReport report;
  std::shared_ptr<table::StateFile> copy;
  std::unique_ptr<engine::Engine> engine;  ///< Under the policy, as if it started now.
  Lines lines;                             ///< What it could not take over.

  [[nodiscard]] Now Read() const { return copy->ClockBy(SystemClock())->Read(); }
};

/// Whether there is a file to look at; `path` may be empty.
[[nodiscard]] bool IsThere(const std::string& path);
/// REQUIRES: the policy's state file is there. The error says why it cannot be used, as a start
/// would.
[[nodiscard]] std::expected<LiveState, std::string> LookAtState(
    std::shared_ptr<const policy::Policy> policy);

}  // namespace sluicegate::app
