// Faults of the engine that the simulator has found and that are not mended yet: it goes round
// them, so that it finds others. Set one to false with its mend.
#pragma once

namespace sluicegate::sim::unmended {

/// Where a tightened limit of requests in flight gets another lease, those beyond its quota are
/// lost.
inline constexpr bool kLeasesBeyondTheQuotaAreLost = true;

}  // namespace sluicegate::sim::unmended
