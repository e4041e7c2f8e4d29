// The bound on live cells.
//
// To count the live cells of a row at every fold costs too much, and to count them up and down is
// not possible, as cells die by time alone. So every attempt to fold reads the next few cells of
// each row, in a pass that goes round and round. With
//
//     B         the folds that had finished when the last complete pass began,
//     live      the cells that were live when that pass came by,
//     started   the folds that have started until now,
//
// a row holds at most live + (started - B) live cells. A cell that is live now either was live when
// the pass read it, and is counted, or was not. Then a fold f has raised it since, to a time after
// now: time only kills, provided that now is not before the pass. If f had been among the B, the
// pass would have read what f wrote: f writes its cells before it adds itself to `finished_`
// (release), and the pass reads that number (acquire) before any cell. So f is one of the
// started - B others. Each of those has one cell a row, so it accounts for one at most.
//
// Threads fold meanwhile. A fold adds itself to `started_` before it asks whether it may go on, and
// takes itself off again if not; then it has raised nothing. So the bound covers the folds that are
// still under way, and of two that want the last place at once at most one gets it. Only
// `finished_` is subtracted, and that never goes down. live - B is one word a row: whoever reads it
// and `started_` after it (the pass' release and acquire again) has a bound that belongs together.
// An old one serves as well as a new one.
//
// If the latest time that was ever folded is past, nothing is live: that is a pass in one step,
// with B read before the latest time, which a fold raises before it has finished. Hence a sketch
// that had been saturated folds again at once when all its blocks are past, however rare the
// attempts.
//
// Inaccuracies.
// - A fold is counted whether or not it made a dead cell live, and stays counted until the second
//   pass after it: at the limit that is 0.32 (the share of folds that meet a live cell) of 1/64 to
//   2/64 of the cells, 1.5 to 3 % of the live ones. Refused attempts go on scanning and fold
//   nothing, so it is gone when the limit has been hit for two passes.
// - A dropped key is known by its fingerprint of 32 bits, so n live blocks refuse n / 2^32 of the
//   newcomers beside the product: 0.02 % at 0.8 M. That is part of the 1 %. n is taken for 5/4 of
//   a row's live cells: up to a share of 0.32 it is at most 1.21 of them, -ln(1 - x) / x.
// - "now" above is the latest that an attempt came with. A thread whose clock is behind sees those
//   cells alive that died in between.
// - Ticks end 9.1 years after the first fold. A sketch that old forgets everything (and counts it)
//   until a reload makes a new one.
#include "table/blocked_sketch.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace sluicegate::table {
namespace {

using Wide = unsigned __int128;

constexpr std::uint64_t kCellsPerLine = kCacheLine / sizeof(std::uint32_t);
constexpr std::uint64_t kMostLinesPerRow = (std::uint64_t{1} << 32) / kCellsPerLine - 1;
constexpr std::uint64_t kLastTick = ~std::uint32_t{0};
constexpr std::uint64_t kMostRefused = (std::uint64_t{1} << 32U) / 100;  // In 2^-32: 1 %.

// Cells of each row that an attempt scans: 64 are about 0.1 us. A refused one has nothing else to
// do. The first one that is refused in a tick scans so many that in 32 MiB two passes are over
// within 1024 attempts, if these are rare: 6 us in 67 ms.
constexpr std::uint64_t kCellsPerFold = 64;
constexpr std::uint64_t kCellsPerRefusal = 256;
constexpr std::uint64_t kCellsPerTick = 4096;

// The first 64 fractional digits of pi in base 16, so that nobody has chosen them.
constexpr std::array<std::uint64_t, BlockedSketch::kRows> kRowKeys = {
    0x243f6a8885a308d3U, 0x13198a2e03707344U, 0xa4093822299f31d0U, 0x082efa98ec4e6c89U};

// The finaliser of splitmix64 (Steele, Lea, Flood 2014): every bit of the input moves every bit of
// the output, so the rows' cells do not follow from one another, nor from the bucket in the table.
constexpr std::uint64_t Mix(std::uint64_t x) noexcept {
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31U);
}

