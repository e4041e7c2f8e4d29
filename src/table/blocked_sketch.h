// BlockedSketch: remembers, in little memory, until when a key that the table had to drop stays
// blocked. When a full bucket drops a key that is at a limit, the time at which that key will be
// clear is folded in; a key that the table does not know is denied while its estimate lies in the
// future. It errs on one side only: a key may be held back too long, never let in too early.
//
// Four rows of 32-bit cells, one cell a row for a key. A cell is the latest time that was folded
// into it, the estimate is the earliest of a key's four. Nothing expires by itself: a cell whose
// time is past is an empty one.
//
// A newcomer is refused wrongly if all four of its cells are live, or if it has the fingerprint of
// a blocked key. The expected share of those is the product of the rows' shares of live cells and a
// little more, and folding stops where one fold more might lift it above 1 %: what is not folded
// then is forgotten and counted. In 32 MiB that is at about 0.8 M live blocks.
//
// Thread-safe without a lock that anybody waits for; Take alone is not. Owns its mapping; neither
// copies nor moves. blocked_sketch.cc derives the bound on live cells that folding goes by.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>

#include "limit/saturating.h"
#include "table/bucket.h"
#include "table/headed.h"
#include "table/mapping.h"
#include "table/owners.h"

namespace sluicegate::table {

/// What a sketch counted since it was made.
struct BlockedCounts {
  std::uint64_t folded = 0;     ///< Blocks that it took in; those of Take are not among them.
  std::uint64_t forgotten = 0;  ///< Blocks that it did not: saturated, or beyond the last tick.
};

/// How the time left of a block changes with the rule: left * numerator / denominator, rounded up,
/// at most `cap_ns`, never less than it was. A longer time left stays the longer one, which is why
/// the latest time in a cell may stand for all that were folded into it. A value type.
struct Stretch {
  std::uint64_t numerator = 1;
  std::uint64_t denominator = 1;  ///< REQUIRES: not 0.
  std::uint64_t cap_ns = limit::kMaxU64;

  [[nodiscard]] std::uint64_t Apply(std::uint64_t left_ns) const noexcept;
};

class BlockedSketch {
 public:
  struct Options {
    std::size_t bytes = 0;  ///< At least kLeastBytes; what it takes is never more.
    bool protect = false;   ///< Folds on when saturated: forgets nothing, refuses more newcomers.
  };
  static constexpr std::size_t kRows = 4;
  static constexpr std::size_t kLeastBytes = kRows * kCacheLine;
  /// A tick is 2^26 ns, 67 ms: how much longer than its time a block may last. 2^32 of them are 9.1
  /// years.
  static constexpr unsigned kTickShift = 26;

  /// As many whole lines a row as fit into `bytes` (at most 2^32 - 16 cells a row, 64 GiB).
  /// REQUIRES: options.bytes >= kLeastBytes.
  [[nodiscard]] static std::expected<std::unique_ptr<BlockedSketch>, std::string> Create(
      Options options);
  /// A sketch in a region of a file that processes share: how large that is.
  [[nodiscard]] static std::size_t RegionBytes(Options options) noexcept;
  /// Makes a fresh region, all zero, an empty sketch.
  static void Begin(const Mapping& region) noexcept;
  /// The sketch in a region that was begun. `owners` outlives it.
  [[nodiscard]] static std::unique_ptr<BlockedSketch> OfRegion(bool protect,
                                                               std::shared_ptr<Mapping> region,
                                                               Owners& owners);
  /// Whether a region of so many bytes can be a sketch.
  [[nodiscard]] static bool IsRegion(std::size_t bytes) noexcept {
    return bytes >= RegionBytes({.bytes = kLeastBytes});
  }
  BlockedSketch(const BlockedSketch&) = delete;
  BlockedSketch& operator=(const BlockedSketch&) = delete;

  /// Blocks the key until `until_ns` at least. False, and counted as forgotten, if the sketch is
  /// saturated and does not protect, or if `until_ns` is more than 9.1 years after the first fold.
  /// A time that is past needs no block: true. `fingerprint` is the table's, of a keyed hash.
  bool Fold(std::uint64_t fingerprint, std::uint64_t until_ns, std::uint64_t now_ns) noexcept;

  /// How long the key stays blocked, in ns; 0: it may enter. At least what is left of any block
  /// that was folded for it; a block of its own adds less than a tick, other keys may add more.
  [[nodiscard]] std::uint64_t BlockedFor(std::uint64_t fingerprint,
                                         std::uint64_t now_ns) const noexcept {
    // Most sketches hold no live block for most of their lives: one comparison then.
    if (words_->latest_tick.load(std::memory_order_acquire) <= now_ns >> kTickShift) return 0;
    return LookUp(fingerprint, now_ns);
  }

  /// Forgets every block, a third of a nanosecond a cell. One that is folded meanwhile may stay or
  /// go. The bound that folding goes by stays one, and falls with the next pass.
  void Clear() noexcept;

