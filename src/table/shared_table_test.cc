// A table that processes share, with real processes: killed at any moment, stopped with a lock,
// forked. What they were admitted never exceeds the quota, and nobody waits for the dead.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <system_error>
#include <vector>

#include "base/seed_for_test.h"
#include "base/temporary_folder_for_test.h"
#include "limit/compiled_limit.h"
#include "table/blocked_sketch.h"
#include "table/process_for_test.h"
#include "table/state_file.h"
#include "table/table.h"

namespace sluicegate::table {
namespace {

using Voice = Process::Voice;
namespace fs = std::filesystem;

constexpr Now kNow{.engine_ns = 1'000'000'000'000, .unix_ns = 1'800'000'000'000'000'000};

// Three limits of one key, of all the kinds there are: the sliding window has the fewest units.
class Limits final : public Weigher {
 public:
  static constexpr std::uint64_t kQuota = 50'000;

  [[nodiscard]] static std::size_t bytes() { return 80; }
  // False where one of them has no room.
  [[nodiscard]] bool Charge(std::byte* state) const {
    for (std::size_t i = 0; i < limits_.size(); ++i) {
      if (limits_[i].Remaining(state + kOffsets[i], kNow) == 0) return false;
    }
    for (std::size_t i = 0; i < limits_.size(); ++i) {
      limits_[i].Charge(state + kOffsets[i], kNow, 1);
    }
    return true;
  }
  [[nodiscard]] std::uint64_t Used(const std::byte* state, std::size_t limit) const {
    return limits_[limit].quota() - limits_[limit].Remaining(state + kOffsets[limit], kNow);
  }
  [[nodiscard]] Weight Weigh(const std::byte* state, std::uint8_t /*variant*/,
                             Now now) const noexcept override {
    const limit::Load load = limits_[1].LoadOf(state + kOffsets[1], now);
    return {.used_ppm = load.used_ppm, .clears_after_ns = load.clears_after_ns};
  }

 private:
  static limit::CompiledLimit Make(Algorithm algorithm, std::uint64_t quota) {
    Limit limit;
    limit.algorithm = algorithm;
    limit.quota = quota;
    limit.refill = 1;
    limit.window = std::chrono::hours(1);
    limit.unit = CalendarUnit::kYear;
    return limit::CompiledLimit::Compile(limit).value();
  }
  static constexpr std::array<std::size_t, 3> kOffsets = {0, 8, 8 + 40};
  std::array<limit::CompiledLimit, 3> limits_ = {Make(Algorithm::kTokenBucket, kQuota * 2),
                                                 Make(Algorithm::kSlidingWindow, kQuota),
                                                 Make(Algorithm::kFixedWindow, kQuota * 3)};
};

// Even over the buckets.
constexpr std::uint64_t Hash(std::uint64_t key) { return key * 0x9E3779B97F4A7C15U; }

// What the processes tell, in a region of its own.
struct Tally {
  std::atomic<std::uint64_t> admitted;
  std::atomic<std::uint64_t> stuck;
  std::atomic<std::uint64_t> longest_wait_ns;
};

// One process' view.
class Attached {
 public:
  explicit Attached(const std::string& path) : file_(std::move(*StateFile::Open(path))) {
    const std::size_t bytes = Table::RegionBytes(kShape, 128 * 1024);
    auto region = file_->Attach({.name = "test/rates", .description = "1"}, bytes,
                                [](const StateFile::Fresh& fresh) {
                                  Table::Begin(*fresh.region, kShape, fresh.id);
                                  return true;
                                });
    table_ = Table::OfRegion(kShape, std::move(*region), file_->owners(), nullptr);
    tally_region_ =
        std::move(*file_->Attach({.name = "test/tally", .description = "1"}, sizeof(Tally),
                                 [](const StateFile::Fresh&) { return true; }));
  }
  [[nodiscard]] Table& table() { return *table_; }
  [[nodiscard]] Tally& tally() { return *reinterpret_cast<Tally*>(tally_region_->data()); }
  [[nodiscard]] Owners& owners() { return file_->owners(); }

