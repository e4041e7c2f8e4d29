// The decision over claims, as templates: what decide.h declares for any number of them, and for
// one claim without a loop or a call, where the caller lets it be inlined. Included by those two
// only.
#pragma once

#include <algorithm>
#include <array>
#include <cassert>
#include <cstddef>
#include <new>
#include <span>

#include "engine/decide.h"
#include "engine/weigher.h"

// Every decision goes through these, and the compilers leave some of them as calls.
#define SG_INLINE [[gnu::always_inline]] inline

namespace sluicegate::engine {
namespace internal {

using policy::BoundLimit;
using table::Cell;

// One claim, or any number, each with one limit, or any number: most decisions have one of one, and
// loops that are known to run once are no loops.
template <std::size_t kExtent>
using ClaimSpan = std::span<Claim, kExtent>;

// Cells of all claims, locked one after the other and unlocked together. Room on the stack, built
// on demand: a zeroed array of all that could match would cost more than the decision.
template <std::size_t kExtent>
class LockedCells {
 public:
  explicit LockedCells(std::span<const Claim> claims) noexcept {
    for (const Claim& claim : claims) {
      const Cell* cell = new (&cells()[size_]) Cell(claim.table->Lock(claim.hash));
      ++size_;
      sealed_ |= cell->sealed();
    }
  }
  ~LockedCells() {
    while (size_ > 0) cells()[--size_].~Cell();
  }
  LockedCells(const LockedCells&) = delete;
  LockedCells& operator=(const LockedCells&) = delete;

  [[nodiscard]] Cell& operator[](std::size_t i) noexcept { return cells()[i]; }
  [[nodiscard]] bool sealed() const noexcept { return sealed_; }
  // REQUIRES: sealed(). A table that has moved first, as another one is asked for then.
  [[nodiscard]] Attempt Why() noexcept {
    Attempt why{.hindrance = Hindrance::kStuck};
    for (std::size_t i = size_; i > 0; --i) {
      const Cell& cell = cells()[i - 1];
      if (cell.sealed() && !cell.stuck()) return {.hindrance = Hindrance::kSealed};
      if (cell.stuck()) why.claim = i - 1;
    }
    return why;
  }

 private:
  [[nodiscard]] Cell* cells() noexcept {
    return std::launder(reinterpret_cast<Cell*>(room_.data()));
  }
  alignas(Cell) std::array<std::byte, sizeof(Cell) * kMaxClaims> room_;
  std::size_t size_ = 0;
  bool sealed_ = false;
};

template <>
class LockedCells<1> {
 public:
  explicit LockedCells(ClaimSpan<1> claims) noexcept
      : cell_(claims[0].table->Lock(claims[0].hash)) {}
  LockedCells(LockedCells&& other) noexcept = default;
  LockedCells& operator=(LockedCells&&) = delete;
  ~LockedCells() = default;

  [[nodiscard]] Cell& operator[](std::size_t /*i*/) noexcept { return cell_; }
  [[nodiscard]] bool sealed() const noexcept { return cell_.sealed(); }
  [[nodiscard]] Attempt Why() const noexcept {
    return {.hindrance = cell_.stuck() ? Hindrance::kStuck : Hindrance::kSealed};
  }

