// The heart: may these claims all be charged at once? Takes the limits and tables apart from any
// policy, so that the engine (many rules) and the library's Limiter (one) share it.
#pragma once

#include <cstdint>
#include <span>

#include "limit/compiled_limit.h"
#include "policy/policy.h"
#include "sluicegate/decision.h"
#include "table/table.h"

namespace sluicegate::engine {

/// One rule's part of a decision: this key, on these limits, for this many units.
struct Claim {
  table::Table* table = nullptr;
  const policy::LimitSet* limits = nullptr;
  std::span<const policy::LimitSet>
      variants;  ///< All of the rule's: to weigh a bucket's other keys.
  std::uint64_t hash = 0;
  std::uint64_t ban_hash = 0;  ///< For bans: the same client's whatever limits it has.
  std::uint64_t cost = 1;      ///< Units; 0 peeks.
  std::uint16_t rule = 0;      ///< For Decision::rule.
  std::uint8_t variant = 0;    ///< For Decision::variant and the stamp.
  std::uint8_t denied = 0;     ///< Out: bit i: this claim's limit i had no room.
};

/// Decides over all claims: charges every limit of every one, or none. Thread-safe. Allocates
/// nothing. REQUIRES: at most policy::kMaxRules claims, in the order of Table::id(), each with a
/// table of its own. `stamps`, where not empty, gets a stamp a claim if the decision is allowed.
/// REQUIRES: as long as `claims` then.
[[nodiscard]] Decision DecideClaims(std::span<Claim> claims, Now now,
                                    std::span<Stamp> stamps = {}) noexcept;

/// Until all claims fit at once, as far as their limits go; 0: now; Decision::kNever: one costs
/// more than a quota. Charges nothing. Thread-safe. REQUIRES: as DecideClaims.
[[nodiscard]] std::uint64_t RetryAfterOf(std::span<const Claim> claims, Now now) noexcept;

/// Gives a charge back to the slice that was charged, on every limit of `limits`; nothing if it
/// expired or its slot has another key now. Thread-safe. REQUIRES: `table.id() == charge.table`.
void GiveBackCharge(table::Table& table, const policy::LimitSet& limits, const Stamp& charge,
                    Now now) noexcept;

}  // namespace sluicegate::engine
