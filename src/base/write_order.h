// WriteOrder: what a process that is killed between two writes has written. Pure.
//
// A process dies between two of its instructions, and what it wrote before reaches everybody. So
// for state that outlives a process it is enough that the compiler keeps the order: the core does.
#pragma once

#include <atomic>

namespace sluicegate {

/// What is written before this is written before what comes after.
inline void KeepWriteOrder() noexcept { std::atomic_signal_fence(std::memory_order_seq_cst); }

}  // namespace sluicegate
