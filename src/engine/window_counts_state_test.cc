// Counters of windows in a file: several processes, a restart, another size, and what others see.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/manual_clock.h"
#include "base/temporary_folder_for_test.h"
#include "engine/contents.h"
#include "engine/window_counts.h"
#include "table/process_for_test.h"

namespace sluicegate::engine {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t kHourNs = 3'600'000'000'000;
constexpr WindowCounts::Fixed kAnHour{.window_ns = kHourNs};

class WindowCountsState : public ::testing::Test {
 protected:
  [[nodiscard]] LimiterOptions Options() const {
    return {.memory_bytes = 1 << 16, .state_file = folder_ / "state", .name = "limits"};
  }
  [[nodiscard]] static std::unique_ptr<WindowCounts> Make(const LimiterOptions& options) {
    auto counts = WindowCounts::Create(options);
    EXPECT_TRUE(counts.has_value()) << counts.error();
    return std::move(*counts);
  }
  static std::uint64_t Count(WindowCounts& counts, std::string_view key, std::uint64_t amount) {
    return counts.Add(key, amount, kAnHour, counts.clock().Read()).count;
  }

  TemporaryFolder folder_;
};

TEST_F(WindowCountsState, ProcessesCountTogetherAndARestartFindsIt) {
  constexpr unsigned kProcesses = 4;
  constexpr std::uint64_t kEach = 5'000;
  constexpr std::uint64_t kQuota = 7'000;
  std::vector<Process> processes;
  for (unsigned i = 0; i < kProcesses; ++i) {
    processes.emplace_back([this](Process::Voice voice) {
      const auto mine = Make(Options());
      std::uint64_t admitted = 0;
      for (std::uint64_t n = 0; n < kEach; ++n) {
        (void)Count(*mine, "ada", 1);
        const bool in =
            mine->Acquire("ada", 1, {.window_ns = kHourNs, .quota = kQuota}, mine->clock().Read());
        admitted += in ? 1U : 0U;
      }
      voice.Say(admitted + 1);
    });
  }
  std::uint64_t admitted = 0;
  for (const Process& process : processes) admitted += process.Hear() - 1;
  EXPECT_EQ(admitted, kQuota);
  const auto after = Make(Options());
  EXPECT_EQ(Count(*after, "ada", 0), kProcesses * kEach);
  EXPECT_EQ(after->ReadPair("ada", kHourNs, after->clock().Read()).count, kQuota);
  EXPECT_TRUE(after->Forget("ada"));
  EXPECT_EQ(Count(*Make(Options()), "ada", 0), 0U);
}

TEST_F(WindowCountsState, AKilledProcessLeavesWhatItCounted) {
  Process other([this](Process::Voice voice) {
    const auto theirs = Make(Options());
    for (std::uint64_t count = 0;;) {
      count = Count(*theirs, "ada", 1);
      if (count == 1'000) voice.Say(count);
    }
  });
  ASSERT_EQ(other.Hear(), 1'000U);
  other.Kill();
  const auto mine = Make(Options());
  const std::uint64_t count = Count(*mine, "ada", 0);
  EXPECT_GE(count, 1'000U);
  EXPECT_EQ(Count(*mine, "ada", 1), count + 1);
}

TEST_F(WindowCountsState, AnotherSizeTakesOverWhatIsThere) {
  {
    const auto before = Make(Options());
    for (unsigned key = 0; key < 500; ++key) (void)Count(*before, std::to_string(key), key + 1);
  }
  LimiterOptions options = Options();
  options.memory_bytes = 1 << 18;
  const auto after = Make(options);
  for (unsigned key = 0; key < 500; ++key) {
    ASSERT_EQ(Count(*after, std::to_string(key), 0), key + 1) << key;
  }
}

TEST_F(WindowCountsState, WhileOneCountsOthersHaveItsSize) {
  auto options = Options();
  const auto first = Make(options);
  EXPECT_EQ(first->memory_bytes(), Make({.memory_bytes = 1 << 16})->memory_bytes());
  (void)Count(*first, "ada", 3);
  options.memory_bytes = 1 << 20;
  EXPECT_EQ(Count(*Make(options), "ada", 1), 4U) << "in the same process";
  Process other([options](Process::Voice voice) {
    const auto mine = Make(options);
    voice.Say(Count(*mine, "ada", 1));
    voice.Say(mine->memory_bytes());
  });
  EXPECT_EQ(other.Hear(), 5U);
  EXPECT_EQ(other.Hear(), first->memory_bytes());
  EXPECT_EQ(Count(*first, "ada", 1), 6U);
}

TEST_F(WindowCountsState, OtherNamesCountApart) {
  const auto one = Make(Options());
  LimiterOptions options = Options();
  options.name = "others";
  const auto other = Make(options);
  EXPECT_EQ(Count(*one, "ada", 1), 1U);
  EXPECT_EQ(Count(*other, "ada", 1), 1U);
  options.name = "a/b";
  EXPECT_THAT(WindowCounts::Create(options).error(), HasSubstr("a name without slashes"));
}

TEST_F(WindowCountsState, TheRegionIsCalledCountsAndOthersCanLookIntoIt) {
  const auto counts = Make(Options());
  (void)Count(*counts, "ada", 1);
  (void)Count(*counts, "bob", 1);
  const auto copy = table::StateFile::OpenCopy(Options().state_file);
  ASSERT_TRUE(copy.has_value()) << copy.error();
  const auto regions = (*copy)->MapAll();
  ASSERT_TRUE(regions.has_value()) << regions.error();
  ASSERT_EQ(regions->size(), 1U);
  EXPECT_EQ(regions->front().name, "limits/counts");
  EXPECT_EQ(regions->front().description, "window_counts\n");
  const auto contents = LookInto(regions->front(), (*copy)->owners(), counts->clock().Read());
  ASSERT_TRUE(contents.has_value());
  EXPECT_EQ(contents->kind, Contents::Kind::kWindowCounts);
  EXPECT_EQ(contents->live, 2U);
  EXPECT_EQ(contents->capacity, counts->capacity());
}

TEST_F(WindowCountsState, TimeIsKeptByWhoCounts) {
  ManualClock clock({.engine_ns = 1, .unix_ns = 1});
  LimiterOptions options = Options();
  options.clock = &clock;
  const auto counts = Make(options);
  // In time that no machine has been up for.
  clock.Advance(std::chrono::hours(24 * 365 * 100));
  (void)Count(*counts, "ada", 1);
  const auto report = table::StateFile::Read(options.state_file);
  ASSERT_TRUE(report.has_value()) << report.error();
  EXPECT_EQ(report->engine_ns, clock.Read().engine_ns);
}

TEST_F(WindowCountsState, AFileThatIsTakenAwayIsNotInPlace) {
  const auto counts = Make(Options());
  EXPECT_TRUE(counts->IsInPlace());
  std::filesystem::remove(Options().state_file);
  EXPECT_FALSE(counts->IsInPlace());
  EXPECT_EQ(Count(*counts, "ada", 1), 1U);
}

TEST_F(WindowCountsState, OfAKeyThatAStoppedProcessHoldsTheCountIsAboveEveryQuota) {
  LimiterOptions options = Options();
  const auto closed = Make(options);
  options.fails_open = true;
  const auto open = Make(options);
  bool held = false;
  for (unsigned round = 0; round < 2000 && !held; ++round) {
    Process child([this](Process::Voice voice) {
      const auto mine = Make(Options());
      voice.Say(1);
      const Now now = mine->clock().Read();
      for (;;) (void)mine->Read("ada", now);
    });
    ASSERT_EQ(child.Hear(), 1U);
    for (unsigned stop = 0; stop < 50 && !held; ++stop) {
      child.Signal(SIGSTOP);
      const Now now = closed->clock().Read();
      const auto read = closed->Read("ada", now);
      held = read.count == WindowCounts::kUnknown;
      if (held) {
        EXPECT_EQ(read.left_ns, 1'000'000'000U);
        EXPECT_EQ(open->Read("ada", now).count, 0U);
        EXPECT_FALSE(closed->Forget("ada"));
      }
      child.Signal(SIGCONT);
    }
    child.Kill();
  }
  EXPECT_TRUE(held);
  EXPECT_EQ(Count(*closed, "ada", 1), 1U);
}

}  // namespace
}  // namespace sluicegate::engine
