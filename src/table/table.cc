#include "table/table.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

namespace sluicegate::table {
namespace {

constexpr std::size_t kTagBytes = 8;  // A variant needs one; states stay 8-aligned.
constexpr std::uint32_t kAtLimitPpm = 1'000'000;

std::size_t SlotBytes(Table::Shape shape) {
  return shape.state_bytes + (shape.tagged ? kTagBytes : 0);
}

std::size_t BucketBytes(Table::Shape shape) {
  const std::size_t used = sizeof(Bucket) + kSlotsPerBucket * SlotBytes(shape);
  return (used + kCacheLine - 1) / kCacheLine * kCacheLine;
}

std::uint32_t NextId() {
  static std::atomic<std::uint32_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);
}

// Lighter gives way first: the lower share of its quota used, and among equals the one that clears
// first.
bool Lighter(const limit::Load& a, const limit::Load& b) {
  if (a.used_ppm != b.used_ppm) return a.used_ppm < b.used_ppm;
  return a.clears_after_ns < b.clears_after_ns;
}

}  // namespace

alignas(8) constinit std::byte Table::never_seen[Table::kMaxStateBytes] = {};

std::expected<std::unique_ptr<Table>, std::string> Table::Create(Shape shape, std::size_t bytes) {
  assert(shape.state_bytes % 8 == 0 && shape.state_bytes <= kMaxStateBytes);
  const std::uint64_t buckets = std::max<std::uint64_t>(bytes / BucketBytes(shape), 1);
  auto mapping = Mapping::Create(buckets * BucketBytes(shape));
  if (!mapping) return std::unexpected(std::move(mapping.error()));
  return std::unique_ptr<Table>(new Table(shape, std::move(*mapping), buckets));
}

// Zero bytes are an empty bucket: no fingerprints, the lock free.
Table::Table(Shape shape, std::unique_ptr<Mapping> mapping, std::uint64_t buckets) noexcept
    : shape_(shape),
      slot_bytes_(SlotBytes(shape)),
      bucket_bytes_(BucketBytes(shape)),
      buckets_(buckets),
      id_(NextId()),
      mapping_(std::move(mapping)) {}

std::uint8_t Table::VariantAt(Bucket& bucket, unsigned slot) const noexcept {
  if (!shape_.tagged) return 0;
  return static_cast<std::uint8_t>(bucket.State(slot, slot_bytes_)[shape_.state_bytes]);
}

Cell::Cell(Cell&& other) noexcept
    : table_(other.table_),
      bucket_(std::exchange(other.bucket_, nullptr)),
      state_(other.state_),
      fingerprint_(other.fingerprint_),
      slot_(other.slot_) {}

void Cell::Place(unsigned slot, std::uint8_t variant) noexcept {
  slot_ = slot;
  state_ = bucket_->State(slot, table_->slot_bytes_);
  bucket_->fingerprints[slot] = fingerprint_;
  ++bucket_->generations[slot];
  std::memset(state_, 0, table_->slot_bytes_);
  if (table_->shape_.tagged) state_[table_->shape_.state_bytes] = std::byte{variant};
}

bool Cell::Claim(const Weigher& weigher, std::uint8_t variant, Now now) noexcept {
  if (present()) return true;
  const unsigned home = Table::HomeOf(fingerprint_);
  unsigned victim = kSlotsPerBucket;
  limit::Load lightest{.used_ppm = Weigher::kPinned, .clears_after_ns = 0};
  for (unsigned step = 0; step < kSlotsPerBucket; ++step) {
    const unsigned slot = (home + step) % kSlotsPerBucket;
    limit::Load load;
    if (bucket_->fingerprints[slot] != 0) {
      load = weigher.Weigh(bucket_->State(slot, table_->slot_bytes_),
                           table_->VariantAt(*bucket_, slot), now);
    }
    if (load.clears_after_ns == 0 && load.used_ppm != Weigher::kPinned) {
      Place(slot, variant);
      return true;
    }
    if (load.used_ppm != Weigher::kPinned &&
        (victim == kSlotsPerBucket || Lighter(load, lightest))) {
      victim = slot;
      lightest = load;
    }
  }
  if (victim == kSlotsPerBucket) {
    table_->refusals_.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  // A victim at a limit is where the blocked sketch will take its time of full clearing.
  auto& counter =
      lightest.used_ppm >= kAtLimitPpm ? table_->evictions_at_limit_ : table_->evictions_;
  counter.fetch_add(1, std::memory_order_relaxed);
  Place(victim, variant);
  return true;
}

std::uint64_t Table::EstimateLive(const Weigher& weigher, Now now) noexcept {
  constexpr std::uint64_t kSample = 524'288;
  const std::uint64_t sampled = std::min(buckets_, kSample);
  std::uint64_t live = 0;
  for (std::uint64_t i = 0; i < sampled; ++i) {
    Bucket& bucket = BucketAt(i * buckets_ / sampled);
    bucket.lock.Lock();
    for (unsigned slot = 0; slot < kSlotsPerBucket; ++slot) {
      if (bucket.fingerprints[slot] == 0) continue;
      const limit::Load load =
          weigher.Weigh(bucket.State(slot, slot_bytes_), VariantAt(bucket, slot), now);
      live += load.clears_after_ns != 0 ? 1 : 0;
    }
    bucket.lock.Unlock();
  }
  return static_cast<std::uint64_t>(static_cast<unsigned __int128>(live) * buckets_ / sampled);
}

TableCounts Table::counts() const noexcept {
  return {.evictions = evictions_.load(std::memory_order_relaxed),
          .evictions_at_limit = evictions_at_limit_.load(std::memory_order_relaxed),
          .refusals = refusals_.load(std::memory_order_relaxed)};
}

}  // namespace sluicegate::table
