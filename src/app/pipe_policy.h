// A policy where messages come over a pipe. Pure.
#pragma once

#include "app/policy_source.h"
#include "policy/config.h"

namespace sluicegate::app {

/// state.memory of a policy that says nothing of memory and has no state file: one client needs
/// little, and each wrapped server has a table of its own.
inline constexpr char kPipeMemory[] = "8MiB";

void FitToPipe(policy::Config& config);

/// A line for each rule that never holds on a pipe, since it asks for what no message there has: a
/// path, a method of HTTP, a host or a field.
[[nodiscard]] Lines NotesOnPipe(const policy::Config& config);

}  // namespace sluicegate::app
