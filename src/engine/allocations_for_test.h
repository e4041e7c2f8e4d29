// Counts the allocations of the program that links it. Thread-safe.
#pragma once

#include <cstdint>

// TSan's runtime brings functions of its own that cannot be replaced beside it.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SG_ALLOCATIONS_NOT_COUNTED
#endif
#endif

namespace sluicegate::engine {

/// REQUIRES: SG_ALLOCATIONS_NOT_COUNTED is not defined.
[[nodiscard]] std::uint64_t AllocationsSoFar() noexcept;

}  // namespace sluicegate::engine
