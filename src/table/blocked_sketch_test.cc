// The blocked sketch: no block is lost, few newcomers are refused, and its bound is one.
#include "table/blocked_sketch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <barrier>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/seed_for_test.h"

namespace sluicegate::table {
namespace {

// Smaller sketches and fewer keys, in the same proportions, where sanitizers slow everything down.
#ifdef NDEBUG
constexpr std::uint64_t kScale = 1;
#else
constexpr std::uint64_t kScale = 16;
#endif

constexpr std::uint64_t kTick = std::uint64_t{1} << BlockedSketch::kTickShift;
constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kHour = 3600 * kSecond;
constexpr std::uint64_t kStart = 1'000'000 * kSecond + 12'345;  // In the middle of a tick.
constexpr std::uint64_t kLarge = (std::uint64_t{32} << 20) / kScale;
constexpr std::uint64_t kFolds = 80'000 / kScale;  // By one thread of a crowd.
constexpr std::uint64_t kLastTick = 0xffff'ffff;   // After the base.

std::unique_ptr<BlockedSketch> MakeSketch(std::size_t bytes, bool protect = false) {
  auto sketch = BlockedSketch::Create({.bytes = bytes, .protect = protect});
  EXPECT_TRUE(sketch.has_value());
  return std::move(*sketch);
}

// The true share of newcomers refused: the product of the rows' shares of live cells.
double RefusedShare(const BlockedSketch& sketch, std::uint64_t now_ns) {
  double share = 1;
  for (const std::uint64_t live : sketch.CountLive(now_ns)) {
    share *= static_cast<double>(live) / static_cast<double>(sketch.cells_per_row());
  }
  return share;
}

// Of newcomers whose hashes have the bits of `mask`.
std::uint64_t CountRefused(const BlockedSketch& sketch, std::mt19937_64& random,
                           std::uint64_t newcomers, std::uint64_t now_ns,
                           std::uint64_t mask = limit::kMaxU64) {
  std::uint64_t refused = 0;
  for (std::uint64_t i = 0; i < newcomers; ++i) {
    refused += sketch.BlockedFor(random() & mask, now_ns) != 0 ? 1U : 0U;
  }
  return refused;
}

// Blocks `count` strangers for an hour.
void FoldStrangers(BlockedSketch& sketch, std::mt19937_64& random, std::uint64_t count,
                   std::uint64_t mask = limit::kMaxU64) {
  for (std::uint64_t i = 0; i < count; ++i) sketch.Fold(random() & mask, kStart + kHour, kStart);
}

void ExpectBoundHolds(const BlockedSketch& sketch, std::uint64_t now_ns) {
  const auto truth = sketch.CountLive(now_ns);
  const auto bound = sketch.LiveAtMost();
  for (std::size_t row = 0; row < BlockedSketch::kRows; ++row) {
    ASSERT_GE(bound[row], truth[row]) << "row " << row;
  }
  ASSERT_GE(sketch.RefusedPpm(now_ns), RefusedShare(sketch, now_ns) * 1e6 * (1 - 1e-9));
}

class BlockedSketchTest : public ::testing::Test {
 protected:
  const std::uint64_t seed_ = SeedForTest();
  const ::testing::ScopedTrace trace_{__FILE__, __LINE__,
                                      "SLUICEGATE_SEED=" + std::to_string(seed_)};
  std::mt19937_64 random_{seed_};
};

TEST_F(BlockedSketchTest, TakesWholeLinesAndNeverMoreThanItsMemory) {
  for (const std::size_t bytes : {256U, 511U, 512U, 4096U, 100'000U, 1U << 20U}) {
    const auto sketch = MakeSketch(bytes);
    EXPECT_LE(sketch->bytes(), bytes);
    EXPECT_GT(sketch->bytes() + BlockedSketch::kLeastBytes, bytes);
    EXPECT_EQ(sketch->cells_per_row() * 16, sketch->bytes());
    EXPECT_EQ(sketch->cells_per_row() % 16, 0U);
  }
}

TEST_F(BlockedSketchTest, AnEmptySketchBlocksNobodyAtAnyTime) {
  const auto sketch = MakeSketch(256);
  for (const std::uint64_t now : {std::uint64_t{0}, kStart, limit::kMaxU64}) {
    EXPECT_EQ(CountRefused(*sketch, random_, 1000, now), 0U);
    EXPECT_EQ(sketch->RefusedPpm(now), 0U);
  }
}

TEST_F(BlockedSketchTest, ABlockEndsLessThanATickAfterItsTimeAndNotBefore) {
  for (int i = 0; i < 10'000; ++i) {
    const auto sketch = MakeSketch(256);
    const std::uint64_t key = random_();
    const std::uint64_t now = kStart + random_() % kHour;
    const std::uint64_t left = 1 + random_() % (random_() % 2 == 0 ? 2 * kTick : kHour);
    ASSERT_TRUE(sketch->Fold(key, now + left, now));
    ASSERT_GE(sketch->BlockedFor(key, now), left);
    ASSERT_LT(sketch->BlockedFor(key, now), left + kTick);
    const std::uint64_t end = now + sketch->BlockedFor(key, now);
    ASSERT_EQ(sketch->BlockedFor(key, end), 0U);
    ASSERT_EQ(sketch->CountLive(end - 1), (BlockedSketch::PerRow{1, 1, 1, 1}));
    ASSERT_EQ(sketch->CountLive(end), (BlockedSketch::PerRow{}));
  }
}

TEST_F(BlockedSketchTest, ATimeThatIsPastNeedsNoBlock) {
  const auto sketch = MakeSketch(256);
  EXPECT_TRUE(sketch->Fold(1, kStart, kStart));
  EXPECT_TRUE(sketch->Fold(1, kStart - 1, kStart));
  EXPECT_EQ(sketch->BlockedFor(1, kStart), 0U);
  EXPECT_EQ(sketch->counts().folded + sketch->counts().forgotten, 0U);
}

// Random folds at times that step back now and then; each key's latest block that was taken is held
// until its time, and nothing is held when all are past.
void NeverForgets(std::mt19937_64& random, std::size_t bytes, bool protect) {
  const auto sketch = MakeSketch(bytes, protect);
  std::map<std::uint64_t, std::uint64_t> until_ns;
  std::uint64_t latest = 0;
  std::uint64_t now = kStart;
  for (std::uint64_t step = 0; step < 40'000 / kScale; ++step) {
    now += random() % (4 * kTick);
    const std::uint64_t when = now - random() % (2 * kTick);
    const std::uint64_t key = random() % 2000;
    const std::uint64_t until = when + 1 + random() % (random() % 4 == 0 ? kHour : 20 * kSecond);
    if (sketch->Fold(key, until, when)) {
      until_ns[key] = std::max(until_ns[key], until);
      latest = std::max(latest, until);
    }
    const std::uint64_t asked = random() % 2000;
    ASSERT_GE(sketch->BlockedFor(asked, when), limit::SubtractSaturating(until_ns[asked], when));
  }
  for (const auto& [key, until] : until_ns) {
    ASSERT_GE(sketch->BlockedFor(key, now), limit::SubtractSaturating(until, now));
    ASSERT_EQ(sketch->BlockedFor(key, latest + kTick), 0U);
  }
}

TEST_F(BlockedSketchTest, NeverForgetsWhatItTookHoweverSmallItIs) {
  for (const std::size_t bytes : {256U, 4096U, 65'536U, 99'999U}) {
    NeverForgets(random_, bytes, false);
    NeverForgets(random_, bytes, true);
  }
}

TEST_F(BlockedSketchTest, TimeGoingBackwardsOnlyMakesItStricter) {
  const auto sketch = MakeSketch(4096);
  ASSERT_TRUE(sketch->Fold(1, kStart + kHour, kStart));
  std::uint64_t before = 0;
  for (std::uint64_t now = kStart + 2 * kHour; now > kHour; now -= kHour / 7) {
    const std::uint64_t left = sketch->BlockedFor(1, now);
    EXPECT_GE(left, before);
    EXPECT_GE(left, limit::SubtractSaturating(kStart + kHour, now));
    before = left;
  }
  EXPECT_GE(sketch->BlockedFor(1, 0), kStart + kHour);
}

TEST_F(BlockedSketchTest, ClocksBehindTheFirstFoldsAreHeardToo) {
  const auto sketch = MakeSketch(65'536);
  ASSERT_TRUE(sketch->Fold(1, kStart + kSecond, kStart));
  const std::uint64_t earlier = kStart - 10 * kSecond;
  ASSERT_TRUE(sketch->Fold(2, earlier + kSecond, earlier));  // Both before the base.
  ASSERT_TRUE(sketch->Fold(3, kStart + kSecond, earlier));
  EXPECT_GE(sketch->BlockedFor(2, earlier), kSecond);
  EXPECT_GE(sketch->BlockedFor(3, earlier), 11 * kSecond);
  EXPECT_EQ(sketch->BlockedFor(2, kStart + kTick), 0U);
  EXPECT_EQ(sketch->BlockedFor(4, earlier), 0U);  // A key never folded, although before the base.
}

TEST_F(BlockedSketchTest, HoldsTheLastTickAndForgetsWhatIsBeyond) {
  const std::uint64_t last = (kStart / kTick + kLastTick) * kTick;
  for (const bool protect : {false, true}) {
    const auto sketch = MakeSketch(4096, protect);
    ASSERT_TRUE(sketch->Fold(1, last, kStart));
    EXPECT_EQ(sketch->BlockedFor(1, kStart), last - kStart);
    EXPECT_EQ(sketch->BlockedFor(1, last - 1), 1U);
    EXPECT_EQ(sketch->BlockedFor(1, last), 0U);
    EXPECT_FALSE(sketch->Fold(2, last + 1, kStart));
    EXPECT_FALSE(sketch->Fold(2, limit::kMaxU64, kStart));
    EXPECT_EQ(sketch->BlockedFor(2, kStart), 0U);
    EXPECT_EQ(sketch->counts().forgotten, 2U);
    EXPECT_FALSE(sketch->Fold(2, last + kHour, last + kSecond));  // 9.1 years old.
    EXPECT_EQ(sketch->counts().folded, 1U);
    ExpectBoundHolds(*sketch, last + kSecond);
  }
}

TEST_F(BlockedSketchTest, TheEndOfTimeIsATimeLikeAnyOther) {
  const auto sketch = MakeSketch(4096);
  const std::uint64_t now = limit::kMaxU64 - kSecond;
  ASSERT_TRUE(sketch->Fold(1, limit::kMaxU64, now));
  EXPECT_EQ(sketch->BlockedFor(1, now), kSecond);
  EXPECT_EQ(sketch->BlockedFor(1, limit::kMaxU64), 0U);
}

TEST_F(BlockedSketchTest, RefusesHardlyAnyNewcomerAt100kBlocks) {
  for (const std::uint64_t mask : {limit::kMaxU64, std::uint64_t{0xffff'ffff}}) {
    const auto sketch = MakeSketch(kLarge);
    FoldStrangers(*sketch, random_, 100'000 / kScale, mask);
    EXPECT_EQ(sketch->counts().forgotten, 0U);
    // 0.01 %. The rows alone: (1 - e^(-100,000 / 2,097,152))^4 = 4.7 ppm; if a hash has 32 bits,
    // 100,000 / 2^32 = 23 ppm more.
    EXPECT_LE(CountRefused(*sketch, random_, 1'000'000, kStart, mask), 100U);
  }
}

// What the document shows: the share of newcomers refused as more and more blocks come.
TEST_F(BlockedSketchTest, StopsFoldingWhereOneNewcomerInAHundredWouldBeRefused) {
  constexpr std::uint64_t kNewcomers = 1'000'000 / kScale;
  const auto sketch = MakeSketch(kLarge);
  std::printf("%10s %10s %10s %12s %12s %12s\n", "attempts", "folded", "forgotten", "refused ppm",
              "of probes", "bound ppm");
  std::uint64_t attempts = 0;
  for (const std::uint64_t until : {10'000U, 100'000U, 200'000U, 400'000U, 800'000U, 1'600'000U}) {
    FoldStrangers(*sketch, random_, until / kScale - attempts);
    attempts = until / kScale;
    const double share = RefusedShare(*sketch, kStart);
    const double met = static_cast<double>(CountRefused(*sketch, random_, kNewcomers, kStart)) /
                       static_cast<double>(kNewcomers);
    const BlockedCounts counts = sketch->counts();
    std::printf("%10ju %10ju %10ju %12.3f %12.1f %12u\n", std::uintmax_t{attempts},
                std::uintmax_t{counts.folded}, std::uintmax_t{counts.forgotten}, share * 1e6,
                met * 1e6, sketch->RefusedPpm(kStart));
    EXPECT_LE(share, 0.01);
    // Probes are binomial: six standard deviations of at most sqrt(0.01 / newcomers).
    EXPECT_NEAR(met, share, 6 * std::sqrt(0.01 / static_cast<double>(kNewcomers)));
    EXPECT_EQ(counts.folded + counts.forgotten, attempts);
    ExpectBoundHolds(*sketch, kStart);
  }
  EXPECT_NEAR(static_cast<double>(sketch->counts().folded * kScale), 800'000, 50'000);
  EXPECT_GE(RefusedShare(*sketch, kStart), 0.0095);            // And not long before,
  EXPECT_EQ(sketch->LiveAtMost(), sketch->CountLive(kStart));  // as the bound has become exact.
}

TEST_F(BlockedSketchTest, NeverRefusesMoreThanOneInAHundredHoweverManyTry) {
  for (const std::size_t bytes : {256U, 4096U, 65'536U}) {
    const auto sketch = MakeSketch(bytes);
    const std::uint64_t attempts = 10 * sketch->cells_per_row();
    std::uint64_t now = kStart;
    std::uint64_t forgotten = 0;
    for (std::uint64_t i = 0; i < attempts; ++i) {
      now += random_() % kTick;
      forgotten += sketch->Fold(random_(), now + 1 + random_() % kHour, now) ? 0U : 1U;
      if (i % (bytes < 65'536 ? kScale : 64) == 0) {
        ASSERT_LE(RefusedShare(*sketch, now), 0.01) << i;
      }
    }
    EXPECT_GT(forgotten, attempts / 2);
    EXPECT_EQ(sketch->counts().forgotten, forgotten);
    EXPECT_EQ(sketch->counts().folded, attempts - forgotten);
    // The cells say what strangers meet: six standard deviations of 200,000 probes are 0.0014.
    const double refused = static_cast<double>(CountRefused(*sketch, random_, 200'000, now));
    EXPECT_NEAR(refused / 200'000, RefusedShare(*sketch, now), 0.0014);
  }
}

TEST_F(BlockedSketchTest, ItsBoundIsNeverBelowTheTruth) {
  for (const std::size_t bytes : {256U, 1024U, 4096U, 9999U, 65'536U}) {
    for (const bool protect : {false, true}) {
      const auto sketch = MakeSketch(bytes, protect);
      const std::uint64_t lifetime = sketch->cells_per_row() * kTick;  // Comes and goes in a test.
      std::uint64_t now = kStart;
      for (std::uint64_t i = 0; i < 10'000 / kScale; ++i) {
        now += random_() % (random_() % 1000 == 0 ? 2 * lifetime : 2 * kTick);
        const std::uint64_t when = now - random_() % (random_() % 8 == 0 ? 2 * kTick : 1);
        sketch->Fold(random_() % 5000, when + 1 + random_() % lifetime, when);
        if (bytes < 65'536 || i % 16 == 0) ExpectBoundHolds(*sketch, now);
      }
    }
  }
}

TEST_F(BlockedSketchTest, FoldsAgainAtOnceWhenEveryBlockIsPast) {
  const auto sketch = MakeSketch(256U << 10U);
  FoldStrangers(*sketch, random_, 20'000);
  ASSERT_FALSE(sketch->Fold(1, kStart + kHour, kStart));
  EXPECT_GT(sketch->RefusedPpm(kStart + kHour - 1), 9000U);
  const std::uint64_t later = kStart + kHour + kTick;
  EXPECT_EQ(sketch->RefusedPpm(later), 0U);
  EXPECT_TRUE(sketch->Fold(1, later + kHour, later));
  EXPECT_EQ(sketch->RefusedPpm(later), 1U);  // One live cell of 16,384, rounded up.
}

// One block of all stays. Whatever the pass has read of the others by then, two more are enough.
TEST_F(BlockedSketchTest, FoldsAgainSoonWhenMostBlocksArePastHoweverRareTheAttempts) {
  std::uint64_t most_refused = 0;
  for (std::uint64_t attempts = 10'000; attempts < 10'064; attempts += 3) {  // A pass is 64.
    const auto sketch = MakeSketch(256U << 10U);
    ASSERT_TRUE(sketch->Fold(1, kStart + 1000 * kHour, kStart));
    FoldStrangers(*sketch, random_, attempts);
    std::uint64_t refused = 0;
    for (std::uint64_t now = kStart + 2 * kHour; !sketch->Fold(random_(), now + kHour, now);
         now += 60 * kSecond) {
      ++refused;
      ASSERT_LE(refused, 2 * sketch->cells_per_row() / 4096);  // Each the first of its tick.
    }
    most_refused = std::max(most_refused, refused);
  }
  EXPECT_GE(most_refused, 1U);
}

TEST_F(BlockedSketchTest, AProtectingSketchForgetsNothingAndSaysWhatItCosts) {
  const auto sketch = MakeSketch(4096, true);
  std::vector<std::uint64_t> keys(2000);
  for (std::uint64_t& key : keys) {
    key = random_();
    ASSERT_TRUE(sketch->Fold(key, kStart + kHour, kStart));
  }
  for (const std::uint64_t key : keys) ASSERT_GE(sketch->BlockedFor(key, kStart), kHour);
  EXPECT_EQ(sketch->counts().forgotten, 0U);
  EXPECT_GT(sketch->RefusedPpm(kStart), 900'000U);
  EXPECT_LE(sketch->RefusedPpm(kStart), 1'000'000U);
  ExpectBoundHolds(*sketch, kStart);
}

// What one thread folded: keys and times.
using Folds = std::vector<std::pair<std::uint64_t, std::uint64_t>>;

struct Crowd {
  BlockedSketch::Options options;
  std::uint64_t most_ns = kHour;       // The longest block.
  std::uint64_t step_ns = kTick / 16;  // From fold to fold, on a clock for all.
};

// Folds keys of its own and asks for them at once.
Folds FoldAndAsk(BlockedSketch& sketch, const Crowd& crowd, std::atomic<std::uint64_t>& clock_ns,
                 std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Folds folds;
  for (std::uint64_t i = 0; i < kFolds; ++i) {
    const std::uint64_t now = clock_ns.fetch_add(crowd.step_ns);
    const std::uint64_t key = random();
    const std::uint64_t left = 1 + random() % crowd.most_ns;
    sketch.Prefetch(key);
    if (!sketch.Fold(key, now + left, now)) continue;
    if (sketch.BlockedFor(key, now) < left || sketch.RefusedPpm(now) > 1'000'000) std::abort();
    folds.emplace_back(key, now + left);
  }
  return folds;
}

void CrowdLosesNoBlock(std::mt19937_64& random, const Crowd& crowd) {
  const auto sketch = MakeSketch(crowd.options.bytes, crowd.options.protect);
  std::atomic<std::uint64_t> clock_ns{kStart};
  std::array<Folds, 4> folds;
  std::vector<std::jthread> threads;
  for (Folds& mine : folds) {
    threads.emplace_back(
        [&, seed = random()] { mine = FoldAndAsk(*sketch, crowd, clock_ns, seed); });
  }
  threads.clear();  // Joins them.
  std::uint64_t taken = 0;
  for (const Folds& of : folds) {
    taken += of.size();
    for (const auto& [key, until] : of) {
      ASSERT_GE(sketch->BlockedFor(key, clock_ns), limit::SubtractSaturating(until, clock_ns));
    }
  }
  EXPECT_EQ(sketch->counts().folded, taken);
  EXPECT_EQ(sketch->counts().forgotten, folds.size() * kFolds - taken);
  EXPECT_EQ(sketch->counts().forgotten == 0, crowd.options.protect);
  EXPECT_LE(RefusedShare(*sketch, clock_ns), crowd.options.protect ? 1 : 0.01);
  ExpectBoundHolds(*sketch, clock_ns);
}

TEST_F(BlockedSketchTest, ThreadsLoseNoBlock) {
  CrowdLosesNoBlock(random_, {.options = {.bytes = 65'536 / kScale}});
  CrowdLosesNoBlock(random_, {.options = {.bytes = 65'536 / kScale, .protect = true}});
  // Short blocks in few cells: each fold raises some that another thread may be raising.
  CrowdLosesNoBlock(
      random_,
      {.options = {.bytes = 256, .protect = true}, .most_ns = 8 * kTick, .step_ns = kTick / 2});
}

// In the smallest sketch one fold too many would show.
TEST_F(BlockedSketchTest, OfThreadsThatWantTheLastPlaceAtMostOneGetsIt) {
  constexpr std::ptrdiff_t kThreads = 2;
  std::vector<std::unique_ptr<BlockedSketch>> sketches(20'000 / kScale);
  for (auto& sketch : sketches) sketch = MakeSketch(256);
  std::barrier together(kThreads);
  std::vector<std::jthread> threads;
  for (std::ptrdiff_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&sketches, &together, seed = random_()] {
      std::mt19937_64 random(seed);
      for (const auto& sketch : sketches) {
        together.arrive_and_wait();
        FoldStrangers(*sketch, random, 10);
      }
    });
  }
  threads.clear();  // Joins them.
  for (const auto& sketch : sketches) {
    ASSERT_LE(RefusedShare(*sketch, kStart), 0.01);
    ASSERT_GE(sketch->counts().folded, 5U);
    ExpectBoundHolds(*sketch, kStart);
  }
}

TEST(Stretch, IsNeverShorterNorBeyondItsCap) {
  EXPECT_EQ(Stretch().Apply(7), 7U);
  EXPECT_EQ((Stretch{.numerator = 3, .denominator = 2}.Apply(7)), 11U);
  EXPECT_EQ((Stretch{.numerator = 1, .denominator = 2}.Apply(7)), 7U);
  EXPECT_EQ((Stretch{.numerator = 5, .denominator = 1, .cap_ns = 20}.Apply(7)), 20U);
  EXPECT_EQ((Stretch{.numerator = 5, .denominator = 1, .cap_ns = 6}.Apply(7)), 7U);
  EXPECT_EQ((Stretch{.numerator = limit::kMaxU64}.Apply(limit::kMaxU64)), limit::kMaxU64);
  EXPECT_EQ((Stretch{.denominator = limit::kMaxU64}.Apply(limit::kMaxU64)), limit::kMaxU64);
}

// `ratio` is that of the new sketch's memory to the old one's.
void TakeLosesNoBlock(std::mt19937_64& random, double ratio, const Stretch& stretch) {
  SCOPED_TRACE(ratio);
  constexpr std::size_t kBytes = 100'096;  // 391 lines a row, an odd number.
  const auto old = MakeSketch(kBytes);
  const auto young = MakeSketch(static_cast<std::size_t>(kBytes * ratio));
  std::vector<std::pair<std::uint64_t, std::uint64_t>> blocks(1000);
  for (auto& [key, until] : blocks) {
    key = random();
    until = kStart + 1 + random() % kHour;
    ASSERT_TRUE(old->Fold(key, until, kStart));
  }
  const std::uint64_t now = kStart + kHour / 4;
  young->Take(*old, now, stretch);
  for (const auto& [key, until] : blocks) {
    const std::uint64_t left = limit::SubtractSaturating(until, now);
    ASSERT_GE(young->BlockedFor(key, now), left == 0 ? 0 : stretch.Apply(left));
    // Where each new cell lies in one old cell, no other time gets in.
    if (ratio == 1 || ratio == 2) {
      const std::uint64_t had = old->BlockedFor(key, now);
      ASSERT_LT(young->BlockedFor(key, now), had == 0 ? 1 : stretch.Apply(had) + kTick);
    }
  }
  EXPECT_EQ(young->LiveAtMost(), young->CountLive(now));
  EXPECT_EQ(young->counts().folded, 0U);
  EXPECT_EQ(CountRefused(*young, random, 1000, kStart + 3 * kHour), 0U);
  young->Fold(1, now + kHour, now);
  ExpectBoundHolds(*young, now);
}

TEST_F(BlockedSketchTest, TakeLosesNoBlockWhateverTheSizes) {
  for (const double ratio : {1.0 / 3, 0.5, 1.0, 2.0, 3.7}) {
    TakeLosesNoBlock(random_, ratio, {});
    TakeLosesNoBlock(random_, ratio, {.numerator = 7, .denominator = 3, .cap_ns = kHour});
  }
}

TEST_F(BlockedSketchTest, TakeReachesAllOfASmallSketchesBlocksInTheSmallestOne) {
  const auto old = MakeSketch(65'536);
  FoldStrangers(*old, random_, 1000);
  const auto young = MakeSketch(256);
  young->Take(*old, kStart);
  EXPECT_EQ(young->RefusedPpm(kStart), 1'000'000U);  // Saturated until they are past.
  EXPECT_FALSE(young->Fold(1, kStart + kHour, kStart));
  EXPECT_TRUE(young->Fold(1, kStart + 3 * kHour, kStart + 2 * kHour));
}

TEST_F(BlockedSketchTest, TakeTakesABlockInItsLastNanosecondAndNoneThatIsPast) {
  const auto old = MakeSketch(4096);
  MakeSketch(4096)->Take(*old, kStart);  // Nothing was ever folded.
  ASSERT_TRUE(old->Fold(1, kStart + kHour, kStart));
  const std::uint64_t end = kStart + old->BlockedFor(1, kStart);
  for (const std::uint64_t now : {end - 1, end}) {
    const auto young = MakeSketch(4096);
    young->Take(*old, now);
    EXPECT_EQ(young->BlockedFor(1, end - 1), end - now);
  }
}

TEST_F(BlockedSketchTest, TakeHoldsBlocksOfTheLastTickAndOfAClockAhead) {
  const std::uint64_t last = (kStart / kTick + kLastTick) * kTick;
  const auto old = MakeSketch(4096);
  ASSERT_TRUE(old->Fold(1, last, kStart));
  for (const std::uint64_t now : {kStart - kHour, kStart, kStart + kHour}) {
    const auto young = MakeSketch(4096);
    young->Take(*old, now, {.numerator = 2});
    EXPECT_GE(young->BlockedFor(1, now), last - now);
  }
}

}  // namespace
}  // namespace sluicegate::table