constexpr std::uint64_t TickOf(std::uint64_t ns) noexcept {
  return ns >> BlockedSketch::kTickShift;
}

constexpr std::uint64_t TickAfter(std::uint64_t ns) noexcept {
  constexpr std::uint64_t kTick = std::uint64_t{1} << BlockedSketch::kTickShift;
  return limit::DivideRoundingUp(ns, kTick);
}

constexpr std::uint64_t EndOf(std::uint64_t tick) noexcept {
  constexpr std::uint64_t kTick = std::uint64_t{1} << BlockedSketch::kTickShift;
  return limit::MultiplySaturating(tick, kTick);
}

// Release, so that who sees a word raised sees the base that it counts from.
template <typename Word>
void Raise(std::atomic<Word>& word, Word value) noexcept {
  Word seen = word.load(std::memory_order_relaxed);
  while (seen < value && !word.compare_exchange_weak(seen, value, std::memory_order_release,
                                                     std::memory_order_relaxed)) {
  }
}

std::uint64_t CountAbove(const std::atomic<std::uint32_t>* cells, std::uint64_t count,
                         std::uint64_t tick) noexcept {
  const auto dead = static_cast<std::uint32_t>(tick);
  std::uint64_t live = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    live += cells[i].load(std::memory_order_relaxed) > dead ? 1U : 0U;
  }
  return live;
}

// The share of newcomers whose fingerprint is a live block's, in 2^-32.
std::uint64_t FingerprintShare(const BlockedSketch::PerRow& live) noexcept {
  return *std::ranges::max_element(live) * 5 / 4;
}

}  // namespace

std::uint64_t Stretch::Apply(std::uint64_t left_ns) const noexcept {
  const Wide stretched = (Wide{left_ns} * numerator + (denominator - 1)) / denominator;
  return std::max(left_ns, static_cast<std::uint64_t>(std::min(stretched, Wide{cap_ns})));
}

std::expected<std::unique_ptr<BlockedSketch>, std::string> BlockedSketch::Create(Options options) {
  auto mapping = Mapping::Create(CellBytes(options));
  if (!mapping) return std::unexpected(std::move(mapping.error()));
  return std::unique_ptr<BlockedSketch>(new BlockedSketch(
      options.protect, {std::move(*mapping), std::make_unique<Words>()}, nullptr));
}

std::size_t BlockedSketch::CellBytes(Options options) noexcept {
  assert(options.bytes >= kLeastBytes);
  return std::min(options.bytes / kLeastBytes, kMostLinesPerRow) * kLeastBytes;
}

std::size_t BlockedSketch::RegionBytes(Options options) noexcept {
  return sizeof(Words) + CellBytes(options);
}

void BlockedSketch::Begin(const Mapping& region) noexcept { new (region.data()) Words; }

std::unique_ptr<BlockedSketch> BlockedSketch::OfRegion(bool protect,
                                                       std::shared_ptr<Mapping> region,
                                                       Owners& owners) {
  return std::unique_ptr<BlockedSketch>(
      new BlockedSketch(protect, Headed<Words>(std::move(region)), &owners));
}

// Zero bytes are cells that were never folded into.
BlockedSketch::BlockedSketch(bool protect, Headed<Words> memory, Owners* owners) noexcept
    : protect_(protect),
      memory_(std::move(memory)),
      words_(memory_.words()),
      cells_(reinterpret_cast<TickCell*>(memory_.bytes().data())),
      cells_per_row_(memory_.bytes().size() / kLeastBytes * kCellsPerLine),
      owners_(owners) {}

