// Table: bounded keyed state. A fixed number of buckets of 12 slots; a key's keyed hash names its
// bucket (high bits) and its fingerprint (the 32 bits below). One table a rule, so that a flood on
// one rule cannot touch another.
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
#include <optional>
#include <string>
#include <utility>

#include "sluicegate/time.h"
#include "table/blocked_sketch.h"
#include "table/bucket.h"
#include "table/headed.h"
#include "table/mapping.h"

namespace sluicegate::table {

/// What a slot's state is worth. A value type.
struct Weight {
  /// Such a slot is never a victim.
  static constexpr std::uint32_t kPinned = ~std::uint32_t{0};
  static constexpr std::uint32_t kAtLimitPpm = 1'000'000;

  std::uint32_t used_ppm = 0;         ///< Of the fullest limit; kAtLimitPpm and more: at a limit.
  std::uint64_t clears_after_ns = 0;  ///< Until nothing is left to remember; 0: a free slot.
  /// Until the limits that it is at are cleared: what a victim must not escape. 0: it is at none.
  std::uint64_t blocked_ns = 0;
};

/// Weighs slots, so that a victim can be chosen. Pure.
class Weigher {
 public:
  /// `state` belongs to a key of limit set `variant`.
  [[nodiscard]] virtual Weight Weigh(const std::byte* state, std::uint8_t variant,
                                     Now now) const noexcept = 0;

 protected:
  ~Weigher() = default;
};

/// Writes a slot's state anew for another table. Pure but for what it writes.
class Mover {
 public:
  /// Writes the state, all zero before, and says which limit set the key has in the new table.
  /// False: nothing of it means anything there.
  [[nodiscard]] virtual bool Move(const std::byte* old_state, std::uint8_t old_variant,
                                  std::byte* state, std::uint8_t& variant,
                                  Now now) const noexcept = 0;

 protected:
  ~Mover() = default;
};

/// What the table counted since it was made.
struct TableCounts {
  std::uint64_t evictions = 0;           ///< Live keys below their limits that gave way.
  std::uint64_t evictions_at_limit = 0;  ///< Live keys at a limit that gave way.
  std::uint64_t forgotten = 0;           ///< Of these, the ones that the sketch did not take.
  std::uint64_t refusals = 0;            ///< Keys that found every slot pinned.
};

class Table;

/// A key's place in its bucket, locked. Move-only; unlocks when it dies. Of a table that has moved
/// (Table::MoveInto) it is sealed, of one that another process has stopped in it is stuck: then it
/// holds no lock, and its key reads as absent.
class Cell {
 public:
  Cell() noexcept = default;
  Cell(Cell&& other) noexcept
      : table_(other.table_),
        bucket_(std::exchange(other.bucket_, nullptr)),
        state_(other.state_),
        fingerprint_(other.fingerprint_),
        above_(other.above_),
        slot_(other.slot_) {}
  Cell& operator=(Cell&&) = delete;
  ~Cell() {
    if (bucket_ != nullptr) bucket_->lock.Unlock();
  }

  /// Whether it holds no lock: what it guards has moved, or cannot be had.
  [[nodiscard]] bool sealed() const noexcept { return bucket_ == nullptr; }
  /// Of a sealed one: it cannot be had now.
  [[nodiscard]] bool stuck() const noexcept { return slot_ == kStuckSlot; }
  [[nodiscard]] bool present() const noexcept { return slot_ < kSlotsPerBucket; }
  /// The key's state; all zero while the key is absent, and constant then: Claim first.
  [[nodiscard]] std::byte* state() const noexcept { return state_; }
  /// Of the slot; another one means that the key left it meanwhile.
  [[nodiscard]] std::uint8_t generation() const noexcept { return bucket_->tags[slot_].generation; }

  /// The limit set of the slot's key; 0 where slots are not tagged. REQUIRES: present().
  [[nodiscard]] std::uint8_t variant() const noexcept;

  /// Gives an absent key a slot of its own with a zero state: one never used, one whose debt is
  /// past, or the lightest one's. False if every slot is pinned. Does nothing for a key that is
  /// present. A victim at a limit is folded into the table's sketch. REQUIRES: not sealed.
  [[nodiscard]] bool Claim(const Weigher& weigher, std::uint8_t variant, Now now) noexcept;
  /// Makes a key that is present absent. Its slot is free, and gets another generation with its
  /// next key: a stamp of before gives nothing back.
  void Vacate() noexcept;
  /// Whether Claim would find every slot pinned. Looks at no state but of slots that were used.
  [[nodiscard]] bool IsCrowded(const Weigher& weigher, Now now) const noexcept;

