// RegionDirectory: which regions are there, who makes them, and when they go, with real files and
// processes.
#include "table/region_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "table/process_for_test.h"
#include "table/state_file_for_test.h"

namespace sluicegate::table {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;
using Voice = Process::Voice;

class RegionDirectoryTest : public StateFileFixture {};

TEST_F(RegionDirectoryTest, RegionsLieApart) {
  const auto file = Open();
  const auto one = Attach(*file, "api/rates", 1, 'a');
  const auto two = Attach(*file, "api/bans", 1, 'b');
  const auto three = Attach(*file, "web/rates", 1, 'c', 1);
  std::memset(two->data(), 0xFF, two->size());
  EXPECT_EQ(MarkOf(*one), 'a');
  EXPECT_EQ(one->data()[kBytes - 1], std::byte{0});
  EXPECT_EQ(MarkOf(*three), 'c');
  const StateFileReport report = Report();
  EXPECT_EQ(report.owners, 1U);
  EXPECT_EQ(report.version, StateFile::kVersion);
  ASSERT_THAT(report.regions, SizeIs(3));
  EXPECT_EQ(report.regions[1].name, "api/bans");
  EXPECT_EQ(report.regions[1].bytes, kBytes);
}

TEST_F(RegionDirectoryTest, WhatAnotherPolicyHadIsHandedOnAndGoesLater) {
  {
    const auto file = Open();
    const auto in_use = Attach(*file, "api/rates", 1, 'a');
    std::byte seen{0};
    const auto next = file->Attach({.name = "api/rates", .description = "2", .lasts_ns = kHour}, 64,
                                   [&](const StateFile::Fresh& fresh) {
                                     seen = fresh.before->data()[0];
                                     EXPECT_EQ(fresh.before->size(), kBytes);
                                     EXPECT_EQ(fresh.described, "1");
                                     EXPECT_EQ(fresh.region->data()[0], std::byte{0});
                                     fresh.region->data()[0] = std::byte{'b'};
                                     return true;
                                   });
    ASSERT_TRUE(next.has_value());
    EXPECT_EQ(seen, std::byte{'a'});
    // Back again: from the newest, not from what was left behind.
    const auto back = file->Attach({.name = "api/rates", .description = "1", .lasts_ns = kHour},
                                   kBytes, [&](const StateFile::Fresh& fresh) {
                                     seen = fresh.before->data()[0];
                                     return true;
                                   });
    ASSERT_TRUE(back.has_value());
    EXPECT_EQ(seen, std::byte{'b'});
    const auto other = Open();
    EXPECT_THAT(Report().regions, SizeIs(3)) << "all are in use";
  }
  const auto file = Open();
  const StateFileReport report = Report();
  ASSERT_THAT(report.regions, SizeIs(1));
  EXPECT_EQ(report.regions[0].bytes, kBytes);
  EXPECT_FALSE(report.regions[0].superseded);
}

TEST_F(RegionDirectoryTest, WhatIsOverGoes) {
  const auto at = [](std::uint64_t seconds) {
    return MachineOfBoot(1, seconds * kSecond, static_cast<std::int64_t>(seconds * kSecond));
  };
  {
    const auto file = Open(at(1000));
    (void)Attach(*file, "api/rates", 1, 'a');
    const auto api = Attach(*file, "api/rates", 2, 'b');
    const auto web = Attach(*file, "web/rates", 1, 'c');
    file->Keep({.engine_ns = 2000 * kSecond, .unix_ns = 0});
  }
  {
    const auto file = Open(at(5599));
    EXPECT_EQ(MarkOf(*Attach(*file, "api/rates", 2, 'd')), 'b') << "3,599 s after its last use";
    EXPECT_THAT(Report().regions, SizeIs(2));
  }
  const auto file = Open(at(5601));
  const StateFileReport report = Report();
  ASSERT_THAT(report.regions, SizeIs(1)) << "web is over, and nobody had it meanwhile";
  EXPECT_EQ(report.regions[0].name, "api/rates");
}

TEST_F(RegionDirectoryTest, WhatIsInUseCountsAndNotWhatCameLast) {
  const auto file = Open();
  const auto region = Attach(*file, "api/rates", 1, 'a');
  (void)Attach(*Open(), "api/rates", 2, 'b');
  const Now now = file->ClockBy(SystemClock())->Read();
  file->Keep({.engine_ns = now.engine_ns + kSecond, .unix_ns = now.unix_ns});
  const StateFileReport report = Report();
  ASSERT_THAT(report.regions, SizeIs(2));
  EXPECT_FALSE(report.regions[0].superseded);
  EXPECT_TRUE(report.regions[1].superseded);
  EXPECT_EQ(MarkOf(*Attach(*Open(), "api/rates", 1, 'c')), 'a');
}

TEST_F(RegionDirectoryTest, WhatCameLastCountsThoughTheOneBeforeWasUsedAtTheEndOfTime) {
  (void)Attach(*Open(), "api/rates", 1, 'a');
  Write(offsetof(StateContents, directory) + offsetof(StateEntry, used_ns), std::string(8, '\xFF'));
  const auto file = Open();
  const auto region = Attach(*file, "api/rates", 2, 'b');
  EXPECT_EQ(MarkOf(*Attach(*Open(), "api/rates", 2, 'c')), 'b');
}

TEST_F(RegionDirectoryTest, ARegionWhoseMakerDiedOnTheWayIsMadeAnew) {
  const auto file = Open();
  Process child([this](Voice voice) {
    const auto mine = StateFile::Open(Path());
    if (!mine) return;
    (void)(*mine)->Attach({.name = "api/rates", .description = "1", .lasts_ns = kHour}, kBytes,
                          [&](const StateFile::Fresh& fresh) {
                            fresh.region->data()[5] = std::byte{1};
                            voice.Say(1);
                            SleepForEver();
                            return true;
                          });
  });
  ASSERT_EQ(child.Hear(), 1U);
  child.Kill();
  const auto region = Attach(*file, "api/rates", 1, 'b');
  EXPECT_EQ(MarkOf(*region), 'b');
  EXPECT_EQ(region->data()[5], std::byte{0});
}

TEST_F(RegionDirectoryTest, MakersThatAreKilledLeaveAFileThatCanBeMade) {
  for (unsigned round = 0; round < 40; ++round) {
    Process child([this](Voice voice) {
      voice.Say(1);
      for (std::uint64_t i = 1;; ++i) {
        const auto mine = StateFile::Open(Path());
        if (mine) (void)Attach(**mine, "api/rates", i, 'c', 4096 * (1 + i % 5));
      }
    });
    ASSERT_EQ(child.Hear(), 1U);
    ::usleep(round * 150);
    child.Kill();
    const auto file = Open();
    ASSERT_NE(file, nullptr) << round;
    const auto region = Attach(*file, "api/bans", 1, 'd');
    EXPECT_EQ(MarkOf(*region), 'd');
  }
}

// As after reloads of several gateways: each has gone on to the next policy, none has ended.
TEST_F(RegionDirectoryTest, WhatNobodyUsesGoesThoughOthersAreAttached) {
  const auto one = Open();
  const auto other = Open();
  std::shared_ptr<Mapping> ones;
  std::shared_ptr<Mapping> others;
  for (std::uint64_t policy = 1; policy <= 50; ++policy) {
    const std::size_t bytes = kBytes * (1 + policy % 3);
    ones = Attach(*one, "api/rates", policy, 'a', bytes);
    EXPECT_LE(Report().regions.size(), 3U) << "the other one's, and the one before";
    others = Attach(*other, "api/rates", policy, 'b', bytes);
    EXPECT_EQ(MarkOf(*others), 'a');
    ASSERT_FALSE(HasFailure()) << policy;
  }
  EXPECT_LT(Report().file_bytes, sizeof(StateContents) + 8 * kBytes);
}

TEST_F(RegionDirectoryTest, WhatAStoppedProcessUsesStays) {
  Process other([this](Voice voice) {
    const auto mine = StateFile::Open(Path());
    if (!mine) return;
    const auto region = Attach(**mine, "api/rates", 1, 'a');
    voice.Say(1);
    SleepForEver();
  });
  ASSERT_EQ(other.Hear(), 1U);
  const auto file = Open();
  other.Signal(SIGSTOP);
  std::shared_ptr<Mapping> region;
  for (std::uint64_t policy = 2; policy < 5; ++policy) {
    region = Attach(*file, "api/rates", policy, 'b');
    EXPECT_EQ(Report().regions[0].description, "1");
    EXPECT_EQ(Report().regions[0].users, 1U);
    EXPECT_TRUE(Report().regions[0].superseded);
  }
  other.Kill();
  (void)Attach(*file, "api/rates", 9, 'b');
  EXPECT_NE(Report().regions[0].description, "1");
}

// A child has what its parent had, also when the parent has gone on.
TEST_F(RegionDirectoryTest, WhatAChildUsesStays) {
  const auto file = Open();
  auto region = Attach(*file, "api/rates", 1, 'a');
  Process child([&](Voice voice) {
    voice.Say(1);
    (void)voice.Hear();
    region->data()[1] = std::byte{9};
    voice.Say(static_cast<std::uint64_t>(MarkOf(*region)));
  });
  ASSERT_EQ(child.Hear(), 1U);
  for (std::uint64_t policy = 2; policy < 5; ++policy) {
    region = Attach(*file, "api/rates", policy, 'b');
  }
  child.Say(1);
  EXPECT_EQ(child.Hear(), static_cast<std::uint64_t>('a'));
  EXPECT_EQ(region->data()[1], std::byte{0});
}

// Copying a large table takes seconds.
TEST_F(RegionDirectoryTest, WhileOneIsMadeOthersAreServedAndWhoNeedsItWaits) {
  const auto file = Open();
  const auto before = Attach(*file, "api/rates", 1, 'a');
  Process maker([this](Voice voice) {
    const auto mine = StateFile::Open(Path());
    if (!mine) return;
    const RegionKey key{.name = "api/rates", .description = "2", .lasts_ns = kHour};
    const auto region = (*mine)->Attach(key, kBytes, [&](const StateFile::Fresh& fresh) {
      voice.Say(1);
      (void)voice.Hear();
      fresh.region->data()[0] = fresh.before->data()[1];
      return true;
    });
    voice.Say(region ? 2 : 3);
    SleepForEver();
  });
  ASSERT_EQ(maker.Hear(), 1U);
  EXPECT_EQ(MarkOf(*Attach(*file, "api/bans", 1, 'c')), 'c');
  EXPECT_EQ(MarkOf(*Attach(*file, "api/rates", 1, 'd')), 'a') << "that one is there still";
  (void)Attach(*file, "web/rates", 1, 'e');
  (void)Attach(*file, "web/rates", 2, 'e');
  EXPECT_EQ(MarkOf(*before), 'a') << "it is being read";
  before->data()[1] = std::byte{'f'};
  Process waiter([this](Voice voice) {
    const auto mine = StateFile::Open(Path());
    if (!mine) return;
    voice.Say(1);
    voice.Say(static_cast<std::uint64_t>(MarkOf(*Attach(**mine, "api/rates", 2, 'g'))));
  });
  ASSERT_EQ(waiter.Hear(), 1U);
  ::usleep(20'000);
  maker.Say(1);
  EXPECT_EQ(maker.Hear(), 2U);
  EXPECT_EQ(waiter.Hear(), static_cast<std::uint64_t>('f')) << "it was made once";
}

// Who waits takes a dead one's place.
TEST_F(RegionDirectoryTest, WhoWaitsForAMakerThatDiesMakesIt) {
  Process maker([this](Voice voice) {
    const auto mine = StateFile::Open(Path());
    if (!mine) return;
    const RegionKey key{.name = "api/rates", .description = "1", .lasts_ns = kHour};
    (void)(*mine)->Attach(key, kBytes, [&](const StateFile::Fresh&) {
      voice.Say(1);
      SleepForEver();
      return true;
    });
  });
  ASSERT_EQ(maker.Hear(), 1U);
  Process waiter([this](Voice voice) {
    const auto mine = StateFile::Open(Path());
    if (!mine) return;
    voice.Say(1);
    voice.Say(static_cast<std::uint64_t>(MarkOf(*Attach(**mine, "api/rates", 1, 'b'))));
  });
  ASSERT_EQ(waiter.Hear(), 1U);
  ::usleep(20'000);
  maker.Kill();
  EXPECT_EQ(waiter.Hear(), static_cast<std::uint64_t>('b'));
}

// What cannot be taken over now can be tried again, by others too.
TEST_F(RegionDirectoryTest, AMakerThatGivesUpKeepsNobodyWaiting) {
  const auto file = Open();
  const RegionKey key{.name = "api/rates", .description = "1", .lasts_ns = kHour};
  const auto refused = file->Attach(key, kBytes, [](const auto&) { return false; });
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error(),
              HasSubstr("a process that is stopped holds a part of what is to be"));
  EXPECT_EQ(MarkOf(*Attach(*Open(), "api/rates", 1, 'b')), 'b');
}

// A reload of one gateway after the other, seconds apart: each goes on to the same table.
TEST_F(RegionDirectoryTest, OnesThatReloadLaterShareWhatTheFirstOneMade) {
  const auto one = Open();
  const auto other = Open();
  auto ones = Attach(*one, "api/rates", 1, 'a');
  auto others = Attach(*other, "api/rates", 1, 'a');
  ones = Attach(*one, "api/rates", 2, 'b');
  const Now now = one->ClockBy(SystemClock())->Read();
  for (std::uint64_t second = 1; second <= 3; ++second) {
    one->Keep({.engine_ns = now.engine_ns + second * kSecond, .unix_ns = now.unix_ns});
    other->Keep({.engine_ns = now.engine_ns + second * kSecond + 1, .unix_ns = now.unix_ns});
  }
  EXPECT_TRUE(Report().regions[0].superseded) << "though it was used last";
  others = Attach(*other, "api/rates", 2, 'c');
  EXPECT_EQ(MarkOf(*others), 'b');
}

// Whoever crashed goes on with what it had, though one of the policy before was never reloaded.
TEST_F(RegionDirectoryTest, WhoIsStartedAgainWithinAMinuteHasWhatItHad) {
  const auto straggler = Open();
  const auto region = Attach(*straggler, "api/rates", 1, 'a');
  const Now now = straggler->ClockBy(SystemClock())->Read();
  const auto keep = [&](StateFile& file, std::uint64_t seconds) {
    file.Keep({.engine_ns = now.engine_ns + seconds * kSecond, .unix_ns = now.unix_ns});
  };
  {
    const auto crashes = Open();
    const auto next = Attach(*crashes, "api/rates", 2, 'b');
    keep(*crashes, 1);
  }
  keep(*straggler, 50);
  EXPECT_EQ(MarkOf(*Attach(*Open(), "api/rates", 2, 'c')), 'b');
  EXPECT_EQ(MarkOf(*Attach(*Open(), "api/rates", 1, 'd')), 'a') << "with the straggler";
  keep(*straggler, 200);
  EXPECT_EQ(MarkOf(*Attach(*Open(), "api/rates", 2, 'e')), 'e') << "from what is in use";
}

// Also one that was started with a policy and ended before it served anybody.
TEST_F(RegionDirectoryTest, WhoGaveUpAtItsStartTakesNothingFromTheOthers) {
  auto file = Open();
  auto region = Attach(*file, "api/rates", 1, 'a');
  file->Keep(file->ClockBy(SystemClock())->Read());
  (void)Attach(*Open(), "api/rates", 2, 'b');
  region.reset();
  file.reset();
  EXPECT_EQ(MarkOf(*Attach(*Open(), "api/rates", 1, 'c')), 'a');
}

TEST_F(RegionDirectoryTest, WhatNobodyNeedsGoesWithoutANewcomer) {
  const auto file = Open();
  auto region = Attach(*file, "api/rates", 1, 'a');
  region = Attach(*file, "api/rates", 2, 'b');
  EXPECT_THAT(Report().regions, SizeIs(2));
  file->Tidy();
  EXPECT_THAT(Report().regions, SizeIs(1));
}

// A child has what its parent was making, and makes nothing.
TEST_F(RegionDirectoryTest, AChildOfAMakerIsNoMaker) {
  Process maker([this](Voice voice) {
    const auto mine = StateFile::Open(Path());
    if (!mine) return;
    const RegionKey key{.name = "api/rates", .description = "1", .lasts_ns = kHour};
    (void)(*mine)->Attach(key, kBytes, [&](const StateFile::Fresh&) {
      if (::fork() == 0) {
        ::alarm(30);  // It outlives its parent, but no test.
        voice.Say(static_cast<std::uint64_t>(::getpid()));
      }
      SleepForEver();
      return true;
    });
  });
  const auto child = static_cast<pid_t>(maker.Hear());
  ASSERT_GT(child, 0);
  maker.Kill();
  EXPECT_EQ(MarkOf(*Attach(*Open(), "api/rates", 1, 'b')), 'b');
  EXPECT_EQ(::kill(child, SIGKILL), 0);
}

// While a thread of the parent makes one, the child makes another, and hangs by nothing.
TEST_F(RegionDirectoryTest, AForkWhileAThreadAttachesLeavesTheChildAble) {
  const auto file = Open();
  const std::jthread attaching([&](const std::stop_token& stop) {
    for (std::uint64_t i = 1; !stop.stop_requested(); ++i) {
      (void)Attach(*file, "api/rates", i, 'a');
    }
  });
  for (std::uint64_t i = 0; i < 100; ++i) {
    Process child([&](Voice voice) {
      ::alarm(20);
      const RegionKey key{.name = "web/rates", .description = std::to_string(i)};
      const auto made = file->Attach(key, kBytes, [](const auto&) { return true; });
      // Or what it used was given away in the moment of the fork.
      const bool told = made || made.error().find("has no place in it") != std::string::npos;
      voice.Say(told ? 1 : 2);
    });
    ASSERT_EQ(child.Hear(), 1U) << i;
  }
}

// Processes that never end, of two policies, and others that are killed at any moment.
TEST_F(RegionDirectoryTest, UnderKillsNobodysRegionIsGivenToOthers) {
  const auto start = [this] {
    return Process([this](Voice voice) {
      const auto mine = StateFile::Open(Path());
      if (!mine) return;
      voice.Say(1);
      for (std::uint64_t i = static_cast<std::uint64_t>(::getpid());; ++i) {
        const auto region = Attach(**mine, "api/rates", i % 7, 'x', kBytes * (1 + i % 7));
        if (region == nullptr) return;
        std::memset(region->data() + 1, static_cast<int>(i % 7), region->size() - 1);
      }
    });
  };
  const auto file = Open();
  const auto mine = Attach(*file, "api/rates", 1000, 'm', kBytes);
  std::memset(mine->data(), 'm', mine->size());
  std::vector<Process> processes;
  for (unsigned i = 0; i < 3; ++i) processes.push_back(start());
  std::mt19937 random(1);  // NOLINT(bugprone-random-generator-seed)
  KillAtRandom(processes, 60, 20'000, random, start);
  processes.clear();
  for (std::size_t i = 0; i < mine->size(); ++i) {
    ASSERT_EQ(static_cast<char>(mine->data()[i]), 'm') << i;
  }
  (void)Attach(*file, "api/rates", 2000, 'n');
  EXPECT_LE(Report().regions.size(), 3U);
}

}  // namespace
}  // namespace sluicegate::table