// The high half of a product: even over any number of cells, and a row of another size divides the
// same line of mixed hashes (Take needs that).
BlockedSketch::TickCell& BlockedSketch::CellOf(std::size_t row,
                                               std::uint64_t fingerprint) const noexcept {
  const std::uint64_t mixed = Mix(fingerprint ^ kRowKeys[row]);
  return Row(row)[static_cast<std::uint64_t>((Wide{mixed} * cells_per_row_) >> 64U)];
}

std::uint64_t BlockedSketch::BaseFor(std::uint64_t now_ns) noexcept {
  std::uint64_t base = words_->base_tick.load(std::memory_order_relaxed);
  if (base == kNoBase &&
      words_->base_tick.compare_exchange_strong(base, TickOf(now_ns), std::memory_order_relaxed)) {
    return TickOf(now_ns);
  }
  return base;
}

// A cell is live while its value is above this: its end base + value is a whole number of ticks, so
// it is after now if it is after the tick that now lies in. Before the base every cell is live that
// was ever folded into.
std::uint64_t BlockedSketch::CellTick(std::uint64_t now_ns) const noexcept {
  const std::uint64_t base = words_->base_tick.load(std::memory_order_relaxed);
  return std::min(limit::SubtractSaturating(TickOf(now_ns), base), kLastTick);
}