  /// Starts to fetch the four lines that BlockedFor will read; nothing if nothing was ever folded.
  void Prefetch(std::uint64_t fingerprint) const noexcept;

  /// At least the expected share of newcomers that are refused, in millionths, rounded up.
  [[nodiscard]] std::uint32_t RefusedPpm(std::uint64_t now_ns) const noexcept;
  [[nodiscard]] BlockedCounts counts() const noexcept;

  using PerRow = std::array<std::uint64_t, kRows>;
  /// At least the live cells of each row, from what the folds saw by the way: what the decision to
  /// fold goes by. For a time not before that of any Fold; constant time.
  [[nodiscard]] PerRow LiveAtMost() const noexcept;
  /// The live cells of each row, counted: about a third of a nanosecond a cell.
  [[nodiscard]] PerRow CountLive(std::uint64_t now_ns) const noexcept;

  [[nodiscard]] std::size_t bytes() const noexcept {
    return cells_per_row_ * kRows * sizeof(TickCell);
  }
  /// Whether Create would make a sketch like this one.
  [[nodiscard]] bool Fits(Options options) const noexcept {
    return options.protect == protect_ && options.bytes / kLeastBytes * kLeastBytes == bytes();
  }
  [[nodiscard]] std::uint64_t cells_per_row() const noexcept { return cells_per_row_; }

  /// Takes over every block of a sketch of any size, for a reload that gives the rule other memory
  /// or other limits. A block that `stretch` sends beyond the last tick ends there. Where this one
  /// is the smaller, more newcomers than 1 % may be refused until enough has expired.
  /// REQUIRES: nobody else uses this sketch yet, nothing was folded into it, and nobody folds into
  /// `old` meanwhile (reading it is fine).
  void Take(const BlockedSketch& old, std::uint64_t now_ns, const Stretch& stretch = {}) noexcept;

 private:
  using TickCell = std::atomic<std::uint32_t>;  // Ticks since the base; 0: never folded into.
  static constexpr std::uint64_t kNoBase = limit::kMaxU64;

  // What a sketch has beside its cells. In a region its first lines.
  struct Words {
    // Read by everybody, written seldom: the first fold's tick, the latest tick folded (both of
    // engine time), and of each row the live cells of its last pass less the folds finished when
    // that began.
    alignas(kCacheLine) std::atomic<std::uint64_t> base_tick{kNoBase};
    std::atomic<std::uint64_t> latest_tick{0};
    std::array<std::atomic<std::uint64_t>, kRows> surpluses{};
    // Written by every fold. One whose process died stays started for ever: a cell's worth.
    alignas(kCacheLine) std::atomic<std::uint64_t> started{0};
    std::atomic<std::uint64_t> finished{0};
    std::atomic<std::uint64_t> forgotten{0};
    std::atomic<std::uint64_t> refused_tick{0};  // Of the last attempt that was refused.
    // The scan; all but the word guarded by it. 0: nobody scans, else who does.
    alignas(kCacheLine) std::atomic<std::uint32_t> scanner{0};
    std::uint64_t cursor = 0;  // The next cell of every row; 0: the next pass begins.
    std::uint64_t finished_before_pass = 0;
    PerRow live_in_pass{};
  };
  static_assert(sizeof(Words) == 3 * kCacheLine);

  BlockedSketch(bool protect, Headed<Words> memory, Owners* owners) noexcept;

  [[nodiscard]] TickCell& CellOf(std::size_t row, std::uint64_t fingerprint) const noexcept;
  [[nodiscard]] TickCell* Row(std::size_t row) const noexcept {
    return cells_ + row * cells_per_row_;
  }
  [[nodiscard]] std::uint64_t LookUp(std::uint64_t fingerprint,
                                     std::uint64_t now_ns) const noexcept;
  [[nodiscard]] std::uint64_t BaseFor(std::uint64_t now_ns) noexcept;
  [[nodiscard]] std::uint64_t CellTick(std::uint64_t now_ns) const noexcept;
  [[nodiscard]] bool Admit(std::uint64_t now_ns) noexcept;
  [[nodiscard]] bool Reserve() noexcept;
  [[nodiscard]] bool IsBearable(const PerRow& live) const noexcept;
  [[nodiscard]] PerRow Surpluses() const noexcept;
  [[nodiscard]] static std::size_t CellBytes(Options options) noexcept;
  [[nodiscard]] bool TryScan() noexcept;
  void Scan(std::uint64_t cells, std::uint64_t now_ns) noexcept;
  void Publish(const PerRow& live, std::uint64_t finished) noexcept;
  void TakeRow(std::size_t row, const BlockedSketch& old, std::uint64_t now_ns,
               const Stretch& stretch) noexcept;

  // Constant after construction.
  const bool protect_;
  const Headed<Words> memory_;
  Words* const words_;
  TickCell* const cells_;  // Row after row.
  const std::uint64_t cells_per_row_;
  Owners* const owners_;  // Null for a sketch of this process alone.
  std::atomic<std::uint32_t> missed_scans_{0};
};

}  // namespace sluicegate::table
