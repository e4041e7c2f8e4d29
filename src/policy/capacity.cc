#include "policy/capacity.h"

#include <algorithm>

namespace sluicegate::policy {
namespace {

constexpr std::uint64_t kLine = 64;
constexpr std::uint64_t kSlots = 12;
constexpr std::uint64_t kTagBytes = 8;  // Slots of rules with overrides remember which holds.
constexpr std::uint64_t kOffenderBytes = 32;
constexpr std::uint64_t kBanShare = 8;  // The part of a rule's memory that its bans take.

std::uint64_t BucketBytes(std::uint64_t slot_bytes) noexcept {
  return (kLine + kSlots * slot_bytes + kLine - 1) / kLine * kLine;
}

std::uint64_t BucketBytes(const Rule& rule) noexcept {
  return BucketBytes(rule.slot_bytes() + (rule.variants().size() > 1 ? kTagBytes : 0));
}

// Bans have one bucket at least.
std::uint64_t BanBytes(const Rule& rule) noexcept {
  if (!rule.penalty()) return 0;
  const std::uint64_t bucket = BucketBytes(kOffenderBytes);
  return std::max<std::uint64_t>(rule.memory() / kBanShare / bucket, 1) * bucket;
}

}  // namespace

std::uint64_t LiveKeys(const Rule& rule) noexcept {
  if (rule.mode() == Mode::kOff || rule.memory() < BanBytes(rule)) return 0;
  return (rule.memory() - BanBytes(rule)) / BucketBytes(rule) * kSlots;
}

std::uint64_t LeastMemory(const Rule& rule) noexcept {
  return BucketBytes(rule) + (rule.penalty() ? BucketBytes(kOffenderBytes) : 0);
}

}  // namespace sluicegate::policy
