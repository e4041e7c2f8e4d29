// Faults of the engine that the simulator has found and that are not mended yet: it goes round
// them, so that it finds others. Set one to false with its mend.
#pragma once

namespace sluicegate::sim::unmended {

/// A limit of requests in flight with another name takes over from the first of them, also where
/// another has its lease: what that one counts is lost.
inline constexpr bool kRenamedLeaseTakesTheFirst = true;

/// Where a tightened limit of requests in flight gets another lease, those beyond its quota are
/// lost.
inline constexpr bool kLeasesBeyondTheQuotaAreLost = true;

/// A request that outlasted its lease, and is over after a reload that made leases longer, ends
/// another one's.
inline constexpr bool kLateReleaseEndsAnothers = true;

}  // namespace sluicegate::sim::unmended
