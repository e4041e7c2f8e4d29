#include "table/table.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <utility>

#include "base/write_order.h"
#include "limit/saturating.h"

namespace sluicegate::table {
namespace {

constexpr std::size_t kTagBytes = 8;  // A variant needs one; states stay 8-aligned.

std::size_t SlotBytes(Table::Shape shape) {
  return shape.state_bytes + (shape.tagged ? kTagBytes : 0);
}

std::size_t BucketBytes(Table::Shape shape) {
  const std::size_t used = sizeof(Bucket) + kSlotsPerBucket * SlotBytes(shape);
  return (used + kCacheLine - 1) / kCacheLine * kCacheLine;
}

std::uint64_t BucketsIn(Table::Shape shape, std::size_t bytes) {
  return std::max<std::uint64_t>(bytes / BucketBytes(shape), 1);
}

// The bits of a hash below its fingerprint, in the first table of its line.
std::uint32_t ShiftOf(std::uint64_t buckets) {
  const auto bucket_bits = static_cast<std::uint32_t>(std::bit_width(buckets)) - 1;
  return 32U - std::min(bucket_bits, 32U);
}

std::uint32_t NextId() {
  static std::atomic<std::uint32_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);
}

// Lighter gives way first: the lower share of its quota used, and among equals the one that clears
// first.
bool Lighter(const Weight& a, const Weight& b) {
  if (a.used_ppm != b.used_ppm) return a.used_ppm < b.used_ppm;
  return a.clears_after_ns < b.clears_after_ns;
}

}  // namespace

alignas(8) constinit std::byte Table::never_seen[Table::kMaxStateBytes] = {};

std::expected<std::unique_ptr<Table>, std::string> Table::Create(
    Shape shape, std::size_t bytes, std::shared_ptr<BlockedSketch> sketch) {
  return Create(shape, bytes, {.id = NextId(), .shift = ShiftOf(BucketsIn(shape, bytes))},
                std::move(sketch));
}

std::expected<std::unique_ptr<Table>, std::string> Table::CreateSuccessor(
    Shape shape, std::size_t bytes, std::shared_ptr<BlockedSketch> sketch, bool keep_id) const {
  return Create(shape, bytes, {.id = keep_id ? id() : NextId(), .shift = shift_},
                std::move(sketch));
}

std::expected<std::unique_ptr<Table>, std::string> Table::Create(
    Shape shape, std::size_t bytes, Identity identity, std::shared_ptr<BlockedSketch> sketch) {
  assert(shape.state_bytes % 8 == 0 && shape.state_bytes <= kMaxStateBytes);
  auto mapping = Mapping::Create(BucketsIn(shape, bytes) * BucketBytes(shape));
  if (!mapping) return std::unexpected(std::move(mapping.error()));
  auto words = std::make_unique<Words>();
  words->id = identity.id;
  words->shift = identity.shift;
  return std::unique_ptr<Table>(
      new Table(shape, {std::move(*mapping), std::move(words)}, nullptr, std::move(sketch)));
}

std::size_t Table::RegionBytes(Shape shape, std::size_t bytes) noexcept {
  return sizeof(Words) + BucketsIn(shape, bytes) * BucketBytes(shape);
}

void Table::Begin(const Mapping& region, Shape shape, std::uint32_t id) noexcept {
  auto& words = *reinterpret_cast<Words*>(region.data());
  words.id = id;
  words.shift = ShiftOf((region.size() - sizeof(Words)) / BucketBytes(shape));
}

void Table::BeginSuccessor(const Mapping& region, std::uint32_t id, bool keep_id) const noexcept {
  auto& words = *reinterpret_cast<Words*>(region.data());
  words.id = keep_id ? this->id() : id;
  words.shift = shift_;
}

std::unique_ptr<Table> Table::OfRegion(Shape shape, std::shared_ptr<Mapping> region, Owners& owners,
                                       std::shared_ptr<BlockedSketch> sketch) {
  return std::unique_ptr<Table>(
      new Table(shape, Headed<Words>(std::move(region)), &owners, std::move(sketch)));
}

