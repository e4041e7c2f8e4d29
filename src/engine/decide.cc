#include "engine/decide.h"

#include <algorithm>
#include <cassert>

#include "engine/decide_inline.h"

namespace sluicegate::engine {

using policy::BoundLimit;
using table::Cell;

Attempt DecideClaims(std::span<Claim> claims, Now now, Decision& decision,
                     std::span<Stamp> stamps) noexcept {
  assert(claims.size() <= kMaxClaims);
  if (claims.empty()) return {};
  for (const Claim& claim : claims) claim.table->Prefetch(claim.hash);
  constexpr std::size_t kAny = std::dynamic_extent;
  if (claims.size() > 1) return internal::DecideUpTo<kAny, kAny>(claims, now, decision, stamps);
  return internal::DecideUpTo<1, kAny>(claims.first<1>(), now, decision, stamps);
}

std::expected<std::uint64_t, Hindrance> RetryAfterOf(std::span<const Claim> claims,
                                                     Now now) noexcept {
  internal::LockedCells<std::dynamic_extent> cells(claims);
  if (cells.sealed()) return std::unexpected(cells.Why().hindrance);
  std::uint64_t latest_ns = 0;
  for (std::size_t i = 0; i < claims.size(); ++i) {
    const Claim& claim = claims[i];
    if (claim.cost > 0 && !cells[i].present()) {
      latest_ns = std::max(latest_ns, claim.table->BlockedFor(claim.hash, now));
    }
    for (const BoundLimit& limit : claim.limits) {
      const std::byte* at = cells[i].state() + limit.offset;
      latest_ns = std::max(latest_ns, limit.limit.RetryAfter(at, now, claim.cost));
    }
  }
  return latest_ns;
}

Decision Undecided() noexcept {
  constexpr std::uint64_t kSoonNs = 1'000'000'000;
  Decision decision;
  decision.verdict = Verdict::kLimited;
  decision.hold_ns = decision.reset_after_ns = decision.retry_after_ns = kSoonNs;
  return decision;
}

namespace {

// Calls `change` for each limit that the charge is on, with its state. False: the table has moved.
template <class Change>
bool ChangeCharged(table::Table& table, const policy::Layout& layout, const Stamp& charge,
                   Change change) noexcept {
  assert(table.id() == charge.table);
  if (charge.cost == 0) return true;
  const Cell cell = table.Lock(charge.hash);
  if (cell.sealed()) return cell.stuck();
  if (!cell.present() || cell.generation() != charge.generation) return true;
  if (!table.Knows(charge.when)) return true;
  // The slot knows its limit set; a reload may have given it another number than the stamp has.
  if (cell.variant() >= layout.variants.size()) return true;  // In a file may be anything.
  for (const BoundLimit& limit : layout.variants[cell.variant()]) {
    change(limit.limit, cell.state() + limit.offset);
  }
  return true;
}

}  // namespace

bool GiveBackCharge(table::Table& table, const policy::Layout& layout, const Stamp& charge,
                    Now now) noexcept {
  return ChangeCharged(table, layout, charge,
                       [&](const limit::CompiledLimit& limit, std::byte* state) {
                         limit.GiveBack(state, now, charge.when, charge.cost);
                       });
}

bool RenewCharge(table::Table& table, const policy::Layout& layout, Stamp& charge,
                 Now now) noexcept {
  bool renewed = false;
  const bool there = ChangeCharged(table, layout, charge,
                                   [&](const limit::CompiledLimit& limit, std::byte* state) {
                                     limit.GiveBack(state, now, charge.when, charge.cost);
                                     limit.Charge(state, now, charge.cost);
                                     renewed = true;
                                   });
  if (renewed) charge.when = now;
  return there;
}

}  // namespace sluicegate::engine
