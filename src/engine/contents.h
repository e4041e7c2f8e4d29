// What a region of a state file holds, seen without the policy that made it. For people: it looks
// at every bucket, so at a copy of the file (table::StateFile::OpenCopy).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "sluicegate/time.h"
#include "table/state_file.h"

namespace sluicegate::engine {

struct Contents {
  enum class Kind : std::uint8_t { kKeys, kBans, kSketch, kWindowCounts };
  Kind kind = Kind::kKeys;
  std::string limits;  ///< Of keys: the names of their limits, "per-minute, burst".
  /// Keys with something in use, or offenders, or keys in running windows; not of a sketch.
  std::uint64_t live = 0;
  std::uint64_t capacity = 0;     ///< As many fit. Not of a sketch.
  std::uint64_t gave_way = 0;     ///< Of keys: since the region was made, for want of room.
  std::uint64_t forgotten = 0;    ///< Of these, offenders that nobody remembers.
  std::uint32_t refused_ppm = 0;  ///< Of a sketch: newcomers that it refuses, in millionths.
};

/// Nothing: it is of no kind that this program makes.
[[nodiscard]] std::optional<Contents> LookInto(const table::StateFile::Region& region,
                                               table::Owners& owners, Now now);

}  // namespace sluicegate::engine
