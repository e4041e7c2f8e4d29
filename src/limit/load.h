// What a limit tells of a key beside its remaining units. Value types.
#pragma once

#include <algorithm>
#include <cstdint>

#include "limit/saturating.h"

namespace sluicegate::limit {

/// What comes back when.
struct Times {
  std::uint64_t hold_ns = 0;         ///< Until the next unit comes back; 0 if all are there.
  std::uint64_t reset_after_ns = 0;  ///< Until the state is as if never used.
};

/// How full a limit is, for choosing a victim.
struct Load {
  std::uint32_t used_ppm =
      0;  ///< used / quota in millionths, rounded down; 1'000'000 and more: at the limit.
  std::uint64_t clears_after_ns =
      0;  ///< Until the state is as if never used; 0: it may be dropped freely.
};

/// used / quota in millionths, rounded down, at most 2^32 - 2 (the last value marks slots that must
/// stay). Pure. REQUIRES: quota > 0.
[[nodiscard]] inline std::uint32_t ShareOf(std::uint64_t used, std::uint64_t quota) noexcept {
  // A division of 128 bits is a call of some 30 ns, and every slot of a full bucket is weighed.
  if (used <= kMaxU64 / 1'000'000) {
    return static_cast<std::uint32_t>(
        std::min<std::uint64_t>(used * 1'000'000 / quota, 0xFFFF'FFFEU));
  }
  const auto share = static_cast<unsigned __int128>(used) * 1'000'000 / quota;
  return static_cast<std::uint32_t>(std::min<unsigned __int128>(share, 0xFFFF'FFFEU));
}

}  // namespace sluicegate::limit
