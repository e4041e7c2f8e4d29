// How many keys a rule's memory holds at once: what `check` tells, and what the compiler refuses
// when it is none. The arithmetic is the table's (12 slots a bucket behind a line of 64 bytes,
// whole lines) and is checked against it by a test. Pure.
#pragma once

#include <cstdint>

#include "policy/rule.h"

namespace sluicegate::policy {

/// Live keys that the rule's table has room for; 0 for a rule that is off.
[[nodiscard]] std::uint64_t LiveKeys(const Rule& rule) noexcept;

/// The least memory with which the rule holds a key at all.
[[nodiscard]] std::uint64_t LeastMemory(const Rule& rule) noexcept;

}  // namespace sluicegate::policy
