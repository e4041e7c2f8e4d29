// How a rule's memory is divided among what it keeps, and how many keys that holds at once: what
// the engine makes, what `check` tells, and what the compiler refuses when it is none. The
// arithmetic of a table (12 slots a bucket behind a line of 64 bytes, whole lines) is checked
// against it by a test. Pure.
#pragma once

#include <cstddef>
#include <cstdint>

#include "policy/rule.h"

namespace sluicegate::policy {

/// Bytes; 0: the rule has none of it.
struct MemoryPlan {
  std::size_t table = 0;     ///< The keys and their rates.
  std::size_t sketch = 0;    ///< Offenders that the tables evicted.
  std::size_t leases = 0;    ///< Keys with requests in flight.
  std::size_t overflow = 0;  ///< The one key for leases that found no place.
  std::size_t bans = 0;      ///< Offenders.
  std::size_t parents = 0;   ///< Networks that stand in for their clients.
  std::size_t ceiling = 0;   ///< Networks under a ceiling, for each ceiling.
};

/// What divides the memory. A value type.
struct MemoryNeeds {
  std::size_t memory = 0;
  bool tagged = false;          ///< Slots remember their limit set.
  std::size_t rates_bytes = 0;  ///< Of a slot, here and below; 0: none.
  std::size_t leases_bytes = 0;
  std::size_t parents_bytes = 0;
  std::size_t ceilings = 0;
  std::size_t ceiling_bytes = 0;  ///< The largest: more units may take more bytes.
  bool bans = false;
  std::uint32_t sketch_ppm = 0;  ///< The part of the memory that the sketch takes, in millionths.
};
/// A quarter.
inline constexpr std::uint32_t kDefaultSketchPpm = 250'000;

[[nodiscard]] MemoryPlan PlanMemory(const MemoryNeeds& needs) noexcept;
/// All nothing for a rule that is off.
[[nodiscard]] MemoryPlan PlanMemory(const Rule& rule) noexcept;
/// The least memory that holds a key at all.
[[nodiscard]] std::size_t LeastMemory(const MemoryNeeds& needs) noexcept;

/// Live keys that the rule's table has room for (of a rule without rates: the table of leases); 0
/// for a rule that is off.
[[nodiscard]] std::uint64_t LiveKeys(const Rule& rule) noexcept;

/// Keys that may have requests in flight at once, each in a place of its own; 0 for a rule without
/// such limits, or that is off.
[[nodiscard]] std::uint64_t KeysInFlight(const Rule& rule) noexcept;

/// Offenders beyond these keys that the sketch remembers before it would refuse one in a hundred
/// newcomers; about, as it depends on how long each is to stay away. 0: it has none.
[[nodiscard]] std::uint64_t RememberedOffenders(const Rule& rule) noexcept;

/// The least memory with which the rule holds a key at all.
[[nodiscard]] std::size_t LeastMemory(const Rule& rule) noexcept;

}  // namespace sluicegate::policy
