// Layout: what the slots of one table hold, limit set by limit set. A value type; immutable once
// built, so thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "limit/compiled_limit.h"
#include "sluicegate/limit.h"

namespace sluicegate::policy {

/// One limit as people know it.
struct RuleLimit {
  limit::CompiledLimit limit;
  std::string name;  ///< For fields and metrics: from the configuration, so never a client's words.
  Limit written;     ///< As the configuration has it, the refill resolved.
};

/// The limits that apply together: a rule's own, or an override's. In the file's order.
struct LimitSet {
  std::vector<RuleLimit> limits;
};

/// A limit where a decision meets it: nothing but its constants and the place of its state, so that
/// a decision touches no cold line.
struct BoundLimit {
  limit::CompiledLimit limit;
  std::uint32_t offset = 0;  ///< Bytes from the slot's first, a multiple of 8.
  std::uint32_t index = 0;   ///< In LimitSet::limits.
};
using BoundLimits = std::vector<BoundLimit>;

struct Layout {
  std::vector<BoundLimits> variants;  ///< As the rule's limit sets.
  std::size_t slot_bytes = 0;         ///< What the largest of them takes; 0: there is no table.

  /// The limits of `sets` one behind the other: those of requests in flight, or all others. They
  /// have a table of their own, as a lease must never be evicted.
  enum class Of : std::uint8_t { kRates, kLeases };
  [[nodiscard]] static Layout Lay(std::span<const LimitSet> sets, Of of);
};

}  // namespace sluicegate::policy