// Zero bytes are an empty bucket: no fingerprints, the lock free.
Table::Table(Shape shape, Headed<Words> memory, Owners* owners,
             std::shared_ptr<BlockedSketch> sketch) noexcept
    : shape_(shape),
      slot_bytes_(SlotBytes(shape)),
      bucket_bytes_(BucketBytes(shape)),
      memory_(std::move(memory)),
      words_(memory_.words()),
      data_(memory_.bytes().data()),
      buckets_(memory_.bytes().size() / bucket_bytes_),
      id_(words_->id),
      shift_(std::min(words_->shift, 32U)),  // A file may say anything.
      owners_(owners),
      sketch_(std::move(sketch)) {}

bool Table::Fits(Shape shape, std::size_t bytes) const noexcept {
  return shape == shape_ && BucketsIn(shape, bytes) == buckets_;
}

void Cell::Place(unsigned slot, std::uint8_t variant) noexcept {
  slot_ = slot;
  state_ = bucket_->State(slot, table_->slot_bytes_);
  // A process that dies on the way leaves a free slot, and no key with another's state.
  bucket_->fingerprints[slot] = 0;
  KeepWriteOrder();
  SlotTag& tag = bucket_->tags[slot];
  tag = {.generation = static_cast<std::uint8_t>((tag.generation + 1U) & 0xFU),
         .above = static_cast<std::uint8_t>(above_ & 0xFU)};
  std::memset(state_, 0, table_->slot_bytes_);
  if (table_->shape_.tagged) state_[table_->shape_.state_bytes] = std::byte{variant};
  KeepWriteOrder();
  bucket_->fingerprints[slot] = fingerprint_;
}

Cell::Victim Cell::FindVictim(const Weigher& weigher, Now now) const noexcept {
  const unsigned home = Table::HomeOf(fingerprint_);
  table_->FetchAll(*bucket_);
  Victim victim;
  for (unsigned step = 0; step < kSlotsPerBucket; ++step) {
    const unsigned slot = (home + step) % kSlotsPerBucket;
    if (bucket_->fingerprints[slot] == 0) return {.slot = slot};
    const Weight weight = weigher.Weigh(bucket_->State(slot, table_->slot_bytes_),
                                        table_->VariantAt(*bucket_, slot), now);
    if (weight.used_ppm == Weight::kPinned) continue;
    if (weight.clears_after_ns == 0) return {.slot = slot};
    if (victim.slot == kSlotsPerBucket || Lighter(weight, victim.weight)) {
      victim = {.slot = slot, .weight = weight};
    }
  }
  return victim;
}

