// The seed of random tests: SLUICEGATE_SEED, or a constant. Print it with SCOPED_TRACE.
#pragma once

#include <cstdint>
#include <cstdlib>

namespace sluicegate {

inline std::uint64_t SeedForTest() {
  const char* seed = std::getenv("SLUICEGATE_SEED");
  return seed == nullptr ? 20'261'124 : std::strtoull(seed, nullptr, 10);
}

}  // namespace sluicegate
