#include "engine/decide.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <new>

#include "engine/weigher.h"

namespace sluicegate::engine {
namespace {

using policy::LimitSet;
using policy::RuleLimit;
using table::Cell;

// Cells of all claims, locked one after the other and unlocked together. Room on the stack, built
// on demand: a zeroed array of all that could match would cost more than the decision.
class LockedCells {
 public:
  explicit LockedCells(std::span<const Claim> claims) noexcept {
    for (const Claim& claim : claims) {
      new (&cells()[size_]) Cell(claim.table->Lock(claim.hash));
      ++size_;
    }
  }
  ~LockedCells() {
    while (size_ > 0) cells()[--size_].~Cell();
  }
  LockedCells(const LockedCells&) = delete;
  LockedCells& operator=(const LockedCells&) = delete;

  [[nodiscard]] Cell& operator[](std::size_t i) noexcept { return cells()[i]; }

 private:
  [[nodiscard]] Cell* cells() noexcept {
    return std::launder(reinterpret_cast<Cell*>(room_.data()));
  }
  alignas(Cell) std::array<std::byte, sizeof(Cell) * policy::kMaxRules> room_;
  std::size_t size_ = 0;
};

// The limit that binds so far: denied, the one with the latest retry; else the one with the fewest
// remaining.
struct Binding {
  std::size_t claim = 0;
  std::size_t limit = Decision::kNone;
  std::uint64_t remaining = ~std::uint64_t{0};
  std::uint64_t retry_after_ns = 0;
  bool tied = false;  // Another limit has as few remaining.
  bool denied = false;
};

void OfferRoom(Binding& binding, std::size_t claim, std::size_t limit,
               std::uint64_t remaining) noexcept {
  if (remaining > binding.remaining) return;
  binding.tied = remaining == binding.remaining && binding.limit != Decision::kNone;
  if (binding.tied) return;
  binding.claim = claim;
  binding.limit = limit;
  binding.remaining = remaining;
}

void OfferDenial(Binding& binding, std::size_t claim, std::size_t limit, std::uint64_t remaining,
                 std::uint64_t retry_after_ns) noexcept {
  if (binding.denied && retry_after_ns <= binding.retry_after_ns) return;
  binding = {.claim = claim,
             .limit = limit,
             .remaining = remaining,
             .retry_after_ns = retry_after_ns,
             .denied = true};
}

static_assert(policy::kMaxLimitsPerRule <= 8, "a claim marks its limits in a byte");

// Asks every limit of every claim. Marks those that have no room.
Binding FindBinding(std::span<Claim> claims, LockedCells& cells, Now now) noexcept {
  Binding binding;
  for (std::size_t i = 0; i < claims.size(); ++i) {
    Claim& claim = claims[i];
    const std::byte* state = cells[i].state();
    const auto& limits = claim.limits->limits;
    for (std::size_t j = 0; j < limits.size(); ++j) {
      const std::byte* at = state + limits[j].offset;
      const std::uint64_t remaining = limits[j].limit.Remaining(at, now);
      if (claim.cost > remaining) {
        claim.denied |= static_cast<std::uint8_t>(1U << j);
        OfferDenial(binding, i, j, remaining, limits[j].limit.RetryAfter(at, now, claim.cost));
      } else if (!binding.denied) {
        OfferRoom(binding, i, j, remaining - claim.cost);
      }
    }
  }
  return binding;
}

void ChargeAll(std::span<const Claim> claims, LockedCells& cells, Now now) noexcept {
  for (std::size_t i = 0; i < claims.size(); ++i) {
    const Claim& claim = claims[i];
    if (claim.cost == 0) continue;
    const bool placed = cells[i].Claim(LimitWeigher(claim.variants), claim.variant, now);
    assert(placed);  // No limit's load is ever pinned.
    (void)placed;
    for (const RuleLimit& rule_limit : claim.limits->limits) {
      rule_limit.limit.Charge(cells[i].state() + rule_limit.offset, now, claim.cost);
    }
  }
}

// Among the limits with as few remaining, the longest hold binds: a client that waits for it has
// waited for all.
void SettleTie(Binding& binding, std::span<const Claim> claims, LockedCells& cells,
               Now now) noexcept {
  std::uint64_t longest_ns = 0;
  for (std::size_t i = 0; i < claims.size(); ++i) {
    const auto& limits = claims[i].limits->limits;
    for (std::size_t j = 0; j < limits.size(); ++j) {
      const std::byte* at = cells[i].state() + limits[j].offset;
      if (limits[j].limit.Remaining(at, now) != binding.remaining) continue;
      const std::uint64_t hold_ns = limits[j].limit.HoldFor(at, now);
      if (hold_ns <= longest_ns) continue;
      longest_ns = hold_ns;
      binding.claim = i;
      binding.limit = j;
    }
  }
}

Stamp StampOf(const Claim& claim, const Cell& cell, Now now) noexcept {
  if (claim.cost == 0 || !cell.present()) return {};
  return {.when = now,
          .cost = claim.cost,
          .hash = claim.hash,
          .table = claim.table->id(),
          .variant = claim.variant,
          .generation = cell.generation()};
}

void Describe(Decision& decision, const Binding& binding, std::span<const Claim> claims,
              LockedCells& cells, Now now) noexcept {
  const Claim& claim = claims[binding.claim];
  decision.verdict = binding.denied ? Verdict::kLimited : Verdict::kAllowed;
  decision.variant = claim.variant;
  decision.rule = claim.rule;
  decision.limit = static_cast<std::uint16_t>(binding.limit);
  decision.remaining = binding.remaining;
  decision.denied_limits = claim.denied;
  decision.retry_after_ns = binding.retry_after_ns;
  decision.key_hash = claim.hash;
  const RuleLimit& rule_limit = claim.limits->limits[binding.limit];
  const std::byte* at = cells[binding.claim].state() + rule_limit.offset;
  decision.quota = rule_limit.limit.quota();
  decision.hold_ns = rule_limit.limit.HoldFor(at, now);
  decision.reset_after_ns = rule_limit.limit.ResetAfter(at, now);
  if (!binding.denied) decision.stamp = StampOf(claim, cells[binding.claim], now);
}

}  // namespace

Decision DecideClaims(std::span<Claim> claims, Now now, std::span<Stamp> stamps) noexcept {
  assert(claims.size() <= policy::kMaxRules);
  Decision decision;
  if (claims.empty()) return decision;
  for (const Claim& claim : claims) claim.table->Prefetch(claim.hash);
  LockedCells cells(claims);
  Binding binding = FindBinding(claims, cells, now);
  if (!binding.denied) {
    ChargeAll(claims, cells, now);
    if (binding.tied) SettleTie(binding, claims, cells, now);
    for (std::size_t i = 0; i < stamps.size(); ++i) stamps[i] = StampOf(claims[i], cells[i], now);
  }
  Describe(decision, binding, claims, cells, now);
  return decision;
}

std::uint64_t RetryAfterOf(std::span<const Claim> claims, Now now) noexcept {
  LockedCells cells(claims);
  std::uint64_t latest_ns = 0;
  for (std::size_t i = 0; i < claims.size(); ++i) {
    for (const RuleLimit& limit : claims[i].limits->limits) {
      const std::byte* at = cells[i].state() + limit.offset;
      latest_ns = std::max(latest_ns, limit.limit.RetryAfter(at, now, claims[i].cost));
    }
  }
  return latest_ns;
}

void GiveBackCharge(table::Table& table, const LimitSet& limits, const Stamp& charge,
                    Now now) noexcept {
  assert(table.id() == charge.table);
  if (charge.cost == 0) return;
  const Cell cell = table.Lock(charge.hash);
  if (!cell.present() || cell.generation() != charge.generation) return;
  for (const RuleLimit& rule_limit : limits.limits) {
    rule_limit.limit.GiveBack(cell.state() + rule_limit.offset, now, charge.when, charge.cost);
  }
}

}  // namespace sluicegate::engine