  [[nodiscard]] bool Ask(std::uint64_t hash) {
    const auto before = std::chrono::steady_clock::now();
    bool admitted = false;
    {
      Cell cell = table_->Lock(hash);
      const auto waited = std::chrono::duration_cast<std::chrono::nanoseconds>(
          std::chrono::steady_clock::now() - before);
      Raise(tally().longest_wait_ns, static_cast<std::uint64_t>(waited.count()));
      if (cell.sealed()) {
        tally().stuck.fetch_add(1, std::memory_order_relaxed);
        return false;
      }
      if (!cell.Claim(limits_, 0, kNow)) return false;
      admitted = limits_.Charge(cell.state());
    }
    if (admitted) tally().admitted.fetch_add(1, std::memory_order_relaxed);
    return admitted;
  }
  [[nodiscard]] const Limits& limits() const { return limits_; }

 private:
  static constexpr Table::Shape kShape{.state_bytes = 80, .tagged = false};
  static void Raise(std::atomic<std::uint64_t>& word, std::uint64_t value) {
    std::uint64_t seen = word.load(std::memory_order_relaxed);
    while (seen < value && !word.compare_exchange_weak(seen, value)) {
    }
  }
  std::unique_ptr<StateFile> file_;
  std::unique_ptr<Table> table_;
  std::shared_ptr<Mapping> tally_region_;
  Limits limits_;
};

class SharedTable : public ::testing::Test {
 protected:
  [[nodiscard]] std::string Path() const { return folder_ / "state"; }

  // Asks for all keys in turn until it is ended, or nothing is admitted any more.
  Process Hammer(std::uint64_t keys) {
    return Process([this, keys](Voice voice) {
      Attached here(Path());
      voice.Say(1);
      for (std::uint64_t refused = 0; refused < 4 * keys;) {
        for (std::uint64_t key = 1; key <= keys; ++key) {
          refused = here.Ask(Hash(key)) ? 0 : refused + 1;
        }
      }
    });
  }

  // Attaches in a process, which holds the key's lock, says its word and does what `then` does.
  template <class Then>
  Process Hold(std::uint64_t key, const Then& then, pid_t (*fork)() = &::fork) {
    return Process(
        [&](Voice voice) {
          Attached mine(Path());
          const Cell cell = mine.table().Lock(Hash(key));
          voice.Say(cell.sealed() ? 0 : mine.owners().Word());
          then(voice, mine);
        },
        fork);
  }
  static void HoldForEver(Voice /*voice*/, Attached& /*mine*/) { SleepForEver(); }