 private:
  Cell cell_;
};

// The limit that binds so far: denied, the one with the latest retry; else the one with the fewest
// remaining, a rate before one of requests in flight: how many more may run at this moment tells a
// client less than how many it may send.
struct Binding {
  std::size_t claim = 0;
  const BoundLimit* limit = nullptr;
  std::uint64_t remaining = ~std::uint64_t{0};
  std::uint64_t retry_after_ns = 0;
  bool tied = false;   // Another limit has as few remaining.
  bool lease = false;  // It is one of requests in flight.
  bool denied = false;
};

SG_INLINE void OfferRoom(Binding& binding, std::size_t claim, const BoundLimit& limit, bool lease,
                         std::uint64_t remaining) noexcept {
  if (binding.limit != nullptr && binding.lease != lease) {
    if (lease) return;
    binding = {};
  }
  if (remaining > binding.remaining) return;
  binding.tied = remaining == binding.remaining && binding.limit != nullptr;
  if (binding.tied) return;
  binding.claim = claim;
  binding.limit = &limit;
  binding.lease = lease;
  binding.remaining = remaining;
}

SG_INLINE void OfferDenial(Binding& binding, std::size_t claim, const BoundLimit& limit,
                           std::uint64_t remaining, std::uint64_t retry_after_ns) noexcept {
  if (binding.denied && retry_after_ns <= binding.retry_after_ns) return;
  binding = {.claim = claim,
             .limit = &limit,
             .remaining = remaining,
             .retry_after_ns = retry_after_ns,
             .denied = true};
}

static_assert(policy::kMaxLimitsPerRule <= 8, "a claim marks its limits in a byte");

// The longest that a limit is remembered: a window's slice and a tick of the sketch beyond it.
inline std::uint64_t ReachOf(const BoundLimit& limit) noexcept {
  constexpr std::uint64_t kTick = std::uint64_t{1} << table::BlockedSketch::kTickShift;
  const std::uint64_t window_ns = limit.limit.window_ns();
  return limit::AddSaturating(window_ns, window_ns / 15 + 1 + kTick);
}

// The sketch does not say at which limit a key was evicted: it can only have been one whose
// memory reaches that far, so the shortest of those is named.
inline const BoundLimit& BlockingLimit(std::span<const BoundLimit> limits,
                                       std::uint64_t blocked_ns) noexcept {
  const BoundLimit* best = &limits.front();
  for (const BoundLimit& limit : limits) {
    const bool reaches = ReachOf(limit) >= blocked_ns;
    const bool best_reaches = ReachOf(*best) >= blocked_ns;
    const bool shorter = limit.limit.window_ns() < best->limit.window_ns();
    if (reaches == best_reaches ? shorter == reaches : reaches) best = &limit;
  }
  return *best;
}

// A key that was evicted at a limit has nothing left until it is cleared.
inline void OfferBlocked(Binding& binding, Claim& claim, std::size_t i) noexcept {
  const BoundLimit& limit = BlockingLimit(claim.limits, claim.blocked_ns);
  if (claim.cost > 0) {
    claim.denied |= static_cast<std::uint8_t>(1U << limit.index);
    OfferDenial(binding, i, limit, 0, claim.blocked_ns);
  } else if (!binding.denied) {
    OfferRoom(binding, i, limit, false, 0);
  }
}

// All limits of a claim, or the only one.
template <std::size_t kLimits>
SG_INLINE std::span<const BoundLimit, kLimits> LimitsOf(const Claim& claim) noexcept {
  return std::span<const BoundLimit, kLimits>(claim.limits.data(), claim.limits.size());
}

template <std::size_t kLimits>
SG_INLINE void OfferClaim(Binding& binding, Claim& claim, std::size_t i, const std::byte* state,
                          Now now) noexcept {
  for (const BoundLimit& limit : LimitsOf<kLimits>(claim)) {
    const std::byte* at = state + limit.offset;
    const std::uint64_t remaining = limit.limit.Remaining(at, now);
    if (claim.cost > remaining) {
      claim.denied |= static_cast<std::uint8_t>(1U << limit.index);
      OfferDenial(binding, i, limit, remaining, limit.limit.RetryAfter(at, now, claim.cost));
    } else if (!binding.denied) {
      OfferRoom(binding, i, limit, claim.lease, remaining - claim.cost);
    }
  }
}

// Asks every limit of every claim. Marks those that have no room. A lease gets its place before
// anything is charged, as it may find none; an empty place is as good as free, so a denial leaves
// nothing behind. The claim that has none, or as many as there are.
template <std::size_t kExtent, std::size_t kLimits, bool kPresent>
SG_INLINE std::size_t FindBinding(Binding& binding, ClaimSpan<kExtent> claims,
                                  LockedCells<kExtent>& cells, Now now) noexcept {
  for (std::size_t i = 0; i < claims.size(); ++i) {
    Claim& claim = claims[i];
    claim.denied = 0;  // An attempt before this one may have been hindered.
    claim.blocked_ns = 0;
    if (!kPresent && !cells[i].present()) {
      if (claim.lease) {
        if (claim.cost > 0 && !cells[i].Claim(LeaseWeigher(*claim.layout), claim.variant, now)) {
          return i;
        }
      } else {
        claim.blocked_ns = claim.table->BlockedFor(claim.hash, now);
        if (claim.blocked_ns > 0) OfferBlocked(binding, claim, i);
      }
    }
    // Also of a blocked key: its cost may be above a quota, and then no wait helps.
    OfferClaim<kLimits>(binding, claim, i, cells[i].state(), now);
  }
  return claims.size();
}

template <std::size_t kExtent, std::size_t kLimits, bool kPresent>
SG_INLINE void ChargeAll(ClaimSpan<kExtent> claims, LockedCells<kExtent>& cells, Now now) noexcept {
  for (std::size_t i = 0; i < claims.size(); ++i) {
    Claim& claim = claims[i];
    if (claim.cost == 0) continue;
    if (!kPresent && !cells[i].present()) {
      claim.entered = cells[i].Claim(LimitWeigher(*claim.layout), claim.variant, now);
      assert(claim.entered);  // No rate's weight is ever pinned.
    }
    for (const BoundLimit& limit : LimitsOf<kLimits>(claim)) {
      limit.limit.Charge(cells[i].state() + limit.offset, now, claim.cost);
    }
  }
}

// Of the limits with `remaining` left the one with the longest hold, if that is longer than
// `longest_ns`.
inline const BoundLimit* FindLongestHold(std::span<const BoundLimit> limits, const std::byte* state,
                                         Now now, std::uint64_t remaining,
                                         std::uint64_t& longest_ns) noexcept {
  const BoundLimit* longest = nullptr;
  for (const BoundLimit& limit : limits) {
    const std::byte* at = state + limit.offset;
    if (limit.limit.Remaining(at, now) != remaining) continue;
    const std::uint64_t hold_ns = limit.limit.HoldFor(at, now);
    if (hold_ns <= longest_ns) continue;
    longest_ns = hold_ns;
    longest = &limit;
  }
  return longest;
}

// Among the limits with as few remaining, the longest hold binds: a client that waits for it has
// waited for all.
template <std::size_t kExtent>
SG_INLINE void SettleTie(Binding& binding, ClaimSpan<kExtent> claims, LockedCells<kExtent>& cells,
                         Now now) noexcept {
  std::uint64_t longest_ns = 0;
  for (std::size_t i = 0; i < claims.size(); ++i) {
    if (claims[i].lease != binding.lease) continue;
    const BoundLimit* limit =
        FindLongestHold(claims[i].limits, cells[i].state(), now, binding.remaining, longest_ns);
    if (limit == nullptr) continue;
    binding.claim = i;
    binding.limit = limit;
  }
}

template <bool kPresent>
SG_INLINE void WriteStamp(Stamp& stamp, const Claim& claim, const Cell& cell, Now now) noexcept {
  if (claim.cost == 0 || (!kPresent && !cell.present())) {
    stamp = {};
    return;
  }
  stamp.when = now;
  stamp.cost = claim.cost;
  stamp.hash = claim.hash;
  stamp.table = claim.table->id();
  stamp.variant = claim.variant;
  stamp.generation = cell.generation();
  stamp.lease = claim.lease;
}

// Field by field, as a whole one would be built elsewhere and copied.
template <std::size_t kExtent, bool kPresent>
SG_INLINE void Describe(Decision& decision, const Binding& binding, ClaimSpan<kExtent> claims,
                        LockedCells<kExtent>& cells, Now now) noexcept {
  const Claim& claim = claims[kExtent == 1 ? 0 : binding.claim];
  Cell& cell = cells[binding.claim];
  const BoundLimit& limit = *binding.limit;
  const std::uint64_t blocked_ns = kPresent ? 0 : claim.blocked_ns;
  // Before anything is written: to the compiler it might be the state.
  limit::Times times{.hold_ns = blocked_ns, .reset_after_ns = blocked_ns};
  if (blocked_ns == 0) {
    times = limit.limit.TimesOf(cell.state() + limit.offset, now, binding.remaining);
  }
  decision.verdict = binding.denied ? Verdict::kLimited : Verdict::kAllowed;
  decision.variant = claim.variant;
  decision.rule = claim.rule;
  decision.limit = static_cast<std::uint16_t>(limit.index);
  decision.denied_limits = 0;
  decision.shared_bits = claim.shared_bits;
  decision.quota = limit.limit.quota();
  decision.remaining = blocked_ns > 0 ? 0 : binding.remaining;
  decision.retry_after_ns = binding.retry_after_ns;
  decision.key_hash = claim.hash;
  decision.held = {};
  decision.hold_ns = times.hold_ns;
  decision.reset_after_ns = times.reset_after_ns;
  if (!binding.denied) {
    WriteStamp<kPresent>(decision.stamp, claim, cell, now);
    return;
  }
  decision.stamp = {};
  for (const Claim& one : claims) {
    const bool same = one.rule == claim.rule && one.variant == claim.variant &&
                      one.shared_bits == claim.shared_bits;
    if (same) decision.denied_limits |= one.denied;
  }
}

// kPresent: every key is in its table.
template <std::size_t kExtent, std::size_t kLimits, bool kPresent>
SG_INLINE Attempt DecideLocked(ClaimSpan<kExtent> claims, LockedCells<kExtent>& cells, Now now,
                               Decision& decision, std::span<Stamp> stamps) noexcept {
  Binding binding;
  const std::size_t placed = FindBinding<kExtent, kLimits, kPresent>(binding, claims, cells, now);
  if (placed < claims.size()) return {.hindrance = Hindrance::kCrowded, .claim = placed};
  if (!binding.denied) {
    ChargeAll<kExtent, kLimits, kPresent>(claims, cells, now);
    if (binding.tied) SettleTie<kExtent>(binding, claims, cells, now);
    for (std::size_t i = 0; i < stamps.size(); ++i) {
      WriteStamp<kPresent>(stamps[i], claims[i], cells[i], now);
    }
  }
  Describe<kExtent, kPresent>(decision, binding, claims, cells, now);
  return {};
}

// Apart, and with copies: what nobody else knows by its address stays in registers.
[[gnu::noinline]] inline Attempt DecideAbsent(Claim& claim, LockedCells<1> cells, Now now,
                                              Decision& decision,
                                              std::span<Stamp> stamps) noexcept {
  return DecideLocked<1, std::dynamic_extent, false>(ClaimSpan<1>(&claim, 1), cells, now, decision,
                                                     stamps);
}

template <std::size_t kExtent, std::size_t kLimits>
SG_INLINE Attempt DecideUpTo(ClaimSpan<kExtent> claims, Now now, Decision& decision,
                             std::span<Stamp> stamps) noexcept {
  LockedCells<kExtent> cells(claims);
  if (cells.sealed()) return cells.Why();
  if constexpr (kExtent == 1) {
    if (!cells[0].present()) {
      Claim absent = claims[0];
      const Attempt attempt = DecideAbsent(absent, std::move(cells), now, decision, stamps);
      claims[0] = absent;
      return attempt;
    }
    return DecideLocked<1, kLimits, true>(claims, cells, now, decision, stamps);
  } else {
    return DecideLocked<kExtent, kLimits, false>(claims, cells, now, decision, stamps);
  }
}

}  // namespace internal
}  // namespace sluicegate::engine

#undef SG_INLINE
