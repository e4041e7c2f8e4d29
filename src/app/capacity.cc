#include "app/capacity.h"

#include "table/bucket.h"

namespace sluicegate::app {
namespace {

constexpr std::size_t kTagBytes = 8;  // A rule with overrides notes which one, slot by slot.
constexpr std::size_t kBanShare = 8;
constexpr std::size_t kBanSlotBytes = 32;

constexpr std::size_t BucketBytes(std::size_t slot_bytes) {
  const std::size_t bytes = table::kCacheLine + table::kSlotsPerBucket * slot_bytes;
  return (bytes + table::kCacheLine - 1) / table::kCacheLine * table::kCacheLine;
}

constexpr std::size_t Buckets(std::size_t bytes, std::size_t slot_bytes) {
  const std::size_t buckets = bytes / BucketBytes(slot_bytes);
  return buckets > 0 ? buckets : 1;
}

}  // namespace

std::uint64_t KeysHeld(const policy::Rule& rule) {
  if (rule.mode() == policy::Mode::kOff) return 0;
  std::size_t memory = rule.memory();
  if (rule.penalty()) {
    const std::size_t ban_buckets = Buckets(memory / kBanShare, kBanSlotBytes);
    memory -= ban_buckets * BucketBytes(kBanSlotBytes);
  }
  const std::size_t tag = rule.variants().size() > 1 ? kTagBytes : 0;
  return Buckets(memory, rule.slot_bytes() + tag) * table::kSlotsPerBucket;
}

}  // namespace sluicegate::app
