#include "policy/capacity.h"

#include <algorithm>

namespace sluicegate::policy {
namespace {

constexpr std::size_t kLine = 64;
constexpr std::size_t kSlots = 12;
constexpr std::size_t kTagBytes = 8;  // Slots of rules with overrides remember which holds.
constexpr std::size_t kOffenderBytes = 32;
constexpr std::size_t kLeastSketch = 256;  // A line for each of its four rows.
// Parts of a rule's memory. An eighth for the offenders is 448 bytes a bucket of 12: of a default
// rule's 64 MiB room for 224,000 of them.
constexpr std::size_t kBanShare = 8;
constexpr std::size_t kLeaseShare = 8;
constexpr std::size_t kNetworkShare = 16;  // Of the parents, and of each ceiling.

std::size_t BucketBytes(std::size_t slot_bytes) noexcept {
  return (kLine + kSlots * slot_bytes + kLine - 1) / kLine * kLine;
}

std::size_t BucketBytes(const MemoryNeeds& needs, std::size_t slot_bytes) noexcept {
  return BucketBytes(slot_bytes + (needs.tagged ? kTagBytes : 0));
}

// A slot of the table that holds a key at all.
std::size_t KeyBytes(const MemoryNeeds& needs) noexcept {
  return needs.rates_bytes > 0 ? needs.rates_bytes : needs.leases_bytes;
}

std::size_t Sum(const MemoryNeeds& needs, const MemoryPlan& plan) noexcept {
  return plan.leases + plan.overflow + plan.bans + plan.parents + plan.ceiling * needs.ceilings;
}

// Everything but the table of keys and the sketch. Each part is a bucket and its share, in whole
// buckets, of what lies beyond the least memory: so the parts grow with it, and a bucket for the
// keys is always left.
MemoryPlan PlanBesides(const MemoryNeeds& needs, std::size_t beyond_least) noexcept {
  const auto part = [beyond_least](std::size_t share, std::size_t bucket) {
    return bucket + beyond_least / share / bucket * bucket;
  };
  MemoryPlan plan;
  if (needs.bans) plan.bans = part(kBanShare, BucketBytes(kOffenderBytes));
  if (needs.leases_bytes > 0) {
    plan.overflow = BucketBytes(needs, needs.leases_bytes);
    if (needs.rates_bytes > 0) plan.leases = part(kLeaseShare, plan.overflow);
  }
  if (needs.parents_bytes > 0) {
    plan.parents = part(kNetworkShare, BucketBytes(needs, needs.parents_bytes));
  }
  if (needs.ceilings > 0) {
    plan.ceiling = part(kNetworkShare, BucketBytes(needs, needs.ceiling_bytes));
  }
  return plan;
}

MemoryNeeds NeedsOf(const Rule& rule) noexcept {
  std::size_t ceiling_bytes = 0;
  for (const Ceiling& ceiling : rule.ceilings()) {
    ceiling_bytes = std::max(ceiling_bytes, ceiling.layout.slot_bytes);
  }
  return {.memory = rule.memory(),
          .tagged = rule.variants().size() > 1,
          .rates_bytes = rule.rates().slot_bytes,
          .leases_bytes = rule.leases().slot_bytes,
          .parents_bytes = rule.parents().slot_bytes,
          .ceilings = rule.ceilings().size(),
          .ceiling_bytes = ceiling_bytes,
          .bans = rule.penalty().has_value(),
          .sketch_ppm = rule.sketch_ppm()};
}

}  // namespace

MemoryPlan PlanMemory(const MemoryNeeds& needs) noexcept {
  const std::size_t least_memory = LeastMemory(needs);
  MemoryPlan plan =
      PlanBesides(needs, needs.memory > least_memory ? needs.memory - least_memory : 0);
  const std::size_t besides = Sum(needs, plan);
  const std::size_t left = needs.memory > besides ? needs.memory - besides : 0;
  if (needs.rates_bytes == 0) {
    plan.leases = left;
    return plan;
  }
  const auto sketch = static_cast<std::size_t>(static_cast<unsigned __int128>(needs.memory) *
                                               needs.sketch_ppm / 1'000'000);
  const std::size_t least = BucketBytes(needs, needs.rates_bytes);
  if (sketch >= kLeastSketch && sketch + least <= left) plan.sketch = sketch;
  plan.table = left - plan.sketch;
  return plan;
}

MemoryPlan PlanMemory(const Rule& rule) noexcept {
  return rule.mode() == Mode::kOff ? MemoryPlan{} : PlanMemory(NeedsOf(rule));
}

std::uint64_t LiveKeys(const Rule& rule) noexcept {
  const MemoryNeeds needs = NeedsOf(rule);
  const MemoryPlan plan = PlanMemory(rule);
  const std::size_t bytes = needs.rates_bytes > 0 ? plan.table : plan.leases;
  return bytes / BucketBytes(needs, KeyBytes(needs)) * kSlots;
}

std::uint64_t RememberedOffenders(const Rule& rule) noexcept {
  // Four rows of words: at 0.38 offenders a column the share of live cells is 1 - e^-0.38, and one
  // in a hundred to the fourth power.
  constexpr std::size_t kBytesAnOffender = 42;
  return PlanMemory(rule).sketch / kBytesAnOffender;
}

std::uint64_t KeysInFlight(const Rule& rule) noexcept {
  const MemoryNeeds needs = NeedsOf(rule);
  if (needs.leases_bytes == 0) return 0;
  return PlanMemory(rule).leases / BucketBytes(needs, needs.leases_bytes) * kSlots;
}

std::size_t LeastMemory(const MemoryNeeds& needs) noexcept {
  return Sum(needs, PlanBesides(needs, 0)) + BucketBytes(needs, KeyBytes(needs));
}

std::size_t LeastMemory(const Rule& rule) noexcept { return LeastMemory(NeedsOf(rule)); }

}  // namespace sluicegate::policy