bool BlockedSketch::Fold(std::uint64_t fingerprint, std::uint64_t until_ns,
                         std::uint64_t now_ns) noexcept {
  if (until_ns <= now_ns) return true;
  const std::uint64_t base = BaseFor(now_ns);
  // A time before the base (another thread's clock was ahead) is held for one tick.
  const std::uint64_t tick =
      std::max<std::uint64_t>(limit::SubtractSaturating(TickAfter(until_ns), base), 1);
  if (tick > kLastTick || !Admit(now_ns)) {
    words_->forgotten.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  Raise(words_->latest_tick, base + tick);
  for (std::size_t row = 0; row < kRows; ++row) {
    Raise(CellOf(row, fingerprint), static_cast<std::uint32_t>(tick));
  }
  words_->finished.fetch_add(1, std::memory_order_release);
  return true;
}

bool BlockedSketch::Admit(std::uint64_t now_ns) noexcept {
  Scan(kCellsPerFold, now_ns);
  if (Reserve()) return true;
  const std::uint64_t tick = TickOf(now_ns);
  const bool first = words_->refused_tick.exchange(tick, std::memory_order_relaxed) != tick;
  Scan(first ? kCellsPerTick : kCellsPerRefusal, now_ns);
  return Reserve();
}

// The surpluses first, then the number of folds: see the top.
bool BlockedSketch::Reserve() noexcept {
  PerRow live = Surpluses();
  const std::uint64_t started = words_->started.fetch_add(1, std::memory_order_relaxed) + 1;
  if (protect_) return true;
  for (std::uint64_t& row : live) row = std::min(row + started, cells_per_row_);
  if (IsBearable(live)) return true;
  words_->started.fetch_sub(1, std::memory_order_relaxed);
  return false;
}

// Whether so many live cells refuse at most 1 % of the newcomers. Products of four rows of less
// than 2^32 cells fit into 128 bits; the one with the share is made of two halves.
bool BlockedSketch::IsBearable(const PerRow& live) const noexcept {
  const std::uint64_t fingerprints = FingerprintShare(live);
  if (fingerprints >= kMostRefused) return false;
  Wide product = 1;
  Wide all = 1;
  for (const std::uint64_t row : live) {
    product *= row;
    all *= cells_per_row_;
  }
  const std::uint64_t share = kMostRefused - fingerprints;
  return product <= (all >> 32U) * share + (((all & 0xFFFF'FFFFU) * share) >> 32U);
}

BlockedSketch::PerRow BlockedSketch::Surpluses() const noexcept {
  PerRow surpluses;
  for (std::size_t row = 0; row < kRows; ++row) {
    surpluses[row] = words_->surpluses[row].load(std::memory_order_acquire);
  }
  return surpluses;
}

// Now and then it is looked whether who scans is dead; the pass begins anew then.
bool BlockedSketch::TryScan() noexcept {
  constexpr std::uint32_t kMissesBeforeAsking = 256;
  const std::uint32_t word = WordOf(owners_);
  if (word == 0) return false;
  std::uint32_t seen = 0;
  if (words_->scanner.compare_exchange_strong(seen, word, std::memory_order_acquire)) return true;
  if (owners_ == nullptr) return false;
  const std::uint32_t missed = missed_scans_.fetch_add(1, std::memory_order_relaxed);
  if (missed % kMissesBeforeAsking != 0 || !owners_->IsDead(seen)) return false;
  if (!words_->scanner.compare_exchange_strong(seen, word, std::memory_order_acquire)) return false;
  owners_->CountTakeover();
  words_->cursor = 0;
  return true;
}

// Reads the next cells of each row. Does nothing while another thread does: the bound holds
// without.
void BlockedSketch::Scan(std::uint64_t cells, std::uint64_t now_ns) noexcept {
  if (!TryScan()) return;
  const std::uint64_t finished = words_->finished.load(std::memory_order_acquire);
  if (words_->latest_tick.load(std::memory_order_relaxed) <= TickOf(now_ns)) {
    Publish({}, finished);
    words_->cursor = 0;
  } else {
    if (words_->cursor == 0 || words_->cursor >= cells_per_row_) {  // A file may say anything.
      words_->cursor = 0;
      words_->finished_before_pass = finished;
      words_->live_in_pass = {};
    }
    const std::uint64_t count = std::min(cells, cells_per_row_ - words_->cursor);
    for (std::size_t row = 0; row < kRows; ++row) {
      words_->live_in_pass[row] += CountAbove(Row(row) + words_->cursor, count, CellTick(now_ns));
    }
    words_->cursor += count;
    if (words_->cursor == cells_per_row_) {
      Publish(words_->live_in_pass, words_->finished_before_pass);
      words_->cursor = 0;
    }
  }
  words_->scanner.store(0, std::memory_order_release);
}

// A difference may wrap; the sum with `started_` wraps back.
void BlockedSketch::Publish(const PerRow& live, std::uint64_t finished) noexcept {
  for (std::size_t row = 0; row < kRows; ++row) {
    words_->surpluses[row].store(live[row] - finished, std::memory_order_release);
  }
}

std::uint64_t BlockedSketch::LookUp(std::uint64_t fingerprint,
                                    std::uint64_t now_ns) const noexcept {
  std::uint32_t tick = ~std::uint32_t{0};
  for (std::size_t row = 0; row < kRows; ++row) {
    tick = std::min(tick, CellOf(row, fingerprint).load(std::memory_order_relaxed));
  }
  if (tick == 0) return 0;  // Before the base, its end would lie in the future.
  const std::uint64_t base = words_->base_tick.load(std::memory_order_relaxed);
  return limit::SubtractSaturating(EndOf(base + tick), now_ns);
}

// No cell becomes live by it, so nothing else has to change.
void BlockedSketch::Clear() noexcept {
  for (std::uint64_t i = 0; i < kRows * cells_per_row_; ++i) {
    cells_[i].store(0, std::memory_order_relaxed);
  }
}

void BlockedSketch::Prefetch(std::uint64_t fingerprint) const noexcept {
  if (words_->latest_tick.load(std::memory_order_relaxed) == 0) return;
  for (std::size_t row = 0; row < kRows; ++row) __builtin_prefetch(&CellOf(row, fingerprint));
}

BlockedSketch::PerRow BlockedSketch::LiveAtMost() const noexcept {
  PerRow live = Surpluses();
  const std::uint64_t started = words_->started.load(std::memory_order_relaxed);
  for (std::uint64_t& row : live) row = std::min(row + started, cells_per_row_);
  return live;
}

BlockedSketch::PerRow BlockedSketch::CountLive(std::uint64_t now_ns) const noexcept {
  PerRow live;
  for (std::size_t row = 0; row < kRows; ++row) {
    live[row] = CountAbove(Row(row), cells_per_row_, CellTick(now_ns));
  }
  return live;
}

// In units of 2^-32 ppm, rounded up row by row: at most 1e6 * 2^32 * 2^32 on the way, which is less
// than 2^84.
std::uint32_t BlockedSketch::RefusedPpm(std::uint64_t now_ns) const noexcept {
  if (words_->latest_tick.load(std::memory_order_relaxed) <= TickOf(now_ns)) return 0;
  constexpr unsigned kFraction = 32;
  const PerRow live = LiveAtMost();
  Wide share = Wide{1'000'000} << kFraction;
  for (const std::uint64_t row : live) {
    share = (share * row + (cells_per_row_ - 1)) / cells_per_row_;
  }
  share += Wide{1'000'000} * FingerprintShare(live);
  const Wide ppm = (share + ((Wide{1} << kFraction) - 1)) >> kFraction;
  return static_cast<std::uint32_t>(std::min<Wide>(ppm, 1'000'000));
}

BlockedCounts BlockedSketch::counts() const noexcept {
  return {.folded = words_->finished.load(std::memory_order_relaxed),
          .forgotten = words_->forgotten.load(std::memory_order_relaxed)};
}

// The new base is not before the old one, so that what is left of an old block can be represented.
void BlockedSketch::Take(const BlockedSketch& old, std::uint64_t now_ns,
                         const Stretch& stretch) noexcept {
  assert(words_->base_tick.load(std::memory_order_relaxed) == kNoBase);
  if (old.words_->latest_tick.load(std::memory_order_acquire) <= TickOf(now_ns)) return;
  const std::uint64_t base =
      std::max(old.words_->base_tick.load(std::memory_order_relaxed), TickOf(now_ns));
  words_->base_tick.store(base, std::memory_order_relaxed);
  for (std::size_t row = 0; row < kRows; ++row) TakeRow(row, old, now_ns, stretch);
  Publish(CountLive(now_ns), 0);
}

// Cell i of n covers the mixed hashes from i/n to (i+1)/n of the whole range. It becomes the latest
// of the old cells j of m that overlap it: j/m < (i+1)/n and (j+1)/m > i/n.
void BlockedSketch::TakeRow(std::size_t row, const BlockedSketch& old, std::uint64_t now_ns,
                            const Stretch& stretch) noexcept {
  const std::uint64_t old_base = old.words_->base_tick.load(std::memory_order_relaxed);
  const std::uint64_t base = words_->base_tick.load(std::memory_order_relaxed);
  const std::uint64_t dead = old.CellTick(now_ns);
  for (std::uint64_t i = 0; i < cells_per_row_; ++i) {
    const std::uint64_t begin = i * old.cells_per_row_ / cells_per_row_;
    const std::uint64_t end = limit::DivideRoundingUp((i + 1) * old.cells_per_row_, cells_per_row_);
    std::uint64_t latest = 0;
    for (std::uint64_t j = begin; j < end; ++j) {
      latest = std::max<std::uint64_t>(latest, old.Row(row)[j].load(std::memory_order_relaxed));
    }
    if (latest <= dead) continue;
    const std::uint64_t left_ns = limit::SubtractSaturating(EndOf(old_base + latest), now_ns);
    const std::uint64_t until_ns = limit::AddSaturating(now_ns, stretch.Apply(left_ns));
    const std::uint64_t tick = std::min(TickAfter(until_ns) - base, kLastTick);
    Row(row)[i].store(static_cast<std::uint32_t>(tick), std::memory_order_relaxed);
    Raise(words_->latest_tick, base + tick);
  }
}

}  // namespace sluicegate::table
