// Time of a state file, which goes on over boots. Thread-safe.
#pragma once

#include <cstdint>
#include <memory>

#include "sluicegate/time.h"

namespace sluicegate::table {

/// The machine's clock, with so much added to its engine time. The machine's outlives it.
[[nodiscard]] std::unique_ptr<const Clock> MakeStateClock(const Clock& machine,
                                                          std::int64_t offset_ns);

}  // namespace sluicegate::table
