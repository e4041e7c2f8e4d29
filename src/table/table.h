// Table: bounded keyed state. A fixed number of buckets of 12 slots; a key's keyed hash names its
// bucket (high bits) and its fingerprint (the low 32). One table a rule, so that a flood on one
// rule cannot touch another.
//
// Thread-safe: a Cell locks one bucket for as long as it lives. Whoever holds several cells at once
// takes them in the order of Table::id(), so nobody waits in a circle. Owns its mapping; neither
// copies nor moves.
//
// Nothing expires by itself and nothing sweeps: a slot whose debt is past is a free slot (the
// Weigher tells). When all are live, the victim is the one that weighs least; see
// doc/algorithms.md, "The table".
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>

#include "limit/compiled_limit.h"
#include "sluicegate/time.h"
#include "table/bucket.h"
#include "table/mapping.h"

namespace sluicegate::table {

/// Tells what a slot's state is worth keeping, so that a victim can be chosen. Pure.
class Weigher {
 public:
  /// Such a slot is never a victim.
  static constexpr std::uint32_t kPinned = ~std::uint32_t{0};

  /// `state` belongs to a key of limit set `variant`.
  [[nodiscard]] virtual limit::Load Weigh(const std::byte* state, std::uint8_t variant,
                                          Now now) const noexcept = 0;

 protected:
  ~Weigher() = default;
};

/// What the table counted since it was made.
struct TableCounts {
  std::uint64_t evictions = 0;           ///< Live keys below their limits that gave way.
  std::uint64_t evictions_at_limit = 0;  ///< Live keys at a limit that gave way.
  std::uint64_t refusals = 0;            ///< Keys that found every slot pinned.
};

class Table;

/// A key's place in its bucket, locked. Move-only; unlocks when it dies.
class Cell {
 public:
  Cell() noexcept = default;
  Cell(Cell&& other) noexcept;
  Cell& operator=(Cell&&) = delete;
  ~Cell() {
    if (bucket_ != nullptr) bucket_->lock.Unlock();
  }

  [[nodiscard]] bool present() const noexcept { return slot_ < kSlotsPerBucket; }
  /// The key's state; all zero while the key is absent, and constant then: Claim first.
  [[nodiscard]] std::byte* state() const noexcept { return state_; }
  [[nodiscard]] std::uint8_t generation() const noexcept { return bucket_->generations[slot_]; }

  /// Gives an absent key a slot of its own with a zero state: one never used, one whose debt is
  /// past, or the lightest one's. False if every slot is pinned. Does nothing for a key that is
  /// present.
  [[nodiscard]] bool Claim(const Weigher& weigher, std::uint8_t variant, Now now) noexcept;

 private:
  friend class Table;
  Cell(Table& table, Bucket& bucket, std::uint32_t fingerprint) noexcept;
  void Place(unsigned slot, std::uint8_t variant) noexcept;

  Table* table_ = nullptr;
  Bucket* bucket_ = nullptr;
  std::byte* state_ = nullptr;
  std::uint32_t fingerprint_ = 0;
  unsigned slot_ = kSlotsPerBucket;
};

class Table {
 public:
  struct Shape {
    std::size_t state_bytes = 0;  ///< A multiple of 8, at most kMaxStateBytes.
    bool tagged =
        false;  ///< Slots remember their limit set: for rules with overrides. Costs 8 bytes a slot.
    friend bool operator==(const Shape&, const Shape&) = default;
  };
  static constexpr std::size_t kMaxStateBytes = 576;  // Eight limits of 72 bytes.

  /// What an absent key reads: zeros. Never written, as Cell::Claim puts a real state in its place
  /// first.
  alignas(8) static std::byte never_seen[kMaxStateBytes];

  /// As many whole buckets as fit into `bytes`, at least one.
  [[nodiscard]] static std::expected<std::unique_ptr<Table>, std::string> Create(Shape shape,
                                                                                 std::size_t bytes);
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;

  [[nodiscard]] std::uint32_t id() const noexcept { return id_; }  ///< Unique in the process.
  [[nodiscard]] Shape shape() const noexcept { return shape_; }
  [[nodiscard]] std::uint64_t capacity() const noexcept { return buckets_ * kSlotsPerBucket; }
  [[nodiscard]] std::size_t bytes() const noexcept { return mapping_->size(); }

  /// Starts to fetch the lines that a decision on this key will most likely touch.
  void Prefetch(std::uint64_t hash) const noexcept;
  /// Locks the key's bucket and looks the key up.
  [[nodiscard]] Cell Lock(std::uint64_t hash) noexcept {
    return Cell(*this, BucketOf(hash), FingerprintOf(hash));
  }

  /// Live slots (a debt that is not past): counted in a table of at most 524,288 buckets (64 MiB
  /// always; about 40 ns a bucket), else estimated from as many, spread evenly.
  [[nodiscard]] std::uint64_t EstimateLive(const Weigher& weigher, Now now) noexcept;
  [[nodiscard]] TableCounts counts() const noexcept;

 private:
  friend class Cell;
  Table(Shape shape, std::unique_ptr<Mapping> mapping, std::uint64_t buckets) noexcept;

  [[nodiscard]] Bucket& BucketAt(std::uint64_t index) const noexcept {
    return *reinterpret_cast<Bucket*>(mapping_->data() + index * bucket_bytes_);
  }
  [[nodiscard]] Bucket& BucketOf(std::uint64_t hash) const noexcept {
    // The high half of hash * buckets: even over any number of buckets, no power of two needed
    // (Lemire 2016).
    return BucketAt(
        static_cast<std::uint64_t>((static_cast<unsigned __int128>(hash) * buckets_) >> 64));
  }
  [[nodiscard]] static std::uint32_t FingerprintOf(std::uint64_t hash) noexcept {
    const auto low = static_cast<std::uint32_t>(hash);
    return low == 0 ? 1 : low;
  }
  /// Where a key lies if that slot was free when it came: lets Prefetch guess right more often than
  /// not.
  [[nodiscard]] static unsigned HomeOf(std::uint32_t fingerprint) noexcept {
    return static_cast<unsigned>((std::uint64_t{fingerprint} * kSlotsPerBucket) >> 32);
  }
  [[nodiscard]] std::uint8_t VariantAt(Bucket& bucket, unsigned slot) const noexcept;

  // Constant after construction.
  const Shape shape_;
  const std::size_t slot_bytes_;
  const std::size_t bucket_bytes_;
  const std::uint64_t buckets_;
  const std::uint32_t id_;
  const std::unique_ptr<Mapping> mapping_;
  // Relaxed counters.
  std::atomic<std::uint64_t> evictions_{0};
  std::atomic<std::uint64_t> evictions_at_limit_{0};
  std::atomic<std::uint64_t> refusals_{0};
};

inline Cell::Cell(Table& table, Bucket& bucket, std::uint32_t fingerprint) noexcept
    : table_(&table), bucket_(&bucket), fingerprint_(fingerprint) {
  bucket.lock.Lock();
  slot_ = bucket.Find(fingerprint);
  state_ = present() ? bucket.State(slot_, table.slot_bytes_) : Table::never_seen;
}

inline void Table::Prefetch(std::uint64_t hash) const noexcept {
  Bucket& bucket = BucketOf(hash);
  PrefetchForWrite(&bucket);
  const std::byte* state = bucket.State(HomeOf(FingerprintOf(hash)), slot_bytes_);
  PrefetchForWrite(state);
  if (slot_bytes_ > kCacheLine) PrefetchForWrite(state + kCacheLine);
}

}  // namespace sluicegate::table
