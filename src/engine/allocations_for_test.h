// Counts the allocations of the program that links it. Thread-safe.
#pragma once

#include <cstdint>

namespace sluicegate::engine {

[[nodiscard]] std::uint64_t AllocationsSoFar() noexcept;

}  // namespace sluicegate::engine
