// What a process counts of locks that others hold in a state file, with real processes: killed with
// a lock, stopped with one, forked. What is taken over of words that no process wrote. And how many
// are attached.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/temporary_folder_for_test.h"
#include "table/bucket.h"
#include "table/process_for_test.h"
#include "table/state_file.h"

namespace sluicegate::table {
namespace {

using Voice = Process::Voice;

class TakeoverTest : public ::testing::Test {
 protected:
  TakeoverTest()
      : page_(::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)),
        lock_(*new(page_) BucketLock) {}
  ~TakeoverTest() override { ::munmap(page_, kPage); }

  [[nodiscard]] std::unique_ptr<StateFile> Attach() const {
    auto file = StateFile::Open((folder_ / "state").string());
    return file ? std::move(*file) : nullptr;
  }
  // A process that has attached, says so with the lock held, and sleeps.
  [[nodiscard]] Process Holder() {
    return Process([this](Voice voice) {
      const auto file = Attach();
      voice.Say(lock_.Lock(&file->owners()) == Locked::kHeld ? 1 : 2);
      SleepForEver();
    });
  }

 private:
  const TemporaryFolder folder_;
  void* page_;

 protected:
  void Write(std::uint32_t word) { new (page_) std::atomic<std::uint32_t>(word); }

  BucketLock& lock_;  // In memory that all processes share.
};

TEST_F(TakeoverTest, ALockThatIsFreeCountsForNothing) {
  const auto file = Attach();
  Owners& owners = file->owners();
  ASSERT_EQ(lock_.Lock(&owners), Locked::kHeld);
  lock_.Unlock();
  EXPECT_EQ(owners.takeovers(), 0U);
  EXPECT_EQ(owners.stuck(), 0U);
}

TEST_F(TakeoverTest, WhatADeadProcessHeldIsCountedOnceByWhoTakesIt) {
  const auto file = Attach();
  const auto other = Attach();
  Owners& owners = file->owners();
  for (unsigned dead = 1; dead <= 3; ++dead) {
    Process holder = Holder();
    ASSERT_EQ(holder.Hear(), 1U);
    holder.Kill();
    ASSERT_EQ(lock_.Lock(&owners), Locked::kHeld);
    EXPECT_EQ(owners.takeovers(), dead);
    lock_.Unlock();
  }
  EXPECT_EQ(owners.stuck(), 0U);
  EXPECT_EQ(other->owners().takeovers(), 0U);
}

// What a program's hooks saw. As they are for all of it, so is this.
struct Hooks {
  inline static std::atomic<int> begun{0};
  inline static std::atomic<int> ended{0};
  inline static BucketLock* lock = nullptr;
  inline static bool held_at_end = false;

