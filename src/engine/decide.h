// The heart: may these claims all be charged at once? Takes the limits and tables apart from any
// policy, so that the engine (many rules) and the library's Limiter (one) share it.
#pragma once

#include <cstdint>
#include <expected>
#include <span>

#include "policy/rule.h"
#include "sluicegate/decision.h"
#include "table/table.h"

namespace sluicegate::engine {

/// A rule asks its table, its leases, its ceilings and its table of parents.
inline constexpr std::size_t kMaxClaims = policy::kMaxMatches * (3 + policy::kMaxCeilings);

/// One table's part of a decision: this key, on these limits, for this many units.
struct Claim {
  table::Table* table = nullptr;
  const policy::Layout* layout = nullptr;  ///< Of the table's slots: weighs a bucket's other keys.
  std::span<const policy::BoundLimit> limits;  ///< What is asked, and charged.
  std::uint64_t hash = 0;
  std::uint64_t cost = 1;        ///< Units; 0 peeks.
  std::uint16_t rule = 0;        ///< For Decision::rule.
  std::uint8_t variant = 0;      ///< Of the layout; for Decision::variant and the stamp.
  bool shared = false;           ///< Charged to a network or to all: not one client's doing.
  std::uint8_t shared_bits = 0;  ///< For Decision::shared_bits.
  std::uint8_t stands_in = 0;    ///< Why a network stands in for its client: a Count; 0: no.
  /// Units in flight: a key that has some out is never evicted, so where all places are taken by
  /// such keys this one has none.
  bool lease = false;

  std::uint8_t denied = 0;       ///< Out: bit i: the limit of index i had no room.
  bool entered = false;          ///< Out: the key was absent and was charged.
  std::uint64_t blocked_ns = 0;  ///< Out: the key was evicted at a limit and must stay away.
};

/// Why claims could not be decided; nothing was charged then.
enum class Hindrance : std::uint8_t {
  kNone,
  kSealed,   ///< A table has moved: ask again under the newest ruleset.
  kStuck,    ///< The bucket of the claim `Attempt::claim` is held by a process that is stopped.
  kCrowded,  ///< The claim `Attempt::claim` is a lease and has no place.
};

struct Attempt {
  Hindrance hindrance = Hindrance::kNone;
  std::size_t claim = 0;
};

/// Decides over all claims: charges every limit of every one, or none. Thread-safe. Allocates
/// nothing. REQUIRES: at most kMaxClaims claims, in the order of Table::id(), each with a table of
/// its own. Nothing is written to `decision` where the claims are hindered. `stamps`, where not
/// empty, gets a stamp a claim if the decision is allowed. REQUIRES: as long as `claims` then.
[[nodiscard]] Attempt DecideClaims(std::span<Claim> claims, Now now, Decision& decision,
                                   std::span<Stamp> stamps = {}) noexcept;

/// Until all claims fit at once, as far as their limits go; 0: now; Decision::kNever: one costs
/// more than a quota; or what hinders it. Charges nothing. Thread-safe. REQUIRES: as DecideClaims.
[[nodiscard]] std::expected<std::uint64_t, Hindrance> RetryAfterOf(std::span<const Claim> claims,
                                                                   Now now) noexcept;

/// What is told where what a client has left cannot be known, and the rule fails closed: to come
/// back soon. Which process keeps it from being known goes on or dies; nobody knows when.
[[nodiscard]] Decision Undecided() noexcept;

/// Gives a charge back to the slice that was charged, on every limit of its slot's limit set;
/// nothing if it expired or its slot has another key now, or if its bucket cannot be had: then it
/// stays charged. False: the table has moved. Thread-safe.
/// REQUIRES: `table.id() == charge.table`.
bool GiveBackCharge(table::Table& table, const policy::Layout& layout, const Stamp& charge,
                    Now now) noexcept;
/// Charges anew from `now` on what `charge` says, in its place: of units in flight that outlast
/// their lease. Otherwise as GiveBackCharge.
bool RenewCharge(table::Table& table, const policy::Layout& layout, Stamp& charge,
                 Now now) noexcept;

}  // namespace sluicegate::engine
