// The table: who finds a slot, who gives way, and that a lock is a lock.
#include "table/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "base/seed_for_test.h"

namespace sluicegate::table {
namespace {

// Numbers as hashes: all bits of a hash matter.
constexpr std::uint64_t Hash(std::uint64_t number) { return number * 0x9E3779B97F4A7C15ULL; }

using ::testing::HasSubstr;

// What these tests keep in a slot: a weight, and when it clears.
struct Content {
  std::uint32_t used_ppm = 0;
  std::uint32_t clears_at_ns = 0;
};

Content Read(const Cell& cell) {
  Content content;
  std::memcpy(&content, cell.state(), sizeof(content));
  return content;
}

void Write(Cell& cell, Content content) { std::memcpy(cell.state(), &content, sizeof(content)); }

class ContentWeigher final : public Weigher {
 public:
  Weight Weigh(const std::byte* state, std::uint8_t /*variant*/, Now now) const noexcept override {
    Content content;
    std::memcpy(&content, state, sizeof(content));
    const std::uint64_t left_ns =
        content.clears_at_ns > now.engine_ns ? content.clears_at_ns - now.engine_ns : 0;
    const bool at_limit = content.used_ppm >= Weight::kAtLimitPpm;
    return {.used_ppm = content.used_ppm,
            .clears_after_ns = left_ns,
            .blocked_ns = at_limit ? left_ns : 0};
  }
};

constexpr Table::Shape kWord{.state_bytes = 8, .tagged = false};
constexpr std::size_t kOneBucket = 64 + 12 * 8 + 32;  // The header, 12 words, padded to a line.

std::unique_ptr<Table> MakeTable(Table::Shape shape, std::size_t bytes) {
  auto table = Table::Create(shape, bytes);
  EXPECT_TRUE(table.has_value());
  return std::move(*table);
}

// Claims a slot for `hash` and fills it.
void Put(Table& table, std::uint64_t hash, Content content, Now now = {.engine_ns = 1}) {
  Cell cell = table.Lock(Hash(hash));
  ASSERT_TRUE(cell.Claim(ContentWeigher(), 0, now));
  Write(cell, content);
}

bool Has(Table& table, std::uint64_t hash) { return table.Lock(Hash(hash)).present(); }

TEST(Table, KeepsThePromisedBytesASlot) {
  constexpr std::size_t kBytes = 16U << 20;
  const auto words = MakeTable(kWord, kBytes);
  EXPECT_LE(words->bytes(), kBytes);
  EXPECT_LE(static_cast<double>(kBytes) / static_cast<double>(words->capacity()), 20);
  // Three sliding windows of 40 bytes and one token bucket of 8: the four default limits.
  const auto defaults = MakeTable({.state_bytes = 128, .tagged = false}, kBytes);
  EXPECT_LE(static_cast<double>(kBytes) / static_cast<double>(defaults->capacity()), 144);
}

TEST(Table, IsNeverSmallerThanABucketNorLargerThanItsMemory) {
  EXPECT_EQ(MakeTable(kWord, 0)->capacity(), kSlotsPerBucket);
  EXPECT_EQ(MakeTable(kWord, kOneBucket * 2 - 1)->capacity(), kSlotsPerBucket);
  EXPECT_EQ(MakeTable(kWord, kOneBucket * 2)->capacity(), 2 * kSlotsPerBucket);
}

TEST(Table, SaysWhatToLowerWhenMemoryCannotBeHad) {
  const auto table = Table::Create(kWord, std::size_t{1} << 60);
  ASSERT_FALSE(table.has_value());
  EXPECT_THAT(table.error(), HasSubstr("Ask for less"));
}

TEST(Table, AnAbsentKeyReadsZeros) {
  const auto table = MakeTable(kWord, kOneBucket);
  const Cell cell = table->Lock(Hash(42));
  EXPECT_FALSE(cell.present());
  EXPECT_EQ(Read(cell).used_ppm, 0U);
}

TEST(Table, AKeyFindsItsStateAgain) {
  const auto table = MakeTable(kWord, kOneBucket);
  Put(*table, 1, {.used_ppm = 7, .clears_at_ns = 100});
  Put(*table, 2, {.used_ppm = 8, .clears_at_ns = 100});
  EXPECT_EQ(Read(table->Lock(Hash(1))).used_ppm, 7U);
  EXPECT_EQ(Read(table->Lock(Hash(2))).used_ppm, 8U);
}

TEST(Table, AHashWhoseLowHalfIsZeroIsAKeyLikeAnyOther) {
  const auto table = MakeTable(kWord, kOneBucket);
  Put(*table, 0, {.used_ppm = 7, .clears_at_ns = 100});
  EXPECT_TRUE(Has(*table, 0));
  EXPECT_EQ(table->EstimateLive(ContentWeigher(), {.engine_ns = 1}), 1U);
}

TEST(Table, ASlotWhoseDebtIsPastIsTakenWithoutAWord) {
  const auto table = MakeTable(kWord, kOneBucket);
  for (std::uint32_t key = 1; key <= 12; ++key)
    Put(*table, key, {.used_ppm = 5, .clears_at_ns = 50});
  Put(*table, 13, {.used_ppm = 9, .clears_at_ns = 99}, {.engine_ns = 50});
  EXPECT_TRUE(Has(*table, 13));
  EXPECT_EQ(table->counts().evictions, 0U);
}

TEST(Table, TheVictimUsedTheLowestShareAndAmongEqualsClearsFirst) {
  const auto table = MakeTable(kWord, kOneBucket);
  for (std::uint32_t key = 1; key <= 12; ++key) {
    Put(*table, key, {.used_ppm = key < 6 ? 500U : 600U, .clears_at_ns = 1000 + 12 - key});
  }
  Put(*table, 13, {.used_ppm = 999'999, .clears_at_ns = 2000});
  EXPECT_FALSE(Has(*table, 5));  // 500 ppm like 1 to 4, but the first to clear.
  for (const std::uint64_t key : {1U, 2U, 3U, 4U, 6U, 12U, 13U})
    EXPECT_TRUE(Has(*table, key)) << key;
  EXPECT_EQ(table->counts().evictions, 1U);
  EXPECT_EQ(table->counts().evictions_at_limit, 0U);
}

TEST(Table, AVictimAtItsLimitIsCountedApart) {
  const auto table = MakeTable(kWord, kOneBucket);
  for (std::uint32_t key = 1; key <= 13; ++key) {
    Put(*table, key, {.used_ppm = 1'000'000, .clears_at_ns = 1000});
  }
  EXPECT_EQ(table->counts().evictions, 0U);
  EXPECT_EQ(table->counts().evictions_at_limit, 1U);
}

TEST(Table, APinnedSlotNeverGivesWay) {
  const auto table = MakeTable(kWord, kOneBucket);
  for (std::uint32_t key = 1; key <= 12; ++key) {
    Put(*table, key, {.used_ppm = Weight::kPinned, .clears_at_ns = 1000});
  }
  Cell cell = table->Lock(Hash(13));
  EXPECT_FALSE(cell.Claim(ContentWeigher(), 0, {.engine_ns = 1}));
  EXPECT_FALSE(cell.present());
  EXPECT_EQ(table->counts().refusals, 1U);
}

TEST(Table, ANewKeyInASlotHasAnotherGenerationAndNothingOfTheOldState) {
  const auto table = MakeTable(kWord, kOneBucket);
  Put(*table, 1, {.used_ppm = 5, .clears_at_ns = 50});
  const std::uint8_t before = table->Lock(Hash(1)).generation();
  for (std::uint32_t key = 2; key <= 12; ++key) {
    Put(*table, key, {.used_ppm = 9, .clears_at_ns = 50'000});
  }
  Cell cell = table->Lock(Hash(13));  // Finds key 1's slot: the only one whose debt is past.
  ASSERT_TRUE(cell.Claim(ContentWeigher(), 0, {.engine_ns = 60}));
  EXPECT_EQ(Read(cell).used_ppm, 0U);
  EXPECT_NE(cell.generation(), before);
}

TEST(Table, AKeyThatIsVacatedIsAbsentAndItsSlotHasAnotherGenerationThen) {
  const auto table = MakeTable(kWord, kOneBucket);
  Put(*table, 1, {.used_ppm = 7, .clears_at_ns = 100});
  const unsigned before = table->Lock(Hash(1)).generation();
  {
    Cell cell = table->Lock(Hash(1));
    cell.Vacate();
    EXPECT_FALSE(cell.present());
    EXPECT_EQ(Read(cell).used_ppm, 0U);
    cell.Vacate();
    ASSERT_TRUE(cell.Claim(ContentWeigher(), 0, {.engine_ns = 1})) << "at once, in the same lock";
    EXPECT_EQ(Read(cell).used_ppm, 0U);
  }
  EXPECT_NE(table->Lock(Hash(1)).generation(), before);
  EXPECT_EQ(table->counts().evictions, 0U);
}

TEST(Table, ClearedItKnowsNoKeyAndSaysHowManyWereLive) {
  const auto table = MakeTable(kWord, 8 * kOneBucket);
  for (std::uint32_t key = 1; key <= 20; ++key) {
    Put(*table, key, {.used_ppm = 5, .clears_at_ns = key <= 15 ? 100U : 50U});
  }
  EXPECT_EQ(table->Clear(ContentWeigher(), {.engine_ns = 60}), 15U);
  for (std::uint32_t key = 1; key <= 20; ++key) EXPECT_FALSE(Has(*table, key)) << key;
  EXPECT_EQ(table->Clear(ContentWeigher(), {.engine_ns = 60}), 0U);
  EXPECT_EQ(table->counts().evictions, 0U);
}

TEST(Table, AClearedSketchBlocksNobodyAndFoldsAgain) {
  const auto sketch = std::move(*BlockedSketch::Create({.bytes = 1 << 14}));
  constexpr std::uint64_t kHourNs = 3'600'000'000'000;
  for (std::uint64_t key = 1; key <= 50; ++key) EXPECT_TRUE(sketch->Fold(Hash(key), kHourNs, 1));
  sketch->Clear();
  for (std::uint64_t key = 1; key <= 50; ++key) EXPECT_EQ(sketch->BlockedFor(Hash(key), 1), 0U);
  EXPECT_EQ(sketch->CountLive(1)[0], 0U);
  EXPECT_TRUE(sketch->Fold(Hash(7), kHourNs, 2));
  EXPECT_GE(sketch->BlockedFor(Hash(7), 2), kHourNs - 2);
}

TEST(Table, TaggedSlotsTellTheWeigherTheirLimitSet) {
  class OnlyVariantThree final : public Weigher {
   public:
    Weight Weigh(const std::byte* /*state*/, std::uint8_t variant,
                 Now /*now*/) const noexcept override {
      return {.used_ppm = variant == 3 ? 1U : 2U, .clears_after_ns = 1};
    }
  };
  const auto table = MakeTable({.state_bytes = 8, .tagged = true}, 0);
  for (std::uint64_t key = 1; key <= 12; ++key) {
    Cell cell = table->Lock(Hash(key));
    ASSERT_TRUE(cell.Claim(OnlyVariantThree(), key == 9 ? 3 : 1, {.engine_ns = 1}));
  }
  {
    Cell cell = table->Lock(Hash(13));
    ASSERT_TRUE(cell.Claim(OnlyVariantThree(), 1, {.engine_ns = 1}));
  }
  EXPECT_FALSE(Has(*table, 9));
}

// One bucket against a list that follows the rules in the plainest way.
class NaiveBucket {
 public:
  Content* Find(std::uint64_t key) {
    const auto found = slots_.find(key);
    return found == slots_.end() ? nullptr : &found->second;
  }
  void Put(std::uint64_t key, Content content, std::uint64_t now_ns) {
    if (!slots_.contains(key)) {
      std::erase_if(slots_,
                    [now_ns](const auto& slot) { return slot.second.clears_at_ns <= now_ns; });
      if (slots_.size() == kSlotsPerBucket) {
        slots_.erase(std::ranges::min_element(slots_, {}, [](const auto& slot) {
          return std::pair(slot.second.used_ppm, slot.second.clears_at_ns);
        }));
      }
    }
    slots_[key] = content;
  }

 private:
  std::map<std::uint64_t, Content> slots_;
};

TEST(Table, AgreesWithANaiveBucketOnRandomSteps) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  const auto table = MakeTable(kWord, kOneBucket);
  NaiveBucket naive;
  std::uint32_t unique = 0;  // In both, so that no two slots weigh the same.
  for (std::uint32_t now_ns = 1; now_ns < 200'000; ++now_ns) {
    const std::uint64_t key = random() % 24 + 1;
    const Content* expected = naive.Find(key);
    const Content found = Read(table->Lock(Hash(key)));
    const bool live = expected != nullptr && expected->clears_at_ns > now_ns;
    // A slot whose debt is past may or may not be there still: nobody can tell.
    ASSERT_EQ(found.clears_at_ns > now_ns, live) << "step " << now_ns;
    if (live) {
      ASSERT_EQ(found.used_ppm, expected->used_ppm) << "step " << now_ns;
    }
    const Content content{
        .used_ppm = static_cast<std::uint32_t>(random() % 1000) * 1000 + ++unique % 1000,
        .clears_at_ns = now_ns + static_cast<std::uint32_t>(random() % 40)};
    Put(*table, key, content, {.engine_ns = now_ns});
    naive.Put(key, content, now_ns);
  }
}

TEST(Table, SpreadsKeysEvenlyOverAnyNumberOfBuckets) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  const auto table = MakeTable(kWord, kOneBucket * 9973);
  // A quarter full, a bucket has 3 of 12 slots taken on average: a Poisson variable is beyond 12
  // once in 60,000.
  const std::uint64_t keys = table->capacity() / 4;
  for (std::uint64_t i = 0; i < keys; ++i) {
    Put(*table, random(), {.used_ppm = 5, .clears_at_ns = 50});
  }
  EXPECT_LE(table->counts().evictions, 10U);
  const auto live = static_cast<double>(table->EstimateLive(ContentWeigher(), {.engine_ns = 1}));
  EXPECT_NEAR(live / static_cast<double>(keys), 1, 0.15);
  EXPECT_EQ(table->EstimateLive(ContentWeigher(), {.engine_ns = 50}), 0U);
}

TEST(Table, IdsAreUniqueAndGrow) {
  const auto first = MakeTable(kWord, 0);
  const auto second = MakeTable(kWord, 0);
  EXPECT_LT(first->id(), second->id());
}

TEST(Table, ThreadsLoseNoUpdate) {
  constexpr unsigned kThreads = 4;
  constexpr std::uint32_t kRounds = 20'000;
  const auto table = MakeTable(kWord, kOneBucket);
  {
    std::vector<std::jthread> threads;
    for (unsigned t = 0; t < kThreads; ++t) {
      threads.emplace_back([&table] {
        for (std::uint32_t i = 0; i < kRounds; ++i) {
          Cell cell = table->Lock(Hash(i % 3 + 1));
          if (!cell.Claim(ContentWeigher(), 0, {.engine_ns = 1})) std::abort();
          Content content = Read(cell);
          ++content.used_ppm;
          content.clears_at_ns = 10;
          Write(cell, content);
        }
      });
    }
  }
  std::uint32_t sum = 0;
  for (std::uint64_t key = 1; key <= 3; ++key) sum += Read(table->Lock(Hash(key))).used_ppm;
  EXPECT_EQ(sum, kThreads * kRounds);
}

TEST(Bucket, FindsAFingerprintInEverySlotAndNoOther) {
  for (unsigned slot = 0; slot < kSlotsPerBucket; ++slot) {
    Bucket bucket{};
    for (unsigned i = 0; i < kSlotsPerBucket; ++i) bucket.fingerprints[i] = 0x80000000U + i;
    bucket.fingerprints[slot] = 0xdeadbeef;
    EXPECT_EQ(bucket.Find(0xdeadbeef), slot);
    EXPECT_EQ(bucket.Find(0x7eadbeef), kSlotsPerBucket);
  }
}

// Copies everything.
class ContentMover final : public Mover {
 public:
  bool Move(const std::byte* old_state, std::uint8_t /*old_variant*/, std::byte* state,
            std::uint8_t& variant, Now /*now*/) const noexcept override {
    std::memcpy(state, old_state, sizeof(Content));
    variant = 0;
    return true;
  }
};

std::unique_ptr<Table> Successor(const Table& table, Table::Shape shape, std::size_t buckets,
                                 std::shared_ptr<BlockedSketch> sketch = nullptr) {
  auto next = table.CreateSuccessor(shape, buckets * (64 + 12 * shape.state_bytes + 63) / 64 * 64,
                                    std::move(sketch), true);
  EXPECT_TRUE(next.has_value());
  return std::move(*next);
}

// Sizes that divide each other and sizes that do not, up and down.
TEST(Table, MovesEveryKeyToATableOfAnotherSize) {
  std::mt19937_64 random(SeedForTest());
  for (const std::size_t buckets : {20U, 40U, 41U, 57U, 97U, 200U, 1000U}) {
    const auto table = MakeTable(kWord, 40 * kOneBucket);
    std::map<std::uint64_t, std::uint32_t> keys;
    for (unsigned i = 0; i < 100; ++i) keys.emplace(random(), i + 1);
    for (const auto& [hash, weight] : keys) {
      Put(*table, hash, {.used_ppm = weight, .clears_at_ns = weight % 4 == 0 ? 50U : 5000U});
    }
    const std::uint8_t generation = table->Lock(Hash(keys.begin()->first)).generation();
    const auto next = Successor(*table, {.state_bytes = 16, .tagged = false}, buckets);
    table->MoveInto(*next, ContentMover(), ContentWeigher(), {.engine_ns = 100});
    for (const auto& [hash, weight] : keys) {
      EXPECT_TRUE(table->Lock(Hash(hash)).sealed());
      const Cell cell = next->Lock(Hash(hash));
      EXPECT_EQ(cell.present(), weight % 4 != 0) << "what is past does not move";
      EXPECT_EQ(Read(cell).used_ppm, cell.present() ? weight : 0) << buckets;
    }
    if (keys.begin()->second % 4 != 0) {
      EXPECT_EQ(next->Lock(Hash(keys.begin()->first)).generation(), generation);
    }
    EXPECT_EQ(next->id(), table->id());
    EXPECT_EQ(next->counts().evictions, 0U);
  }
}

// Each key stands in one bucket, so a table does not fill up by moving.
TEST(Table, MovesAgainAndAgainWithoutCopies) {
  std::mt19937_64 random(SeedForTest());
  auto table = MakeTable(kWord, 400 * kOneBucket);
  std::vector<std::uint64_t> keys;
  for (unsigned i = 0; i < 2000; ++i) keys.push_back(random());
  for (const std::uint64_t key : keys) Put(*table, key, {.used_ppm = 1, .clears_at_ns = 5000});
  std::erase_if(keys, [&table](std::uint64_t key) { return !Has(*table, key); });
  for (const std::size_t buckets : {520U, 700U, 1333U, 4000U, 701U, 800U, 800U, 7000U, 650U}) {
    auto next = Successor(*table, kWord, buckets);
    table->MoveInto(*next, ContentMover(), ContentWeigher(), {.engine_ns = 100});
    table = std::move(next);
    unsigned lost = 0;
    for (const std::uint64_t key : keys) lost += Has(*table, key) ? 0U : 1U;
    EXPECT_EQ(lost, 0U) << buckets;
    EXPECT_EQ(table->EstimateLive(ContentWeigher(), {.engine_ns = 100}), keys.size()) << buckets;
  }
}

// Shrunk beyond what the tags tell, a key may lie in several buckets, but it is in its own.
TEST(Table, MovesEveryKeyOutOfATableThatHadShrunkFar) {
  std::mt19937_64 random(SeedForTest());
  auto table = MakeTable(kWord, 4000 * kOneBucket);
  std::vector<std::uint64_t> keys;
  for (unsigned i = 0; i < 20; ++i) keys.push_back(random());
  for (const std::uint64_t key : keys) Put(*table, key, {.used_ppm = 1, .clears_at_ns = 5000});
  for (const std::size_t buckets : {16U, 4000U}) {
    auto next = Successor(*table, kWord, buckets);
    table->MoveInto(*next, ContentMover(), ContentWeigher(), {.engine_ns = 100});
    table = std::move(next);
    for (const std::uint64_t key : keys) EXPECT_TRUE(Has(*table, key)) << buckets;
  }
}

TEST(Table, WhereATableGetsSmallerTheHeaviestStayAndOffendersAreFolded) {
  std::shared_ptr<BlockedSketch> sketch = std::move(*BlockedSketch::Create({.bytes = 64 * 1024}));
  auto made = Table::Create(kWord, 8 * kOneBucket, sketch);
  ASSERT_TRUE(made.has_value());
  Table& table = **made;
  std::mt19937_64 random(SeedForTest());
  std::map<std::uint64_t, std::uint32_t> keys;
  for (unsigned i = 0; i < 60; ++i) {
    keys.emplace(random(), i % 3 == 0 ? Weight::kAtLimitPpm : i + 1);
  }
  for (const auto& [hash, weight] : keys)
    Put(table, hash, {.used_ppm = weight, .clears_at_ns = 5000});
  const auto next = Successor(table, kWord, 1, sketch);
  ASSERT_EQ(next->capacity(), 12U);
  table.MoveInto(*next, ContentMover(), ContentWeigher(), {.engine_ns = 100});
  unsigned kept = 0;
  for (const auto& [hash, weight] : keys) {
    const bool present = next->Lock(Hash(hash)).present();
    kept += present ? 1U : 0U;
    if (weight >= Weight::kAtLimitPpm) {
      EXPECT_TRUE(present || next->BlockedFor(Hash(hash), {.engine_ns = 100}) > 0) << "forgotten";
    } else {
      EXPECT_FALSE(present) << "20 at a limit are heavier";
    }
  }
  EXPECT_EQ(kept, 12U);
  EXPECT_EQ(next->counts().evictions, 40U);
  EXPECT_EQ(next->counts().evictions_at_limit, 8U);
  EXPECT_EQ(next->counts().forgotten, 0U);
}

TEST(Table, AVictimAtItsLimitIsFoldedAndWithoutASketchCountedAsForgotten) {
  std::shared_ptr<BlockedSketch> sketch = std::move(*BlockedSketch::Create({.bytes = 4096}));
  for (const bool remembers : {false, true}) {
    auto made = Table::Create(kWord, 0, remembers ? sketch : nullptr);
    ASSERT_TRUE(made.has_value());
    Table& table = **made;
    for (std::uint64_t key = 1; key <= 13; ++key) {
      Put(table, key, {.used_ppm = Weight::kAtLimitPpm, .clears_at_ns = 5000});
    }
    EXPECT_EQ(table.counts().evictions_at_limit, 1U);
    EXPECT_EQ(table.counts().forgotten, remembers ? 0U : 1U);
    unsigned blocked = 0;
    for (std::uint64_t key = 1; key <= 13; ++key) {
      if (!Has(table, key))
        blocked += table.BlockedFor(Hash(key), {.engine_ns = 1}) >= 4999 ? 1U : 0U;
    }
    EXPECT_EQ(blocked, remembers ? 1U : 0U);
  }
}

}  // namespace
}  // namespace sluicegate::table
