// LimiterOptions: what a Limiter needs beside its limits. Value types.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "sluicegate/time.h"

namespace sluicegate {

/// A ban that violations earn.
struct Penalty {
  /// So many within this time begin a ban: a token bucket, so a violation is forgotten each
  /// `within / violations`.
  std::uint64_t violations = 5;
  Duration within = std::chrono::minutes(1);
  Duration ban = std::chrono::minutes(5);
};

/// What a limiter needs beside its limits.
struct LimiterOptions {
  std::size_t memory_bytes = std::size_t{16} << 20U;  ///< For all keys together, taken at once.
  const Clock* clock = nullptr;  ///< Null: SystemClock(). Must outlive the limiter.
  /// A file that holds its keys instead: of all processes that name it, past their ends and the
  /// machine's next start. Empty: in memory. See doc/library.md, "Several processes".
  std::string state_file = {};
  std::string name = "limiter";  ///< In the file: limiters of one name count together.
  /// Whether a key whose state a stopped process holds is allowed, instead of denied for a second.
  bool fails_open = false;
  /// What RecordViolation counts towards. None: it does nothing.
  std::optional<Penalty> penalty = std::nullopt;
};

}  // namespace sluicegate