bool Cell::Claim(const Weigher& weigher, std::uint8_t variant, Now now) noexcept {
  if (present()) return true;
  const Victim victim = FindVictim(weigher, now);
  if (victim.slot == kSlotsPerBucket) {
    table_->words_->refusals.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  if (victim.weight.clears_after_ns > 0) {
    table_->CountEviction(bucket_->fingerprints[victim.slot], victim.weight, now,
                          table_->sketch_.get());
  }
  Place(victim.slot, variant);
  return true;
}

void Cell::Vacate() noexcept {
  if (!present()) return;
  bucket_->fingerprints[slot_] = 0;
  slot_ = kSlotsPerBucket;
  state_ = Table::never_seen;
}

bool Cell::IsCrowded(const Weigher& weigher, Now now) const noexcept {
  for (unsigned slot = 0; slot < kSlotsPerBucket; ++slot) {
    if (bucket_->fingerprints[slot] == 0) return false;
    const Weight weight = weigher.Weigh(bucket_->State(slot, table_->slot_bytes_),
                                        table_->VariantAt(*bucket_, slot), now);
    if (weight.used_ppm != Weight::kPinned) return false;
  }
  return true;
}

void Table::CountEviction(std::uint32_t fingerprint, const Weight& weight, Now now,
                          BlockedSketch* sketch) noexcept {
  if (weight.blocked_ns == 0) {
    words_->evictions.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  words_->evictions_at_limit.fetch_add(1, std::memory_order_relaxed);
  const std::uint64_t until_ns = limit::AddSaturating(now.engine_ns, weight.blocked_ns);
  if (sketch == nullptr || !sketch->Fold(fingerprint, until_ns, now.engine_ns)) {
    words_->forgotten.fetch_add(1, std::memory_order_relaxed);
  }
}

// A slot on its way to another table.
struct Table::MovedKey {
  std::uint32_t fingerprint = 0;
  SlotTag tag{};
  std::uint8_t variant = 0;
  Weight weight;
  alignas(8) std::array<std::byte, kMaxStateBytes> state;
};

// Keys of one bucket may meet there with one fingerprint, one of them a copy that nobody asks for:
// the heavier stays.
void Table::MoveKey(const MovedKey& key, std::uint64_t bucket, const Weigher& weigher, Now now,
                    BlockedSketch* sketch) noexcept {
  Cell cell(*this, BucketAt(bucket), key.fingerprint, key.tag.above);
  Cell::Victim victim{.slot = cell.slot_};
  if (cell.present()) {
    victim.weight = weigher.Weigh(cell.state(), VariantAt(*cell.bucket_, cell.slot_), now);
  } else {
    victim = cell.FindVictim(weigher, now);
  }
  if (victim.slot == kSlotsPerBucket) {
    words_->refusals.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  const bool taken = victim.weight.clears_after_ns > 0;
  if (taken && !Lighter(victim.weight, key.weight)) {
    CountEviction(key.fingerprint, key.weight, now, sketch);
    return;
  }
  if (taken) {
    CountEviction(cell.bucket_->fingerprints[victim.slot], victim.weight, now, sketch);
  }
  cell.Place(victim.slot, key.variant);
  cell.bucket_->tags[victim.slot] = key.tag;
  std::memcpy(cell.state(), key.state.data(), shape_.state_bytes);
}

// A hash lies in its bucket's range, and bits shift ... shift + 36 of it are known: so it is known
// but for its lowest bits, unless that pattern comes back within the range. Where it comes back
// many times within one bucket there, as a damaged shift can have it, once is enough.
template <class Use>
void Table::ForEachBucketIn(std::uint64_t next_buckets, std::uint64_t bucket, const MovedKey& key,
                            const Use& use) const noexcept {
  using Wide = unsigned __int128;
  constexpr unsigned kKnownBits = 36;
  const auto begin_of = [](std::uint64_t index, std::uint64_t buckets) {
    return ((Wide{index} << 64U) + buckets - 1) / buckets;
  };
  const Wide begin = begin_of(bucket, buckets_);
  const Wide end = begin_of(bucket + 1, buckets_);
  const Wide period = Wide{1} << (shift_ + kKnownBits);
  const Wide known = Wide{key.tag.above} << 32U | key.fingerprint;
  // Fingerprint 1 is also what 0 is written as.
  const Wide low = (known - (key.fingerprint == 1 ? 1U : 0U)) << shift_;
  const Wide high = (known + 1) << shift_;
  std::uint64_t next = 0;  // The first bucket that was not used yet.
  for (Wide turn = begin / period * period; turn < end; turn += period) {
    const Wide first = std::max(turn + low, begin);
    const Wide last = std::min(turn + high, end);
    if (first >= last) continue;
    const auto from = static_cast<std::uint64_t>((first * next_buckets) >> 64U);
    const auto to = static_cast<std::uint64_t>(((last - 1) * next_buckets) >> 64U);
    for (next = std::max(next, from); next <= to; ++next) use(next);
    if (turn + period >= end) return;
    turn = std::max(turn + period, begin_of(next, next_buckets) / period * period) - period;
  }
}

bool Table::MoveInto(Table& next, const Mover& mover, const Weigher& weigher, Now now,
                     Leave leave) noexcept {
  assert(next.shift_ == shift_);
  BlockedSketch* sketch = next.sketch_.get();
  // A sketch that is moved as well is so after its tables.
  if (leave == Leave::kSealed && sketch != nullptr && sketch_ != nullptr) sketch = sketch_.get();
  bool complete = true;
  MovedKey key;
  for (std::uint64_t index = 0; index < buckets_; ++index) {
    Bucket& bucket = BucketAt(index);
    if (bucket.lock.Lock(owners_) != Locked::kHeld) {
      complete = false;
      continue;
    }
    for (unsigned slot = 0; slot < kSlotsPerBucket; ++slot) {
      if (bucket.fingerprints[slot] == 0) continue;
      std::memset(key.state.data(), 0, next.shape_.state_bytes);
      if (!mover.Move(bucket.State(slot, slot_bytes_), VariantAt(bucket, slot), key.state.data(),
                      key.variant, now)) {
        continue;
      }
      key.weight = weigher.Weigh(key.state.data(), key.variant, now);
      if (key.weight.clears_after_ns == 0) continue;
      key.fingerprint = bucket.fingerprints[slot];
      key.tag = bucket.tags[slot];
      ForEachBucketIn(next.buckets_, index, key,
                      [&](std::uint64_t to) { next.MoveKey(key, to, weigher, now, sketch); });
    }
    if (leave == Leave::kSealed) {
      bucket.lock.Seal();
    } else {
      bucket.lock.Unlock();
    }
  }
  next.words_->stamps_from_ns = words_->stamps_from_ns;
  const auto carry = [](auto& to, const auto& from) {
    to.fetch_add(from.load(std::memory_order_relaxed), std::memory_order_relaxed);
  };
  carry(next.words_->evictions, words_->evictions);
  carry(next.words_->evictions_at_limit, words_->evictions_at_limit);
  carry(next.words_->forgotten, words_->forgotten);
  carry(next.words_->refusals, words_->refusals);
  return complete;
}

void Table::ForgetStampsBefore(std::uint64_t engine_ns) noexcept {
  words_->stamps_from_ns = std::max(words_->stamps_from_ns, engine_ns);
}

std::uint64_t Table::CountLive(Bucket& bucket, const Weigher& weigher, Now now) const noexcept {
  std::uint64_t live = 0;
  for (unsigned slot = 0; slot < kSlotsPerBucket; ++slot) {
    if (bucket.fingerprints[slot] == 0) continue;
    const Weight weight =
        weigher.Weigh(bucket.State(slot, slot_bytes_), VariantAt(bucket, slot), now);
    live += weight.clears_after_ns != 0 ? 1 : 0;
  }
  return live;
}

std::uint64_t Table::EstimateLive(const Weigher& weigher, Now now) noexcept {
  constexpr std::uint64_t kSample = 524'288;
  const std::uint64_t sampled = std::min(buckets_, kSample);
  std::uint64_t live = 0;
  for (std::uint64_t i = 0; i < sampled; ++i) {
    Bucket& bucket = BucketAt(i * buckets_ / sampled);
    if (bucket.lock.Lock(owners_) != Locked::kHeld) continue;
    live += CountLive(bucket, weigher, now);
    bucket.lock.Unlock();
  }
  return static_cast<std::uint64_t>(static_cast<unsigned __int128>(live) * buckets_ / sampled);
}

std::uint64_t Table::Clear(const Weigher& weigher, Now now) noexcept {
  std::uint64_t live = 0;
  for (std::uint64_t i = 0; i < buckets_; ++i) {
    Bucket& bucket = BucketAt(i);
    if (bucket.lock.Lock(owners_) != Locked::kHeld) continue;
    live += CountLive(bucket, weigher, now);
    bucket.fingerprints.fill(0);
    bucket.lock.Unlock();
  }
  return live;
}

TableCounts Table::counts() const noexcept {
  return {.evictions = words_->evictions.load(std::memory_order_relaxed),
          .evictions_at_limit = words_->evictions_at_limit.load(std::memory_order_relaxed),
          .forgotten = words_->forgotten.load(std::memory_order_relaxed),
          .refusals = words_->refusals.load(std::memory_order_relaxed)};
}

}  // namespace sluicegate::table