 private:
  friend class Table;
  static constexpr unsigned kStuckSlot = kSlotsPerBucket + 1;
  Cell(Table& table, Bucket& bucket, std::uint32_t fingerprint, std::uint8_t above) noexcept;
  void Place(unsigned slot, std::uint8_t variant) noexcept;
  struct Victim {
    unsigned slot = kSlotsPerBucket;  // None: every slot is pinned.
    Weight weight{};                  // Of who is there; none if the slot is free.
  };
  [[nodiscard]] Victim FindVictim(const Weigher& weigher, Now now) const noexcept;

  Table* table_ = nullptr;
  Bucket* bucket_ = nullptr;
  std::byte* state_ = nullptr;
  std::uint32_t fingerprint_ = 0;
  std::uint8_t above_ = 0;  // See SlotTag.
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
  static constexpr std::size_t kMaxStateBytes = 648;  // Eight limits of 72 bytes, and new keys.

  /// What an absent key reads: zeros. Never written, as Cell::Claim puts a real state in its place
  /// first.
  alignas(8) static std::byte never_seen[kMaxStateBytes];

  /// As many whole buckets as fit into `bytes`, at least one. `sketch`, which several tables may
  /// share, remembers victims that were at a limit; null: they are forgotten, and counted.
  [[nodiscard]] static std::expected<std::unique_ptr<Table>, std::string> Create(
      Shape shape, std::size_t bytes, std::shared_ptr<BlockedSketch> sketch = nullptr);
  /// A table that can take this one's keys over by MoveInto. With this one's id, stamps of before
  /// still name their charges.
  [[nodiscard]] std::expected<std::unique_ptr<Table>, std::string> CreateSuccessor(
      Shape shape, std::size_t bytes, std::shared_ptr<BlockedSketch> sketch, bool keep_id) const;
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;

  /// A table in a region of a file that processes share: how large that is for `bytes` of buckets.
  [[nodiscard]] static std::size_t RegionBytes(Shape shape, std::size_t bytes) noexcept;
  /// Makes a fresh region, all zero, an empty table. `id` must be the same for all processes, and
  /// no other table's.
  static void Begin(const Mapping& region, Shape shape, std::uint32_t id) noexcept;
  /// As Begin, for a table that can take this one's keys over.
  void BeginSuccessor(const Mapping& region, std::uint32_t id, bool keep_id) const noexcept;
  /// Whether a region of so many bytes can be a table of this shape.
  [[nodiscard]] static bool IsRegion(Shape shape, std::size_t bytes) noexcept {
    return bytes >= RegionBytes(shape, 0);
  }
  /// The table in a region that was begun. `owners` outlives it.
  [[nodiscard]] static std::unique_ptr<Table> OfRegion(Shape shape, std::shared_ptr<Mapping> region,
                                                       Owners& owners,
                                                       std::shared_ptr<BlockedSketch> sketch);

  /// Unique among the tables of the process that are not sealed.
  [[nodiscard]] std::uint32_t id() const noexcept { return id_; }
  [[nodiscard]] Shape shape() const noexcept { return shape_; }
  [[nodiscard]] const std::shared_ptr<BlockedSketch>& sketch() const noexcept { return sketch_; }
  /// Whether Create would make a table of this size and shape.
  [[nodiscard]] bool Fits(Shape shape, std::size_t bytes) const noexcept;
  [[nodiscard]] std::uint64_t capacity() const noexcept { return buckets_ * kSlotsPerBucket; }
  [[nodiscard]] std::size_t bytes() const noexcept { return memory_.bytes().size(); }

  /// Starts to fetch the lines that a decision on this key will most likely touch.
  void Prefetch(std::uint64_t hash) const noexcept;
  /// For batches, in two steps: the header; and once that is there, the state wherever it lies. The
  /// second looks without the lock, so it is a guess too, and a good one.
  void PrefetchHeader(std::uint64_t hash) const noexcept;
  void PrefetchState(std::uint64_t hash) const noexcept;
  /// Locks the key's bucket and looks the key up.
  [[nodiscard]] Cell Lock(std::uint64_t hash) noexcept {
    return Cell(*this, BucketOf(hash), FingerprintOf(hash), AboveOf(hash));
  }

