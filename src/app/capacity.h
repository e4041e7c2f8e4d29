// How many keys a rule's memory holds, worked out without mapping it. Pure.
#pragma once

#include <cstdint>

#include "policy/rule.h"

namespace sluicegate::app {

/// Keys that the rule remembers at the same time; 0 for a rule that is off. The arithmetic of
/// table/ and engine/ (a penalty takes an eighth of the memory), which a test compares.
[[nodiscard]] std::uint64_t KeysHeld(const policy::Rule& rule);

}  // namespace sluicegate::app