  TemporaryFolder folder_;
};

TEST_F(SharedTable, ProcessesTogetherGetExactlyTheQuota) {
  Attached here(Path());
  {
    std::vector<Process> processes;
    for (unsigned i = 0; i < 4; ++i) processes.push_back(Hammer(2));
    for (Process& process : processes) {
      ASSERT_EQ(process.Hear(), 1U);
      EXPECT_EQ(process.Wait(), 0);
    }
  }
  EXPECT_EQ(here.tally().admitted, 2 * Limits::kQuota);
}

// Each of those that are killed may take one unit with it that it was not admitted.
TEST_F(SharedTable, KillsAtAnyMomentAdmitNobodyTooMuchAndHoldNobodyUp) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  constexpr unsigned kKills = 500;
  constexpr std::uint64_t kKeys = 150;  // So many that the quota outlasts the kills.
  Attached here(Path());
  std::vector<Process> processes;
  for (unsigned i = 0; i < 4; ++i) processes.push_back(Hammer(kKeys));
  KillAtRandom(processes, kKills, 2000, random, [&] { return Hammer(kKeys); });
  for (Process& process : processes) EXPECT_EQ(process.Wait(), 0);
  while (here.Ask(Hash(1))) {
  }
  const std::uint64_t admitted = here.tally().admitted;
  EXPECT_LE(admitted, kKeys * Limits::kQuota);
  EXPECT_GE(admitted, kKeys * Limits::kQuota - kKills);
  for (std::uint64_t key = 1; key <= kKeys; ++key) {
    const Cell cell = here.table().Lock(Hash(key));
    ASSERT_TRUE(cell.present());
    EXPECT_EQ(here.limits().Used(cell.state(), 1), Limits::kQuota);
    // Charged one after the other: the ones behind may lack what the dead had begun.
    EXPECT_GE(here.limits().Used(cell.state(), 0) + kKills, Limits::kQuota);
  }
  std::cout << kKills << " kills among 4 processes: " << admitted << " of "
            << kKeys * Limits::kQuota << " units admitted, the longest wait "
            << here.tally().longest_wait_ns / 1000 << " us, " << here.tally().stuck
            << " gave up on a living one\n";
}

TEST_F(SharedTable, WhatADeadOneHeldIsTakenOverAndAStoppedOneIsNotRobbed) {
  Attached here(Path());
  Process holder = Hold(7, &HoldForEver);
  ASSERT_NE(holder.Hear(), 0U);
  holder.Signal(SIGSTOP);
  {
    const Cell cell = here.table().Lock(Hash(7));
    EXPECT_TRUE(cell.sealed() && cell.stuck());
    EXPECT_FALSE(cell.present());
  }
  holder.Kill();
  const auto before = std::chrono::steady_clock::now();
  EXPECT_TRUE(here.Ask(Hash(7)));
  const auto waited = std::chrono::steady_clock::now() - before;
  std::cout << "a dead one's lock was had after "
            << std::chrono::duration_cast<std::chrono::microseconds>(waited).count() << " us\n";
}

// As two containers that are started one after the other: in each it is number 1.
TEST_F(SharedTable, WhoHasADeadOnesNumberAndSlotNeitherKeepsItsLockNorLosesItsOwn) {
  Attached here(Path());
  Process dead = Hold(7, &HoldForEver, &ForkIntoPidNamespace);
  const std::uint64_t dead_word = dead.Hear();
  if (dead_word == 0) GTEST_SKIP() << "no right to make a pid namespace";
  dead.Kill();
  Process living = Hold(8, &HoldForEver, &ForkIntoPidNamespace);
  const std::uint64_t word = living.Hear();
  EXPECT_EQ(word % Owners::kMost, dead_word % Owners::kMost);
  EXPECT_NE(word, dead_word);
  EXPECT_TRUE(here.Ask(Hash(7)));
  EXPECT_TRUE(here.table().Lock(Hash(8)).stuck());
  living.Kill();
  EXPECT_TRUE(here.Ask(Hash(8)));
}

// Whether a process has the file open, or mapped.
bool Has(pid_t pid, const std::string& path) {
  const fs::path about = "/proc/" + std::to_string(pid);
  for (const auto& descriptor : fs::directory_iterator(about / "fd")) {
    std::error_code closed_meanwhile;
    if (fs::read_symlink(descriptor, closed_meanwhile) == path) return true;
  }
  std::ifstream maps(about / "maps");
  return std::string(std::istreambuf_iterator<char>(maps), {}).find(path) != std::string::npos;
}

// Also by a fork that calls no handlers: then the child has its parent's open file until it becomes
// another program.
TEST_F(SharedTable, AChildThatBecomesAnotherProgramKeepsNeitherSlotNorLock) {
  Attached here(Path());
  for (pid_t (*fork)() : {&::fork, &::_Fork}) {
    Process parent = Hold(7, [fork](Voice voice, Attached& /*mine*/) {
      int ends[2] = {-1, -1};
      if (::pipe2(ends, O_CLOEXEC) != 0) return;
      const pid_t child = fork();
      if (child == 0) {
        ::dup2(ends[1], STDOUT_FILENO);
        ::execl("/bin/sh", "sh", "-c", "echo; exec sleep 30", nullptr);
        ::_exit(9);
      }
      ::close(ends[1]);
      char line = 0;
      if (::read(ends[0], &line, 1) != 1) return;  // The other program says that it runs.
      voice.Say(static_cast<std::uint64_t>(child));
      SleepForEver();
    });
    const auto word = static_cast<std::uint32_t>(parent.Hear());
    const auto child = static_cast<pid_t>(parent.Hear());
    ASSERT_GT(child, 0);
    EXPECT_TRUE(Has(parent.pid(), Path()));
    EXPECT_FALSE(Has(child, Path()));
    EXPECT_FALSE(here.owners().IsDead(word));
    parent.Kill();
    EXPECT_TRUE(here.owners().IsDead(word));
    EXPECT_EQ(StateFile::Read(Path())->owners, 1U);
    EXPECT_TRUE(here.Ask(Hash(7)));
    EXPECT_EQ(::kill(child, SIGKILL), 0) << "the child lived";
  }
}

TEST_F(SharedTable, WhatAKilledParentHeldIsTakenOverThoughItsIdleChildLives) {
  Attached here(Path());
  Process parent = Hold(7, [](Voice voice, Attached& mine) {
    if (::fork() == 0) {
      ::alarm(30);  // It outlives its parent, but no test.
      voice.Say(static_cast<std::uint64_t>(::getpid()));
      if (voice.Hear() == 0) ::_exit(0);
      voice.Say(mine.Ask(Hash(7)) ? mine.owners().Word() : 0);
    }
    SleepForEver();
  });
  const auto word = static_cast<std::uint32_t>(parent.Hear());
  const auto child = static_cast<pid_t>(parent.Hear());
  ASSERT_GT(child, 0);
  EXPECT_TRUE(here.table().Lock(Hash(7)).stuck());
  parent.Kill();
  EXPECT_TRUE(here.owners().IsDead(word));
  EXPECT_TRUE(here.Ask(Hash(7)));
  // The child has been idle until now, and goes on with a word of its own.
  parent.Say(1);
  const auto childs = static_cast<std::uint32_t>(parent.Hear());
  EXPECT_NE(childs, 0U);
  EXPECT_NE(childs, word);
  EXPECT_FALSE(here.owners().IsDead(childs));
  EXPECT_EQ(here.tally().admitted, 2U);
  EXPECT_EQ(::kill(child, SIGKILL), 0);
}

TEST_F(SharedTable, AKilledParentsLockOfTheDirectoryIsFreeThoughItsIdleChildLives) {
  Attached here(Path());
  Process parent([this](Voice voice) {
    const auto mine = StateFile::Open(Path());
    (void)(*mine)->Attach({.name = "test/more", .description = "1"}, 4096,
                          [voice](const StateFile::Fresh&) {
                            if (::fork() == 0) {
                              ::alarm(30);  // It outlives its parent, but no test.
                              voice.Say(static_cast<std::uint64_t>(::getpid()));
                            }
                            SleepForEver();
                            return true;
                          });
  });
  const auto child = static_cast<pid_t>(parent.Hear());
  ASSERT_GT(child, 0);
  parent.Kill();
  EXPECT_TRUE(StateFile::Open(Path()).has_value());
  EXPECT_EQ(::kill(child, SIGKILL), 0);
}

// As a foreign hand may do it, or a later program that does not ask who is there.
TEST_F(SharedTable, OfAnotherVersionWhoIsAttachedGoesOnAndNobodyJoins) {
  Attached here(Path());
  Process other([this](Voice voice) {
    Attached mine(Path());
    voice.Say(1);
    while (const std::uint64_t key = voice.Hear()) voice.Say(mine.Ask(Hash(key)) ? 1 : 2);
  });
  ASSERT_EQ(other.Hear(), 1U);
  EXPECT_TRUE(here.Ask(Hash(3)));
  const auto write_version = [this](std::uint32_t version) {
    std::fstream file(Path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(8).write(reinterpret_cast<const char*>(&version), sizeof(version));
  };
  const auto bytes = [this] {
    std::ifstream file(Path(), std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  write_version(StateFile::kVersion + 1);
  const std::string why = "it is of version " + std::to_string(StateFile::kVersion + 1) +
                          ", and this program reads and writes version " +
                          std::to_string(StateFile::kVersion) + ". Run the program that made it";
  const std::string before = bytes();
  for (unsigned newcomers = 0; newcomers < 3; ++newcomers) {
    // Not as a child that has what this process has.
    Process newcomer(
        [&](Voice voice) {
          const auto refused = StateFile::Open(Path());
          voice.Say(!refused && refused.error().find(why) != std::string::npos ? 1 : 2);
        },
        &::_Fork);
    EXPECT_EQ(newcomer.Hear(), 1U);
    EXPECT_EQ(newcomer.Wait(), 0);
  }
  EXPECT_THAT(StateFile::Read(Path()).error(), ::testing::HasSubstr(why));
  EXPECT_TRUE(bytes() == before) << "it is left as it is";
  other.Say(3);
  EXPECT_EQ(other.Hear(), 1U);
  EXPECT_TRUE(here.Ask(Hash(3)));
  write_version(StateFile::kVersion);
  Attached later(Path());
  EXPECT_TRUE(later.Ask(Hash(3)));
  const Cell cell = here.table().Lock(Hash(3));
  EXPECT_EQ(here.limits().Used(cell.state(), 1), 4U);
}

// One process' view of a sketch.
class SharedSketch {
 public:
  explicit SharedSketch(const std::string& path) : file_(std::move(*StateFile::Open(path))) {
    auto region =
        file_->Attach({.name = "test/sketch", .description = "1"},
                      BlockedSketch::RegionBytes(kOptions), [](const StateFile::Fresh& fresh) {
                        BlockedSketch::Begin(*fresh.region);
                        return true;
                      });
    sketch_ = BlockedSketch::OfRegion(false, std::move(*region), file_->owners());
  }
  [[nodiscard]] BlockedSketch& operator*() const { return *sketch_; }
  [[nodiscard]] BlockedSketch* operator->() const { return sketch_.get(); }

 private:
  static constexpr BlockedSketch::Options kOptions{.bytes = 64 * 1024};
  std::unique_ptr<StateFile> file_;
  std::unique_ptr<BlockedSketch> sketch_;
};

TEST_F(SharedTable, ASketchRemembersWhatAnotherProcessFolded) {
  const std::uint64_t until_ns = kNow.engine_ns + 3'600'000'000'000;
  const SharedSketch here(Path());
  Process child([&](Voice voice) {
    const SharedSketch mine(Path());
    voice.Say(mine->Fold(42, until_ns, kNow.engine_ns) ? 1 : 2);
  });
  EXPECT_EQ(child.Hear(), 1U);
  child.Kill();
  EXPECT_GE(here->BlockedFor(42, kNow.engine_ns), until_ns - kNow.engine_ns);
}

// Most of them die in the scan, or with a fold begun; the last one when it was refused, however
// little time the others had.
TEST_F(SharedTable, ASketchGoesOnCountingThoughItsScannersAreKilled) {
  const std::uint64_t until_ns = kNow.engine_ns + 3'600'000'000'000;
  const SharedSketch here(Path());
  constexpr unsigned kKills = 100;
  constexpr std::uint64_t kMostFolds = 1'000'000;  // Some 1,300 fill it.
  for (unsigned kill = 0; kill < kKills; ++kill) {
    Process child([&](Voice voice) {
      const SharedSketch mine(Path());
      voice.Say(1);
      bool full = false;
      for (std::uint64_t fold = 0; full || fold < kMostFolds; ++fold) {
        if (mine->Fold((kill + fold * kKills) * 7919, until_ns, kNow.engine_ns)) continue;
        if (!full) voice.Say(2);
        full = true;
      }
    });
    ASSERT_EQ(child.Hear(), 1U);
    if (kill + 1 == kKills) {
      ASSERT_EQ(child.Hear(), 2U);
    }
    ::usleep(200);
    child.Kill();
  }
  EXPECT_GT(here->counts().forgotten, 0U) << "it is full";
  // All that was folded is over, which a scan finds at once, and so it has room again.
  const std::uint64_t later_ns = until_ns + 3'600'000'000'000;
  unsigned taken = 0;
  for (std::uint64_t key = 1; key <= 1000; ++key) {
    taken += here->Fold(key << 20U, later_ns + until_ns, later_ns) ? 1U : 0U;
  }
  EXPECT_GT(taken, 500U);
  for (const std::uint64_t row : here->LiveAtMost()) EXPECT_LE(row, 1000 + kKills);
}

TEST_F(SharedTable, AForkedChildGoesOnWithTheTable) {
  Attached here(Path());
  EXPECT_TRUE(here.Ask(Hash(1)));
  Process child([&](Voice voice) {
    for (unsigned i = 0; i < 10; ++i) (void)here.Ask(Hash(1));
    voice.Say(here.owners().Word());
  });
  EXPECT_NE(child.Hear(), here.owners().Word());
  EXPECT_EQ(child.Wait(), 0);
  EXPECT_EQ(here.tally().admitted, 11U);
}

TEST_F(SharedTable, ARestartFindsTheCounts) {
  {
    Attached here(Path());
    for (unsigned i = 0; i < 5; ++i) EXPECT_TRUE(here.Ask(Hash(3)));
  }
  Attached here(Path());
  const Cell cell = here.table().Lock(Hash(3));
  ASSERT_TRUE(cell.present());
  EXPECT_EQ(here.limits().Used(cell.state(), 1), 5U);
}

}  // namespace
}  // namespace sluicegate::table