  /// What becomes of a table whose keys were handed on.
  enum class Leave : std::uint8_t {
    kSealed,  ///< Who locks a cell of it from then on is told so.
    kUsable,  ///< For processes that go on with it: what is charged in it then does not count
              ///< there.
  };
  /// Hands every key that `mover` can write anew on to `next`. Bucket, fingerprint and tag tell all
  /// bits of a key's hash that matter, unless its table has shrunk to less than a sixteenth of the
  /// one that it first came to: then a key lies in every bucket that may be its own, and a copy
  /// elsewhere is nobody's and is free once its debt is past. Of keys for which there is no room
  /// the lightest are evicted: into this table's sketch if it is sealed and has one, so that the
  /// new one can take that over; else into the new one. REQUIRES: `next` is a successor of this,
  /// and nobody uses it yet.
  /// False: a living process kept buckets locked, whose keys are missing there.
  bool MoveInto(Table& next, const Mover& mover, const Weigher& weigher, Now now,
                Leave leave = Leave::kSealed) noexcept;

  /// From now on this process finds it sealed, whatever others do with it: for as long as its keys
  /// are copied. Who is about to lock a bucket may still do so for some microseconds. REQUIRES: it
  /// is a table in a region.
  void Depart() { owners_.store(&Owners::Gone(), std::memory_order_relaxed); }
  /// Undoes Depart.
  void ComeBack(Owners& owners) noexcept { owners_.store(&owners, std::memory_order_relaxed); }

  /// Whether a stamp of `when` still tells of something: not if that was past when it moved here.
  [[nodiscard]] bool Knows(Now when) const noexcept {
    return when.engine_ns >= words_->stamps_from_ns;
  }
  /// Of what was charged before, no stamp is known any more. REQUIRES: as MoveInto of `next`, here.
  void ForgetStampsBefore(std::uint64_t engine_ns) noexcept;

  /// How long a key that is absent must stay away, as it was evicted at a limit; 0: it may enter.
  [[nodiscard]] std::uint64_t BlockedFor(std::uint64_t hash, Now now) const noexcept {
    return sketch_ == nullptr ? 0 : sketch_->BlockedFor(FingerprintOf(hash), now.engine_ns);
  }

  /// Live slots (a debt that is not past): counted in a table of at most 524,288 buckets (64 MiB
  /// always; about 40 ns a bucket), else estimated from as many, spread evenly.
  [[nodiscard]] std::uint64_t EstimateLive(const Weigher& weigher, Now now) noexcept;
  /// Makes every key absent, bucket by bucket, some 40 ns each, while others go on. How many were
  /// live. What a stopped process holds stays.
  std::uint64_t Clear(const Weigher& weigher, Now now) noexcept;
  [[nodiscard]] TableCounts counts() const noexcept;

 private:
  friend class Cell;
  struct Identity {
    std::uint32_t id = 0;
    std::uint32_t shift = 0;
  };
  // What a table has beside its buckets. In a region its first line.
  struct alignas(kCacheLine) Words {
    std::uint32_t id = 0;
    // A fingerprint is the 32 bits of the hash above these: of the first table those right below
    // the bits that its bucket tells. Successors keep it, so that a key stays known by its
    // fingerprint.
    std::uint32_t shift = 0;
    std::uint64_t stamps_from_ns = 0;  // Written before anybody else uses the table.
    // Relaxed counters.
    std::atomic<std::uint64_t> evictions{0};
    std::atomic<std::uint64_t> evictions_at_limit{0};
    std::atomic<std::uint64_t> forgotten{0};
    std::atomic<std::uint64_t> refusals{0};
  };
  static_assert(sizeof(Words) == kCacheLine);

  Table(Shape shape, Headed<Words> memory, Owners* owners,
        std::shared_ptr<BlockedSketch> sketch) noexcept;
  [[nodiscard]] static std::expected<std::unique_ptr<Table>, std::string> Create(
      Shape shape, std::size_t bytes, Identity identity, std::shared_ptr<BlockedSketch> sketch);
  void CountEviction(std::uint32_t fingerprint, const Weight& weight, Now now,
                     BlockedSketch* sketch) noexcept;
  struct MovedKey;
  void MoveKey(const MovedKey& key, std::uint64_t bucket, const Weigher& weigher, Now now,
               BlockedSketch* sketch) noexcept;
  /// Calls `use` with each bucket that the key of a slot may have in a table of so many buckets.
  template <class Use>
  void ForEachBucketIn(std::uint64_t next_buckets, std::uint64_t bucket, const MovedKey& key,
                       const Use& use) const noexcept;

