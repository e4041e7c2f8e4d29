// Hammer: threads that ask one engine for the same few keys while another reshapes its tables
// without a pause. What the threads were admitted is written down and held against the bounds
// afterwards. Not repeatable bit by bit, as the machine orders the threads: the seed tells only
// what each one does. Made for the thread sanitizer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace sluicegate::sim {

struct HammerOptions {
  std::uint64_t seed = 0;
  unsigned threads = 4;
  unsigned milliseconds = 1000;  ///< Of real time.
};

struct HammerTally {
  std::uint64_t decisions = 0;
  std::uint64_t admitted = 0;
  std::uint64_t moved = 0;  ///< Decisions that met a table on its move and asked again.
  std::uint64_t reloads = 0;
};

/// What went wrong; nothing: all is well.
[[nodiscard]] std::optional<std::string> Hammer(const HammerOptions& options, HammerTally& tally);

}  // namespace sluicegate::sim