  static void* Begin() noexcept {
    ++begun;
    return &begun;
  }
  static void End(void* told) noexcept {
    EXPECT_EQ(told, &begun);
    ++ended;
    // Nobody is to wait for the bucket while the hook does.
    if (lock != nullptr) {
      held_at_end = lock->Lock() != Locked::kHeld;
      lock->Unlock();
    }
  }
  Hooks() {
    begun = ended = 0;
    SetWaitHooks({.begin = &Begin, .end = &End});
  }
  ~Hooks() {
    SetWaitHooks({});
    lock = nullptr;
  }
  Hooks(const Hooks&) = delete;
  Hooks& operator=(const Hooks&) = delete;
};

TEST_F(TakeoverTest, HooksAreCalledAroundALongWait) {
  const Hooks hooks;
  const auto file = Attach();
  ASSERT_EQ(lock_.Lock(&file->owners()), Locked::kHeld);
  lock_.Unlock();
  EXPECT_EQ(Hooks::begun, 0) << "nobody waited";
  Process holder = Holder();
  ASSERT_EQ(holder.Hear(), 1U);
  EXPECT_EQ(lock_.Lock(&file->owners()), Locked::kStuck);
  EXPECT_EQ(Hooks::begun, 1);
  EXPECT_EQ(Hooks::ended, 1);
  holder.Kill();
  EXPECT_EQ(lock_.Lock(&file->owners()), Locked::kHeld) << "of a dead one";
  EXPECT_EQ(Hooks::begun, Hooks::ended);
  lock_.Unlock();
}

TEST(BucketLockTest, ItIsNotHeldWhileTheHookComesBack) {
  BucketLock lock;
  const Hooks hooks;
  Hooks::lock =
      &lock;  // Before there is a second thread: the hook comes back with nothing acquired.
  ASSERT_EQ(lock.Lock(), Locked::kHeld);
  std::thread waiter([&] {
    EXPECT_EQ(lock.Lock(), Locked::kHeld);
    lock.Unlock();
  });
  while (Hooks::begun == 0) YieldCore();
  lock.Unlock();
  waiter.join();
  EXPECT_EQ(Hooks::ended, 1);
  EXPECT_FALSE(Hooks::held_at_end);
}

// A damaged file may have such words. Where one says sealed, nothing has moved.
TEST_F(TakeoverTest, AWordThatNobodyHasIsTakenOver) {
  const auto file = Attach();
  const auto other = Attach();
  Owners& owners = file->owners();
  constexpr std::uint32_t kSealed = 2;
  const std::uint32_t of_a_free_slot = 9 * Owners::kMost + 200;
  const std::uint32_t of_a_later_one = other->owners().Word() + Owners::kMost;
  std::uint64_t taken = 0;
  for (const std::uint32_t word : {kAlone, kSealed, of_a_free_slot, of_a_later_one}) {
    Write(word);
    ASSERT_EQ(lock_.Lock(&owners), Locked::kHeld) << word;
    EXPECT_EQ(owners.takeovers(), ++taken);
    lock_.Unlock();
  }
  EXPECT_EQ(owners.stuck(), 0U);
}

// It may be another thread's.
TEST_F(TakeoverTest, AWordOfItsOwnIsNotTakenOver) {
  const auto file = Attach();
  Owners& owners = file->owners();
  Write(owners.Word());
  EXPECT_EQ(lock_.Lock(&owners), Locked::kStuck);
  EXPECT_EQ(owners.takeovers(), 0U);
}

TEST_F(TakeoverTest, WhatAStoppedProcessHoldsIsCountedEachTimeUntilItIsDead) {
  const auto file = Attach();
  Owners& owners = file->owners();
  Process holder = Holder();
  ASSERT_EQ(holder.Hear(), 1U);
  holder.Signal(SIGSTOP);
  for (unsigned times = 1; times <= 2; ++times) {
    EXPECT_EQ(lock_.Lock(&owners), Locked::kStuck);
    EXPECT_EQ(owners.stuck(), times);
  }
  EXPECT_EQ(owners.takeovers(), 0U);
  holder.Kill();
  EXPECT_EQ(lock_.Lock(&owners), Locked::kHeld);
  EXPECT_EQ(owners.stuck(), 2U);
  EXPECT_EQ(owners.takeovers(), 1U);
}

TEST_F(TakeoverTest, AChildCountsFromItsFork) {
  const auto file = Attach();
  Owners& owners = file->owners();
  owners.CountTakeover();
  owners.CountStuck();
  Process child([&](Voice voice) {
    voice.Say(owners.takeovers() + 1);
    voice.Say(owners.stuck() + 1);
    owners.CountStuck();
    voice.Say(owners.stuck() + 1);
  });
  EXPECT_EQ(child.Hear(), 1U);
  EXPECT_EQ(child.Hear(), 1U);
  EXPECT_EQ(child.Hear(), 2U);
  EXPECT_EQ(owners.takeovers(), 1U);
  EXPECT_EQ(owners.stuck(), 1U);
}

// A child finds no slot, as all are taken: it has no word, and gets no lock.
TEST_F(TakeoverTest, WhoHasNoWordCountsAsStuck) {
  std::vector<std::unique_ptr<StateFile>> all;
  while (auto file = Attach()) all.push_back(std::move(file));
  ASSERT_EQ(all.size(), Owners::kMost);
  Process child([&](Voice voice) {
    Owners& owners = all[0]->owners();
    voice.Say(lock_.Lock(&owners) == Locked::kStuck ? 1 : 2);
    voice.Say(owners.stuck());
  });
  EXPECT_EQ(child.Hear(), 1U);
  EXPECT_EQ(child.Hear(), 1U);
  EXPECT_EQ(lock_.Lock(&all[0]->owners()), Locked::kHeld) << "here there is a word";
}

TEST_F(TakeoverTest, AFileTellsHowManyAreAttached) {
  const auto file = Attach();
  EXPECT_EQ(file->processes(), 1U);
  {
    Process holder = Holder();
    ASSERT_EQ(holder.Hear(), 1U);
    // By its own opening, and as the child of one that is attached.
    EXPECT_EQ(file->processes(), 3U);
    holder.Signal(SIGSTOP);
    EXPECT_EQ(file->processes(), 3U);
  }
  EXPECT_EQ(file->processes(), 1U) << "it was killed";
}

}  // namespace
}  // namespace sluicegate::table