  [[nodiscard]] Bucket& BucketAt(std::uint64_t index) const noexcept {
    return *reinterpret_cast<Bucket*>(data_ + index * bucket_bytes_);
  }
  [[nodiscard]] Bucket& BucketOf(std::uint64_t hash) const noexcept {
    // The high half of hash * buckets: even over any number of buckets, no power of two needed
    // (Lemire 2016).
    return BucketAt(
        static_cast<std::uint64_t>((static_cast<unsigned __int128>(hash) * buckets_) >> 64));
  }
  [[nodiscard]] std::uint32_t FingerprintOf(std::uint64_t hash) const noexcept {
    const auto bits = static_cast<std::uint32_t>(hash >> shift_);
    return bits == 0 ? 1 : bits;
  }
  [[nodiscard]] std::uint8_t AboveOf(std::uint64_t hash) const noexcept {
    return static_cast<std::uint8_t>((hash >> shift_ >> 32U) & 0xFU);
  }
  /// Where a key lies if that slot was free when it came: lets Prefetch guess right more often than
  /// not.
  [[nodiscard]] static unsigned HomeOf(std::uint32_t fingerprint) noexcept {
    // Its low half: what is above tells buckets apart once a table has grown.
    return ((fingerprint & 0xFFFFU) * kSlotsPerBucket) >> 16U;
  }
  [[nodiscard]] std::uint8_t VariantAt(Bucket& bucket, unsigned slot) const noexcept;
  /// REQUIRES: its lock is held.
  [[nodiscard]] std::uint64_t CountLive(Bucket& bucket, const Weigher& weigher,
                                        Now now) const noexcept;
  /// Of so few bytes a bucket's lines are all fetched at once.
  static constexpr std::size_t kSmallBucket = 4 * kCacheLine;
  void FetchSlot(Bucket& bucket, unsigned slot) const noexcept;
  void FetchAll(Bucket& bucket) const noexcept;

  // Constant after construction.
  const Shape shape_;
  const std::size_t slot_bytes_;
  const std::size_t bucket_bytes_;
  const Headed<Words> memory_;
  Words* const words_;
  std::byte* const data_;  // The buckets.
  const std::uint64_t buckets_;
  // As in the words, for as long as this lives, whatever becomes of a file.
  const std::uint32_t id_;
  const unsigned shift_;
  // Null for a table of this process alone. Relaxed.
  std::atomic<Owners*> owners_;
  const std::shared_ptr<BlockedSketch> sketch_;
};

inline Cell::Cell(Table& table, Bucket& bucket, std::uint32_t fingerprint,
                  std::uint8_t above) noexcept
    : table_(&table), bucket_(&bucket), fingerprint_(fingerprint), above_(above) {
  const Locked locked = bucket.lock.Lock(table.owners_.load(std::memory_order_relaxed));
  if (locked != Locked::kHeld) {
    bucket_ = nullptr;
    state_ = Table::never_seen;
    if (locked == Locked::kStuck) slot_ = kStuckSlot;
    return;
  }
  slot_ = bucket.Find(fingerprint);
  state_ = present() ? bucket.State(slot_, table.slot_bytes_) : Table::never_seen;
}

inline void Table::Prefetch(std::uint64_t hash) const noexcept {
  Bucket& bucket = BucketOf(hash);
  PrefetchForWrite(&bucket);
  if (bucket_bytes_ <= kSmallBucket) return FetchAll(bucket);
  FetchSlot(bucket, HomeOf(FingerprintOf(hash)));
}

inline std::uint8_t Table::VariantAt(Bucket& bucket, unsigned slot) const noexcept {
  if (!shape_.tagged) return 0;
  return static_cast<std::uint8_t>(bucket.State(slot, slot_bytes_)[shape_.state_bytes]);
}

inline std::uint8_t Cell::variant() const noexcept { return table_->VariantAt(*bucket_, slot_); }

inline void Table::FetchAll(Bucket& bucket) const noexcept {
  for (std::size_t at = kCacheLine; at < bucket_bytes_; at += kCacheLine) {
    PrefetchForWrite(reinterpret_cast<const std::byte*>(&bucket) + at);
  }
}

inline void Table::FetchSlot(Bucket& bucket, unsigned slot) const noexcept {
  const std::byte* state = bucket.State(slot, slot_bytes_);
  PrefetchForWrite(state);
  if (slot_bytes_ > kCacheLine) PrefetchForWrite(state + kCacheLine);
}

inline void Table::PrefetchHeader(std::uint64_t hash) const noexcept {
  PrefetchForWrite(&BucketOf(hash));
}

inline void Table::PrefetchState(std::uint64_t hash) const noexcept {
  Bucket& bucket = BucketOf(hash);
  const std::uint32_t fingerprint = FingerprintOf(hash);
  const unsigned slot = bucket.PeekFor(fingerprint);
  FetchSlot(bucket, slot < kSlotsPerBucket ? slot : HomeOf(fingerprint));
}

}  // namespace sluicegate::table
