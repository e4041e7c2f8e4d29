#include "engine/claims.h"

#include <algorithm>
#include <cassert>

#include "engine/weigher.h"

namespace sluicegate::engine {
namespace {

using policy::BoundLimit;
using policy::Rule;

// Of the key of the table of overflow, which has the limits of the first limit set that has any, as
// all limit sets share it.
constexpr std::uint64_t kOverflowHash = 0;

}  // namespace

void Claims::Add(const Claim& claim) noexcept {
  assert(size_ < kMaxClaims);
  if (size_ > 0) sorted_ = sorted_ && claims_[size_ - 1].table->id() < claim.table->id();
  claims_[size_++] = claim;
}

void Claims::Append(const Hit& hit) noexcept {
  const Rule& rule = rules_.policy().rules()[hit.rule];
  const RuleState& state = rules_.state(hit.rule);
  if (rule.AsksRates(request_) && !rule.rates().variants[hit.variant].empty()) AppendRates(hit);
  const auto& leases = rule.leases().variants[hit.variant];
  if (leases.empty()) return;
  Add({.table = state.leases.get(),
       .layout = &rule.leases(),
       .limits = leases,
       .hash = hit.hashes.limits,
       .cost = hit.cost,
       .rule = hit.rule,
       .variant = hit.variant,
       .lease = true});
}

void Claims::AppendRates(const Hit& hit) noexcept {
  const Rule& rule = rules_.policy().rules()[hit.rule];
  const RuleState& state = rules_.state(hit.rule);
  const Claim own{.table = state.table.get(),
                  .layout = &rule.rates(),
                  .limits = rule.rates().variants[hit.variant],
                  .hash = hit.hashes.limits,
                  .cost = hit.cost,
                  .rule = hit.rule,
                  .variant = hit.variant};
  const bool too_many = rule.new_keys() && IsOneNewKeyTooMany(own);
  if (!too_many) Add(own);
  if (too_many || hit.no_ban_place) {
    Add(OfParent(hit, too_many ? Count::kNetworkForKey : Count::kNetworkForBan));
  }
  if (!state.ceilings.empty() && !request_.client.is_v4()) AppendCeilings(hit);
}

void Claims::AppendCeilings(const Hit& hit) noexcept {
  const Rule& rule = rules_.policy().rules()[hit.rule];
  const RuleState& state = rules_.state(hit.rule);
  for (std::size_t i = 0; i < state.ceilings.size(); ++i) {
    const policy::Ceiling& ceiling = rule.ceilings()[i];
    Add({.table = state.ceilings[i].get(),
         .layout = &ceiling.layout,
         .limits = ceiling.layout.variants[hit.variant],
         .hash = rule.HashCeiling(secret_, request_, hit.variant, ceiling.prefix_bits),
         .cost = hit.cost,
         .rule = hit.rule,
         .variant = hit.variant,
         .shared = true,
         .shared_bits = static_cast<std::uint8_t>(ceiling.prefix_bits)});
  }
}

Claim Claims::OfParent(const Hit& hit, Count why) const noexcept {
  const Rule& rule = rules_.policy().rules()[hit.rule];
  return {.table = rules_.state(hit.rule).parents.get(),
          .layout = &rule.parents(),
          .limits = rule.rates().variants[hit.variant],
          .hash = rule.HashParent(secret_, request_, hit.variant),
          .cost = hit.cost,
          .rule = hit.rule,
          .variant = hit.variant,
          .shared = true,
          .shared_bits = rule.ParentBits(request_),
          .stands_in = static_cast<std::uint8_t>(why)};
}

// Looked up before the decision takes its locks, so as many more may enter as threads decide at
// once. A key that was evicted at a limit does not get its network's units: it is left to be
// denied.
bool Claims::IsOneNewKeyTooMany(const Claim& claim) const noexcept {
  {
    const table::Cell own = claim.table->Lock(claim.hash);
    if (own.sealed() || own.present()) return false;
  }
  if (claim.table->BlockedFor(claim.hash, now_) > 0) return false;
  const BoundLimit& budget = *RuleOf(claim).new_keys();
  table::Table& parents = *rules_.state(claim.rule).parents;
  const std::uint64_t hash = RuleOf(claim).HashParent(secret_, request_, claim.variant);
  const table::Cell parent = parents.Lock(hash);
  // A network that was evicted at its limits: it is left to be denied, too.
  if (!parent.sealed() && !parent.present()) return parents.BlockedFor(hash, now_) > 0;
  return budget.limit.Remaining(parent.state() + budget.offset, now_) == 0;
}

// Each request once for each reason, whatever was decided. A peek is none.
void Claims::CountNetworks() noexcept {
  for (const Claim& claim : all()) {
    if (claim.stands_in == 0 || claim.cost == 0) continue;
    rules_.state(claim.rule).counters->Add(static_cast<Count>(claim.stands_in));
  }
}

void Claims::CountNewKeys() noexcept {
  for (const Claim& claim : all()) {
    const Rule& rule = RuleOf(claim);
    if (!claim.entered || !rule.new_keys() || claim.shared || claim.lease) continue;
    const BoundLimit& budget = *rule.new_keys();
    table::Table& parents = *rules_.state(claim.rule).parents;
    const std::uint64_t hash = rule.HashParent(secret_, request_, claim.variant);
    table::Cell parent = parents.Lock(hash);
    // An evicted network must not come in afresh by a client's key.
    if (!parent.present() && parents.BlockedFor(hash, now_) > 0) continue;
    if (parent.sealed() || !parent.Claim(LimitWeigher(rule.parents()), claim.variant, now_)) {
      continue;
    }
    budget.limit.Charge(parent.state() + budget.offset, now_, 1);
  }
}

// First the parent network's key, then the one of the overflow, which always has a place.
void Claims::StandIn(Claim& lease) noexcept {
  const RuleState& state = rules_.state(lease.rule);
  if (lease.shared) {
    const auto& variants = lease.layout->variants;
    const auto first = std::ranges::find_if(variants, [](const auto& v) { return !v.empty(); });
    lease.table = state.overflow.get();
    lease.variant = static_cast<std::uint8_t>(first - variants.begin());
    // A key for each limit set: a reload may change which one is the first.
    lease.hash =
        lease.variant == 0 ? kOverflowHash : RuleOf(lease).OverrideHash(lease.variant - 1U);
    lease.limits = *first;
    lease.shared_bits = Decision::kSharedByAll;
  } else {
    lease.hash = RuleOf(lease).HashParent(secret_, request_, lease.variant);
    lease.shared = true;
    lease.shared_bits = RuleOf(lease).ParentBits(request_);
  }
  lease.stands_in = static_cast<std::uint8_t>(Count::kNetworkForLease);
  sorted_ = false;
}

void Claims::Sort() noexcept {
  if (sorted_) return;
  std::ranges::sort(all(), {}, [](const Claim& claim) { return claim.table->id(); });
  sorted_ = true;
}

void Claims::Drop(std::uint16_t rule) noexcept {
  const auto gone = std::ranges::remove(all(), rule, &Claim::rule);
  size_ -= gone.size();
}

Attempt Claims::Decide(Decision& decision, std::span<Stamp> stamps) noexcept {
  for (;;) {
    Sort();
    const Attempt attempt =
        DecideClaims(all(), now_, decision, stamps.empty() ? stamps : stamps.first(size_));
    if (attempt.hindrance == Hindrance::kNone) {
      CountNetworks();
      return attempt;
    }
    if (attempt.hindrance != Hindrance::kCrowded) return attempt;
    StandIn(claims_[attempt.claim]);
  }
}

}  // namespace sluicegate::engine
