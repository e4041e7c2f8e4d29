// Counters of windows in memory: what they say at which time, who gives way, and threads.
#include "engine/window_counts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/manual_clock.h"
#include "base/seed_for_test.h"

namespace sluicegate::engine {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kMinute = 60 * kSecond;

Now At(std::uint64_t ns) { return {.engine_ns = ns, .unix_ns = 0}; }
Now AtSecond(std::uint64_t seconds) { return At(seconds * kSecond); }

std::unique_ptr<WindowCounts> Make(std::size_t memory_bytes = 1 << 16) {
  auto counts = WindowCounts::Create({.memory_bytes = memory_bytes});
  EXPECT_TRUE(counts.has_value()) << counts.error();
  return std::move(*counts);
}

constexpr WindowCounts::Fixed kAMinute{.window_ns = kMinute};

TEST(WindowCounts, AFixedWindowGoesThroughItsGoldenTable) {
  const auto counts = Make();
  struct Step {
    std::uint64_t at, amount, count, left;
  };
  // Seconds. The first window begins at 7, the second where somebody comes again.
  const Step steps[] = {
      {7, 0, 0, 0},    {7, 1, 1, 60}, {8, 2, 3, 59},  {66, 1, 4, 1},
      {66, 0, 4, 1},   {67, 0, 0, 0}, {90, 5, 5, 60}, {149, 1'000'000, 1'000'005, 1},
      {150, 1, 1, 60},
  };
  for (const Step& step : steps) {
    SCOPED_TRACE(step.at);
    const auto got = counts->Add("ada", step.amount, kAMinute, AtSecond(step.at));
    EXPECT_EQ(got.count, step.count);
    EXPECT_EQ(got.left_ns, step.left * kSecond);
    const auto read = counts->Read("ada", AtSecond(step.at));
    EXPECT_EQ(read.count, step.count);
    EXPECT_EQ(read.left_ns, step.left * kSecond);
  }
  EXPECT_EQ(counts->Read("bob", AtSecond(150)).count, 0U);
}

TEST(WindowCounts, AnElasticWindowLastsAsLongAsItIsCountedIn) {
  const auto counts = Make();
  const WindowCounts::Fixed elastic{.window_ns = kMinute, .elastic = true};
  for (std::uint64_t i = 0; i < 10; ++i) {
    const auto got = counts->Add("ada", 1, elastic, AtSecond(1 + i * 59));
    EXPECT_EQ(got.count, i + 1);
    EXPECT_EQ(got.left_ns, kMinute);
  }
  EXPECT_EQ(counts->Read("ada", AtSecond(1 + 9 * 59 + 60)).count, 0U);
}

TEST(WindowCounts, AReadingOfBeforeCountsInTheOpenWindow) {
  const auto counts = Make();
  counts->Add("ada", 3, kAMinute, AtSecond(100));
  EXPECT_EQ(counts->Add("ada", 1, kAMinute, AtSecond(40)).count, 4U);
  EXPECT_EQ(counts->Read("ada", AtSecond(159)).count, 4U);
  EXPECT_EQ(counts->Read("ada", AtSecond(160)).count, 0U) << "it lasts no longer for that";
}

TEST(WindowCounts, CountsStopAtTheEndOfNumbers) {
  const auto counts = Make();
  constexpr std::uint64_t kMost = ~std::uint64_t{0};
  counts->Add("ada", kMost - 1, kAMinute, AtSecond(1));
  EXPECT_EQ(counts->Add("ada", 7, kAMinute, AtSecond(1)).count, kMost);
  counts->Add("end", 1, {.window_ns = kMost}, At(kMost - 5));
  EXPECT_EQ(counts->Read("end", At(kMost - 1)).count, 1U);
}

// Four a minute: of the window before counts what is not longer than a minute ago, rounded down.
TEST(WindowCounts, ASlidingWindowGoesThroughItsGoldenTable) {
  const auto counts = Make();
  const WindowCounts::Sliding four{.window_ns = kMinute, .quota = 4};
  struct Step {
    std::uint64_t at, amount;
    bool admitted;
    std::uint64_t before, count, left;
  };
  const Step steps[] = {
      {10, 3, true, 0, 3, 60},   // Windows begin at 10, 70, 130 ...
      {20, 2, false, 0, 3, 50},  // Nothing changes by it.
      {20, 1, true, 0, 4, 50},   {69, 1, false, 0, 4, 1},
      {70, 1, false, 4, 0, 60},                             // All 4 of before still count,
      {86, 1, true, 4, 1, 44},                              // 4 x 44 / 60 = 2.9 of them,
      {99, 1, true, 4, 2, 31},   {99, 1, false, 4, 2, 31},  // 4 x 31 / 60 = 2.07,
      {100, 1, false, 4, 2, 30}, {101, 1, true, 4, 3, 29},  // and 1.9.
      {131, 2, true, 3, 2, 59},  {131, 0, true, 3, 2, 59},
      {250, 0, true, 0, 0, 0},  // The window from 130 was over at 190, and the next one at 250.
      {251, 4, true, 0, 4, 60},
  };
  for (const Step& step : steps) {
    SCOPED_TRACE(step.at);
    EXPECT_EQ(counts->Acquire("ada", step.amount, four, AtSecond(step.at)), step.admitted);
    const auto pair = counts->ReadPair("ada", kMinute, AtSecond(step.at));
    EXPECT_EQ(pair.before, step.before);
    EXPECT_EQ(pair.count, step.count);
    EXPECT_EQ(pair.left_ns, step.left * kSecond);
  }
}

TEST(WindowCounts, AReadingOfBeforeMakesASlidingWindowNoWider) {
  const auto counts = Make();
  const WindowCounts::Sliding four{.window_ns = kMinute, .quota = 4};
  EXPECT_TRUE(counts->Acquire("ada", 4, four, AtSecond(100)));
  EXPECT_TRUE(counts->Acquire("ada", 1, four, AtSecond(190)));
  EXPECT_EQ(counts->ReadPair("ada", kMinute, AtSecond(150)).left_ns, kMinute);
  EXPECT_FALSE(counts->Acquire("ada", 1, four, AtSecond(150)));
  EXPECT_TRUE(counts->Acquire("ada", 1, four, AtSecond(190)));
}

TEST(WindowCounts, KindsLengthsAndKeysCountApart) {
  const auto counts = Make();
  const Now now = AtSecond(5);
  counts->Add("ada", 1, kAMinute, now);
  EXPECT_TRUE(counts->Acquire("ada", 2, {.window_ns = kMinute, .quota = 2}, now));
  EXPECT_TRUE(counts->Acquire("ada", 3, {.window_ns = 2 * kMinute, .quota = 3}, now));
  EXPECT_EQ(counts->Read("ada", now).count, 1U);
  EXPECT_EQ(counts->ReadPair("ada", kMinute, now).count, 2U);
  EXPECT_EQ(counts->ReadPair("ada", 2 * kMinute, now).count, 3U);
  EXPECT_EQ(counts->Read(std::string("ada\0", 4), now).count, 0U);
  EXPECT_EQ(counts->Read("", now).count, 0U);
}

TEST(WindowCounts, OneKeyIsForgottenOrAll) {
  const auto counts = Make();
  const Now now = AtSecond(5);
  for (const char* key : {"ada", "bob"}) {
    counts->Add(key, 1, kAMinute, now);
    EXPECT_TRUE(counts->Acquire(key, 2, {.window_ns = kMinute, .quota = 2}, now));
  }
  EXPECT_TRUE(counts->Forget("ada"));
  EXPECT_EQ(counts->Read("ada", now).count, 0U);
  EXPECT_EQ(counts->ReadPair("ada", kMinute, now).count, 2U);
  EXPECT_TRUE(counts->ForgetPair("ada", kMinute));
  EXPECT_EQ(counts->ReadPair("ada", kMinute, now).count, 0U);
  EXPECT_EQ(counts->Read("bob", now).count, 1U);
  EXPECT_EQ(counts->ForgetAll(now), 2U);
  EXPECT_EQ(counts->Read("bob", now).count, 0U);
  EXPECT_EQ(counts->ReadPair("bob", kMinute, now).count, 0U);
}

// One bucket of 12.
TEST(WindowCounts, TheLowestCountGivesWayAndOfEqualsTheWindowThatEndsFirst) {
  const auto counts = Make(384);
  ASSERT_EQ(counts->capacity(), 12U);
  for (std::uint64_t key = 1; key <= 12; ++key) {
    counts->Add(std::to_string(key), key < 6 ? 5 : 6, {.window_ns = kMinute - key * kSecond},
                AtSecond(1));
  }
  counts->Add("new", 1, kAMinute, AtSecond(2));
  EXPECT_EQ(counts->Read("5", AtSecond(2)).count, 0U) << "a count of 5, and over at 56";
  EXPECT_EQ(counts->Read("4", AtSecond(2)).count, 5U);
  EXPECT_EQ(counts->Read("12", AtSecond(2)).count, 6U);
  EXPECT_EQ(counts->evictions(), 1U);
  // A window that is over gives way first, whatever was counted in it.
  counts->Add("late", 1, kAMinute, AtSecond(49));
  EXPECT_EQ(counts->Read("new", AtSecond(49)).count, 1U);
  EXPECT_EQ(counts->Read("12", AtSecond(49)).count, 0U);
  EXPECT_EQ(counts->evictions(), 1U);
}

TEST(WindowCounts, AKeyThatIsCountedMoreOftenOutlivesAnyFloodOfFreshOnes) {
  const auto counts = Make(1 << 12);
  counts->Add("offender", 5, kAMinute, AtSecond(1));
  for (unsigned i = 0; i < 100'000; ++i) {
    counts->Add(std::to_string(i), 1, kAMinute, AtSecond(2));
    (void)counts->Acquire(std::to_string(i), 1, {.window_ns = kMinute, .quota = 1}, AtSecond(2));
  }
  EXPECT_EQ(counts->Read("offender", AtSecond(60)).count, 5U);
  EXPECT_GT(counts->evictions(), 100'000U);
}

// A list of all that was counted, and nothing else.
class Naive {
 public:
  std::uint64_t Add(const std::string& key, std::uint64_t amount, std::uint64_t window_ns,
                    std::uint64_t now_ns) {
    auto& [end_ns, count] = fixed_[key];
    if (now_ns >= end_ns) {
      end_ns = now_ns + window_ns;
      count = 0;
    }
    return count += amount;
  }
  bool Acquire(const std::string& key, std::uint64_t amount, std::uint64_t window_ns,
               std::uint64_t quota, std::uint64_t now_ns) {
    std::vector<Entry>& entries = sliding_[key];
    if (entries.empty() ||
        now_ns >= entries.back().window * window_ns + begin_[key] + 2 * window_ns) {
      entries.clear();
      begin_[key] = now_ns;
    }
    const std::uint64_t window = (now_ns - begin_[key]) / window_ns;
    const std::uint64_t left_ns = (window + 1) * window_ns - (now_ns - begin_[key]);
    std::uint64_t before = 0;
    std::uint64_t count = 0;
    for (const Entry& entry : entries) {
      if (entry.window == window) count += entry.amount;
      if (entry.window + 1 == window) before += entry.amount;
    }
    if (before * left_ns / window_ns + count + amount > quota) return false;
    entries.push_back({window, amount});
    return true;
  }

 private:
  struct Entry {
    std::uint64_t window, amount;
  };
  std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> fixed_;
  std::map<std::string, std::vector<Entry>> sliding_;
  std::map<std::string, std::uint64_t> begin_;
};

TEST(WindowCounts, AgreeWithANaiveListOnRandomSteps) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (unsigned round = 0; round < 50; ++round) {
    const auto counts = Make();
    Naive naive;
    const std::uint64_t window_ns = 1 + random() % 100;
    const std::uint64_t quota = 1 + random() % 20;
    std::uint64_t now_ns = 1 + random() % 1000;
    for (unsigned step = 0; step < 2'000; ++step) {
      now_ns += random() % (random() % 50 == 0 ? 4 * window_ns : window_ns / 8 + 2);
      const std::string key = std::to_string(random() % 5);
      const std::uint64_t amount = 1 + random() % 3;
      ASSERT_EQ(counts->Add(key, amount, {.window_ns = window_ns}, At(now_ns)).count,
                naive.Add(key, amount, window_ns, now_ns));
      ASSERT_EQ(counts->Acquire(key, amount, {.window_ns = window_ns, .quota = quota}, At(now_ns)),
                naive.Acquire(key, amount, window_ns, quota, now_ns));
    }
  }
}

TEST(WindowCounts, ThreadsLoseNoCount) {
  const auto counts = Make();
  constexpr unsigned kThreads = 4;
  constexpr unsigned kEach = 20'000;
  constexpr std::uint64_t kQuota = 1'000;
  std::atomic<std::uint64_t> admitted{0};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (unsigned n = 0; n < kEach; ++n) {
        counts->Add("ada", 1, kAMinute, AtSecond(1));
        const bool in =
            counts->Acquire("ada", 1, {.window_ns = kMinute, .quota = kQuota}, AtSecond(1));
        admitted.fetch_add(in ? 1 : 0);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counts->Read("ada", AtSecond(1)).count, kThreads * kEach);
  EXPECT_EQ(admitted.load(), kQuota);
}

TEST(WindowCounts, SayWhatIsWrongAndReadTheClockTheyAreGiven) {
  EXPECT_THAT(WindowCounts::Create({.memory_bytes = 383}).error(),
              HasSubstr("no room for one bucket of keys. Write at least 384."));
  const ManualClock clock({.engine_ns = 7, .unix_ns = 9});
  const auto counts = WindowCounts::Create({.memory_bytes = 384, .clock = &clock});
  ASSERT_TRUE(counts.has_value());
  EXPECT_EQ((*counts)->clock().Read().engine_ns, 7U);
  EXPECT_TRUE((*counts)->IsInPlace());
}

}  // namespace
}  // namespace sluicegate::engine
