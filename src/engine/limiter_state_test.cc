// Limiters of several processes on one file.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "base/manual_clock.h"
#include "base/temporary_folder_for_test.h"
#include "sluicegate/lease.h"
#include "sluicegate/limiter.h"
#include "table/process_for_test.h"
#include "table/state_file.h"

namespace sluicegate {
namespace {

using ::testing::HasSubstr;

class LimiterState : public ::testing::Test {
 protected:
  [[nodiscard]] LimiterOptions Options() const {
    return {.memory_bytes = 1 << 20, .state_file = (folder_ / "state").string()};
  }
  [[nodiscard]] Limiter Make(std::initializer_list<LimitLike> limits) const {
    return Make(limits, Options());
  }
  [[nodiscard]] static Limiter Make(std::initializer_list<LimitLike> limits,
                                    const LimiterOptions& options) {
    auto limiter = Limiter::Create(limits, options);
    EXPECT_TRUE(limiter.has_value()) << limiter.error();
    return std::move(*limiter);
  }

  TemporaryFolder folder_;
};

TEST_F(LimiterState, ProcessesShareOneQuotaAndARestartFindsIt) {
  constexpr unsigned kProcesses = 4;
  constexpr std::uint64_t kQuota = 20'000;
  std::vector<Process> processes;
  for (unsigned i = 0; i < kProcesses; ++i) {
    processes.emplace_back([this](Process::Voice voice) {
      Limiter mine = Make({"20000/day", "20000/hour"});
      std::uint64_t admitted = 0;
      while (mine.Check("ada")) ++admitted;
      voice.Say(admitted + 1);
    });
  }
  std::uint64_t admitted = 0;
  for (const Process& process : processes) admitted += process.Hear() - 1;
  EXPECT_EQ(admitted, kQuota);
  Limiter after = Make({"20000/day", "20000/hour"});
  EXPECT_FALSE(after.Check("ada"));
  EXPECT_TRUE(after.Check("bob"));
}

// As of a server that opens what root alone may, drops its privileges, and forks its workers.
TEST_F(LimiterState, WorkersThatMayNotOpenTheFileShareTheQuotaAsWell) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can drop privileges";
  constexpr unsigned kWorkers = 3;
  constexpr std::uint64_t kQuota = 20'000;
  Process server([this](Process::Voice voice) {
    Limiter mine = Make({"20000/day"});
    const auto spend = [&] {
      std::uint64_t admitted = 0;
      while (mine.Check("ada")) ++admitted;
      // And what a worker makes by itself.
      LimiterOptions options = Options();
      options.name = "of workers";
      Limiter more = Make({"2/day"}, options);
      voice.Say(admitted + 1);
      voice.Say(1 + (more.Check("ada") ? 1U : 0U));
    };
    if (::setgid(65534) != 0 || ::setuid(65534) != 0) return;
    ::alarm(60);  // Nobody's death ends it any more.
    for (unsigned i = 1; i < kWorkers; ++i) {
      if (::fork() == 0) {
        ::alarm(60);
        spend();
        ::_exit(0);
      }
    }
    spend();
  });
  std::uint64_t said = 0;
  for (unsigned i = 0; i < 2 * kWorkers; ++i) {
    const std::uint64_t word = server.Hear();
    ASSERT_NE(word, 0U) << i;
    said += word - 1;
  }
  EXPECT_EQ(said, kQuota + 2) << "the quota and that of what they made";
  EXPECT_FALSE(Make({"20000/day"}).Check("ada"));
}

TEST_F(LimiterState, WhatIsInFlightIsSharedAndGivenBack) {
  Limiter one = Make({Limit::Concurrency(2), "5/hour"});
  Limiter other = Make({Limit::Concurrency(2), "5/hour"});
  const Decision first = one.Check("ada");
  ASSERT_TRUE(first && other.Check("ada"));
  EXPECT_FALSE(one.Check("ada"));
  EXPECT_FALSE(other.Check("ada"));
  one.Release(first);
  EXPECT_TRUE(other.Check("ada"));
  EXPECT_EQ(other.Peek("ada").remaining, 2U) << "of 5 an hour";
}

// The table of the rates is then younger than that of the leases.
TEST_F(LimiterState, OtherLimitsTakeOverWhatTheyCan) {
  {
    Limiter before = Make({"5/hour", Limit::Concurrency(4, std::chrono::hours(1))});
    for (unsigned i = 0; i < 3; ++i) EXPECT_TRUE(before.Check("ada"));
  }
  Limiter after = Make({"5/hour", "9/day", Limit::Concurrency(4, std::chrono::hours(1))});
  const Decision fourth = after.Check("ada");
  EXPECT_TRUE(fourth);
  EXPECT_FALSE(after.Check("ada")) << "4 are in flight";
  after.Release(fourth);
  EXPECT_TRUE(after.Check("ada"));
  EXPECT_FALSE(after.Check("ada"));
}

TEST_F(LimiterState, LimitersOfOtherNamesCountApart) {
  LimiterOptions options = Options();
  Limiter one = Make({"1/hour"}, options);
  options.name = "logins";
  Limiter other = Make({"1/hour"}, options);
  EXPECT_TRUE(one.Check("ada"));
  EXPECT_TRUE(other.Check("ada"));
  EXPECT_FALSE(one.Check("ada"));
}

TEST_F(LimiterState, AProgramsLimitersTakeOneOfTheFilesPlacesForProcesses) {
  std::vector<Limiter> limiters;
  for (unsigned i = 0; i < 300; ++i) {
    LimiterOptions options = Options();
    options.memory_bytes = 64 << 10;
    options.name = "tool-" + std::to_string(i);
    limiters.push_back(Make({"1/hour"}, options));
  }
  EXPECT_EQ(table::StateFile::Read(Options().state_file)->owners, 1U);
  std::filesystem::remove(Options().state_file);
  Limiter anew = Make({"1/hour"});
  EXPECT_TRUE(std::filesystem::exists(Options().state_file))
      << "the other one has no name any more";
  anew = std::move(limiters[0]);
  limiters.clear();
  EXPECT_TRUE(anew.Check("ada"));
}

TEST_F(LimiterState, TimeIsKeptByWhoAsks) {
  ManualClock clock({.engine_ns = 1, .unix_ns = 1});
  LimiterOptions options = Options();
  options.clock = &clock;
  Limiter limiter = Make({"1/minute"}, options);
  EXPECT_TRUE(limiter.Check("ada"));
  // In time that no machine has been up for.
  clock.Advance(std::chrono::hours(24 * 365 * 100));
  EXPECT_TRUE(limiter.Check("ada"));
  const auto report = table::StateFile::Read(options.state_file);
  ASSERT_TRUE(report.has_value()) << report.error();
  EXPECT_EQ(report->engine_ns, clock.Read().engine_ns);
}

TEST_F(LimiterState, WhatIsWrongIsTold) {
  LimiterOptions options = Options();
  options.name = "a/b";
  EXPECT_THAT(Limiter::Create({"1/hour"}, options).error(), HasSubstr("a name without slashes"));
  options = Options();
  options.state_file = (folder_ / "none" / "state").string();
  EXPECT_THAT(Limiter::Create({"1/hour"}, options).error(),
              HasSubstr("cannot open it: No such file or directory. Check the path"));
}

TEST_F(LimiterState, WhereAStoppedProcessHoldsTheKeyItIsDeniedOrAllowedAsTold) {
  LimiterOptions options = Options();
  Limiter closed = Make({"1000/day"}, options);
  options.fails_open = true;
  Limiter open = Make({"1000/day"}, options);
  // Asks for one key until it is stopped, which is with its lock in the end.
  bool held = false;
  for (unsigned round = 0; round < 2000 && !held; ++round) {
    Process child([this](Process::Voice voice) {
      Limiter mine = Make({"1000/day"});
      voice.Say(1);
      for (;;) (void)mine.Peek("ada");
    });
    ASSERT_EQ(child.Hear(), 1U);
    for (unsigned stop = 0; stop < 50 && !held; ++stop) {
      child.Signal(SIGSTOP);
      const Decision decision = closed.Peek("ada");
      held = !decision.allowed();
      if (held) {
        EXPECT_EQ(decision.retry_after_ns, 1'000'000'000U);
        EXPECT_EQ(closed.limits()[decision.limit].name, "per-day");
        EXPECT_TRUE(open.Peek("ada"));
      }
      child.Signal(SIGCONT);
    }
    child.Kill();
  }
  EXPECT_TRUE(held);
  EXPECT_TRUE(closed.Check("ada"));
}

}  // namespace
}  // namespace sluicegate
