// Owners with real processes: who lives, who is dead, and who is whose child.
#include "table/owners.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <vector>

#include "table/process_for_test.h"

namespace sluicegate::table {
namespace {

using Voice = Process::Voice;

constexpr std::size_t kBytes = sizeof(Owners::Shared);

// A file with nothing but slots, without a name.
class SlotFile {
 public:
  SlotFile() : file_(::memfd_create("owners", MFD_CLOEXEC)) {
    if (file_ < 0 || ::ftruncate(file_, kBytes) != 0 || ::fchmod(file_, 0600) != 0) std::abort();
    shared_ = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0);
  }
  ~SlotFile() {
    ::munmap(shared_, kBytes);
    ::close(file_);
  }
  SlotFile(const SlotFile&) = delete;
  SlotFile& operator=(const SlotFile&) = delete;

  [[nodiscard]] Owners::Shared& shared() const { return *static_cast<Owners::Shared*>(shared_); }
  // An open file description of its own.
  [[nodiscard]] int Open() const {
    const std::string path = "/proc/self/fd/" + std::to_string(file_);
    return ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  }

 private:
  int file_;
  void* shared_ = nullptr;
};

// As if of another process.
class Attached {
 public:
  explicit Attached(const SlotFile& file)
      : file_(file.Open()),
        locks_(file.Open()),
        owners_(Owners::Create(file.shared(), {.file = file_, .locks = locks_})) {}
  ~Attached() {
    owners_.reset();
    ::close(locks_);
    ::close(file_);
  }
  Attached(const Attached&) = delete;
  Attached& operator=(const Attached&) = delete;
  [[nodiscard]] Owners& operator*() const { return *owners_; }
  [[nodiscard]] Owners* operator->() const { return owners_.get(); }
  [[nodiscard]] std::size_t CountOthers() const {
    return Owners::Others(owners_->lock_file()).count();
  }

 private:
  int file_;
  int locks_;
  std::unique_ptr<Owners> owners_;
};

bool IsWord(std::uint64_t word) { return word >= Owners::kMost && word < 0xFFFF'FFFF; }

// Attaches in a child, says its word, and does what `then` does.
template <class Then>
Process AttachInChild(const SlotFile& file, const Then& then, pid_t (*fork)() = &::fork) {
  return Process(
      [&](Voice voice) {
        const Attached owners(file);
        voice.Say(owners->Word());
        then(voice);
      },
      fork);
}

TEST(Owners, EachHasItsOwnWordAndLivesAsLongAsItIsAttached) {
  const SlotFile file;
  const Attached one(file);
  std::uint32_t other_word = 0;
  {
    const Attached other(file);
    other_word = other->Word();
    EXPECT_TRUE(IsWord(one->Word()) && IsWord(other_word));
    EXPECT_NE(one->Word(), other_word);
    EXPECT_FALSE(one->IsDead(other_word));
    EXPECT_FALSE(other->IsDead(one->Word()));
    EXPECT_FALSE(one->IsDead(one->Word()));
    EXPECT_EQ(one.CountOthers(), 1U);
  }
  EXPECT_TRUE(one->IsDead(other_word));
  EXPECT_EQ(one.CountOthers(), 0U);
}

TEST(Owners, AKilledProcessIsDeadAndAStoppedOneIsNot) {
  const SlotFile file;
  const Attached here(file);
  (void)here->Word();
  Process child = AttachInChild(file, [](Voice /*voice*/) { SleepForEver(); });
  const auto word = static_cast<std::uint32_t>(child.Hear());
  ASSERT_TRUE(IsWord(word));
  EXPECT_FALSE(here->IsDead(word));
  child.Signal(SIGSTOP);
  EXPECT_FALSE(here->IsDead(word));
  child.Kill();
  EXPECT_TRUE(here->IsDead(word));
}

TEST(Owners, WhoTakesADeadOnesSlotHasAnotherWord) {
  const SlotFile file;
  std::set<std::uint64_t> words;
  for (unsigned i = 0; i < 20; ++i) {
    Process child = AttachInChild(file, [](Voice /*voice*/) { SleepForEver(); });
    const std::uint64_t word = child.Hear();
    EXPECT_EQ(word % Owners::kMost, 0U) << "the first slot is free again";
    EXPECT_TRUE(words.insert(word).second);
    child.Kill();
  }
  const Attached here(file);
  EXPECT_FALSE(words.contains(here->Word()));
  for (const std::uint64_t word : words) {
    EXPECT_TRUE(here->IsDead(static_cast<std::uint32_t>(word)));
  }
}

// Also of a fork that calls no handlers.
TEST(Owners, AChildHasAWordOfItsOwnAndTheParentKeepsIts) {
  for (pid_t (*fork)() : {&::fork, &::_Fork}) {
    const SlotFile file;
    const Attached here(file);
    const std::uint32_t own = here->Word();
    Process child(
        [&](Voice voice) {
          voice.Say(here->Word());
          voice.Say(here->IsDead(own) ? 2 : 1);
          SleepForEver();
        },
        fork);
    const auto word = static_cast<std::uint32_t>(child.Hear());
    ASSERT_TRUE(IsWord(word));
    EXPECT_NE(word, own);
    EXPECT_EQ(child.Hear(), 1U) << "the parent lives";
    EXPECT_FALSE(here->IsDead(word));
    EXPECT_EQ(here->Word(), own);
    child.Kill();
    EXPECT_TRUE(here->IsDead(word));
    EXPECT_EQ(here->Word(), own);
  }
}

// A child that does nothing with the file has its parent's open file, until the handler opens its
// own; one that becomes another program has none.
TEST(Owners, AnIdleChildDoesNotKeepItsParentAlive) {
  for (const bool exec : {false, true}) {
    const SlotFile file;
    const Attached here(file);
    (void)here->Word();
    Process parent = AttachInChild(file, [&](Voice voice) {
      const pid_t child = ::fork();
      if (child == 0) {
        if (exec) ::execl("/bin/sleep", "sleep", "100", nullptr);
        SleepForEver();
      }
      voice.Say(static_cast<std::uint64_t>(child));
      SleepForEver();
    });
    const auto word = static_cast<std::uint32_t>(parent.Hear());
    const auto child = static_cast<pid_t>(parent.Hear());
    ASSERT_GT(child, 0);
    EXPECT_FALSE(here->IsDead(word));
    parent.Kill();
    // Between fork and handler or exec the child has the parent's file; that ends by itself.
    while (!here->IsDead(word)) ::usleep(1000);
    EXPECT_EQ(::kill(child, 0), 0) << "the child lives";
    ::kill(child, SIGKILL);
  }
}

// Processes of two containers know each other by other numbers, or not at all.
TEST(Owners, ThePidNamespaceDoesNotMatter) {
  const SlotFile file;
  const Attached here(file);
  const std::uint32_t own = here->Word();
  Process inner(
      [&](Voice voice) {
        const Attached there(file);
        voice.Say(there->Word());
        voice.Say(there->IsDead(own) ? 2 : 1);
        SleepForEver();
      },
      &ForkIntoPidNamespace);
  const auto word = static_cast<std::uint32_t>(inner.Hear());
  if (word == 0) GTEST_SKIP() << "no right to make a pid namespace";
  EXPECT_EQ(inner.Hear(), 1U) << "it sees this process alive";
  EXPECT_FALSE(here->IsDead(word));
  inner.Kill();
  EXPECT_TRUE(here->IsDead(word));
}

// Each is number 1 of a namespace of its own, as if the kernel had given the number out again.
TEST(Owners, ANumberThatIsUsedAgainNeitherRevivesTheDeadNorKillsTheLiving) {
  const SlotFile file;
  const Attached here(file);
  (void)here->Word();
  const auto attach = [&] {
    return AttachInChild(file, [](Voice /*voice*/) { SleepForEver(); }, &ForkIntoPidNamespace);
  };
  const auto pid_of = [&](std::uint32_t word) {
    return file.shared().slots[word % Owners::kMost].pid.load();
  };
  Process first = attach();
  const auto dead = static_cast<std::uint32_t>(first.Hear());
  if (dead == 0) GTEST_SKIP() << "no right to make a pid namespace";
  EXPECT_EQ(pid_of(dead), 1U);
  first.Kill();
  const Process second = attach();
  const auto living = static_cast<std::uint32_t>(second.Hear());
  EXPECT_EQ(pid_of(living), 1U);
  EXPECT_EQ(living % Owners::kMost, dead % Owners::kMost) << "the slot is used again as well";
  EXPECT_TRUE(here->IsDead(dead));
  EXPECT_FALSE(here->IsDead(living));
  Process third = attach();
  const auto other = static_cast<std::uint32_t>(third.Hear());
  EXPECT_EQ(pid_of(other), 1U);
  third.Kill();
  EXPECT_TRUE(here->IsDead(other));
  EXPECT_FALSE(here->IsDead(living));
}

TEST(Owners, WhereAllSlotsAreTakenThereIsNoWordUntilOneIsFree) {
  const SlotFile file;
  std::vector<std::unique_ptr<Attached>> all;
  for (unsigned i = 0; i < Owners::kMost; ++i) {
    all.push_back(std::make_unique<Attached>(file));
    ASSERT_TRUE(IsWord((*all.back())->Word())) << i;
  }
  const Attached late(file);
  EXPECT_EQ(late->Word(), 0U);
  EXPECT_EQ(late.CountOthers(), Owners::kMost);
  all.erase(all.begin() + 7);
  EXPECT_EQ(late->Word() % Owners::kMost, 7U);
}

TEST(Owners, APartThatALivingProcessUsesIsNotGivenAway) {
  const SlotFile file;
  const Attached here(file);
  (void)here->Word();
  Process child([&](Voice voice) {
    const Attached there(file);
    (void)there->Word();
    const auto one = there->Use(7);
    const auto two = there->Use(7);
    voice.Say(1);
    SleepForEver();
  });
  ASSERT_EQ(child.Hear(), 1U);
  EXPECT_FALSE(here->GiveAway(7));
  EXPECT_TRUE(here->GiveAway(8)) << "nobody has it";
  child.Kill();
  EXPECT_TRUE(here->GiveAway(7));
  // Its own, too, as often as it uses it.
  auto one = here->Use(7);
  auto two = here->Use(7);
  one.Reset();
  EXPECT_FALSE(here->GiveAway(7));
  two.Reset();
  EXPECT_TRUE(here->GiveAway(7));
}

TEST(Owners, WhoTakesADeadOnesSlotDoesNotUseWhatThatUsed) {
  const SlotFile file;
  Process child([&](Voice voice) {
    const Attached there(file);
    voice.Say(there->Word());
    const auto used = there->Use(7);
    voice.Say(1);
    SleepForEver();
  });
  const auto word = static_cast<std::uint32_t>(child.Hear());
  ASSERT_EQ(child.Hear(), 1U);
  child.Kill();
  const Attached heir(file);
  EXPECT_EQ(heir->Word() % Owners::kMost, word % Owners::kMost);
  const Attached here(file);
  (void)here->Word();
  EXPECT_TRUE(here->GiveAway(7));
}

TEST(Owners, AChildUsesWhatItsParentDidAndCanLeaveItAlone) {
  const SlotFile file;
  const Attached here(file);
  (void)here->Word();
  auto used = here->Use(7);
  Process child([&](Voice voice) {
    voice.Say(1);
    (void)voice.Hear();
    used.Reset();
    voice.Say(2);
    SleepForEver();
  });
  ASSERT_EQ(child.Hear(), 1U);
  used.Reset();
  EXPECT_FALSE(here->GiveAway(7)) << "the child has it still";
  child.Say(1);
  ASSERT_EQ(child.Hear(), 2U);
  EXPECT_TRUE(here->GiveAway(7));
}

// Only a fork that calls no handlers gives it the time to be late.
TEST(Owners, AChildWhosePartsWereGivenAwayMeanwhileHasNoWord) {
  for (const bool given_away : {false, true}) {
    const SlotFile file;
    const Attached here(file);
    (void)here->Word();
    auto used = here->Use(7);
    Process child(
        [&](Voice voice) {
          voice.Say(1);
          (void)voice.Hear();
          voice.Say(here->Word());
        },
        &::_Fork);
    ASSERT_EQ(child.Hear(), 1U);
    if (given_away) {
      used.Reset();
      ASSERT_TRUE(here->GiveAway(7));
    }
    child.Say(1);
    EXPECT_EQ(IsWord(child.Hear()), !given_away);
  }
}

// Whoever looked for users of the part may have been killed in that moment.
TEST(Owners, ATurnThatWasLeftRaisedDoesNotCostChildrenTheirWord) {
  const SlotFile file;
  const Attached here(file);
  (void)here->Word();
  const auto used = here->Use(7);
  file.shared().parts[7].turn.fetch_add(1);
  Process child([&](Voice voice) { voice.Say(here->Word()); });
  EXPECT_TRUE(IsWord(child.Hear()));
}

// Record locks go when the process closes any descriptor of the file.
TEST(Owners, WhoLostItsRecordLocksHasAnotherSlotASecondLater) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can drop privileges";
  const SlotFile file;
  Process parent([&](Voice voice) {
    const Attached there(file);
    (void)there->Word();
    if (::setgid(65534) != 0 || ::setuid(65534) != 0) return;
    ::alarm(60);  // Nobody's death ends it any more.
    if (::fork() != 0) SleepForEver();
    ::alarm(60);
    const auto used = there->Use(7);
    voice.Say(there->Word());
    ::close(::dup(there->lock_file().file));
    voice.Say(1);
    (void)voice.Hear();
    there->Renew();
    voice.Say(there->Word());
    SleepForEver();
  });
  const auto word = static_cast<std::uint32_t>(parent.Hear());
  ASSERT_EQ(parent.Hear(), 1U);
  const Attached here(file);
  EXPECT_TRUE(here->IsDead(word)) << "so it seems";
  parent.Say(1);
  const auto renewed = static_cast<std::uint32_t>(parent.Hear());
  ASSERT_TRUE(IsWord(renewed));
  EXPECT_NE(renewed, word);
  EXPECT_FALSE(here->IsDead(renewed));
  EXPECT_FALSE(here->GiveAway(7));
  ::kill(static_cast<pid_t>(file.shared().slots[renewed % Owners::kMost].pid.load()), SIGKILL);
}

// As a server's workers are that fork after it dropped its privileges: they may not open the file.
TEST(Owners, AChildThatMayNotOpenTheFileHasAWordAllTheSame) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can drop privileges";
  for (pid_t (*fork)() : {&::fork, &::_Fork}) {
    const SlotFile file;
    Process parent([&](Voice voice) {
      const Attached there(file);
      const auto own = static_cast<std::uint32_t>(voice.Hear());
      const std::uint32_t parents = there->Word();
      voice.Say(parents);
      if (::setgid(65534) != 0 || ::setuid(65534) != 0) return;
      ::alarm(60);  // Nobody's death ends it any more.
      for (unsigned i = 0; i < 2; ++i) {
        if (fork() != 0) continue;
        ::alarm(60);
        const std::uint32_t word = there->Word();
        const bool good = there->lock_file().by_process && !there->IsDead(parents) &&
                          !there->IsDead(own) && IsWord(word);
        voice.Say(good ? word : 0);
        SleepForEver();
      }
      SleepForEver();
    });
    const Attached here(file);
    const std::uint32_t own = here->Word();
    parent.Say(own);
    const auto parents = static_cast<std::uint32_t>(parent.Hear());
    const auto one = static_cast<std::uint32_t>(parent.Hear());
    const auto two = static_cast<std::uint32_t>(parent.Hear());
    ASSERT_TRUE(IsWord(parents) && IsWord(one) && IsWord(two));
    EXPECT_EQ((std::set{own, parents, one, two}).size(), 4U);
    for (const std::uint32_t word : {parents, one, two}) EXPECT_FALSE(here->IsDead(word));
    const auto kill = [&](std::uint32_t word) {
      ::kill(static_cast<pid_t>(file.shared().slots[word % Owners::kMost].pid.load()), SIGKILL);
      while (!here->IsDead(word)) ::usleep(1000);
    };
    kill(one);
    EXPECT_FALSE(here->IsDead(parents)) << "its child had its open file";
    EXPECT_FALSE(here->IsDead(two));
    kill(parents);
    EXPECT_FALSE(here->IsDead(two));
    kill(two);
  }
}

// What a foreign hand may have written there.
TEST(Owners, AGenerationOfAnyBitsLeadsToAWord) {
  const SlotFile file;
  for (const std::uint32_t bits : {0U, 1U, 0xFF'FFFDU, 0xFF'FFFEU, 0xFF'FFFFU, ~0U}) {
    file.shared().slots[0].generation.store(bits);
    const Attached here(file);
    EXPECT_TRUE(IsWord(here->Word())) << bits;
    EXPECT_FALSE(here->IsDead(here->Word()));
  }
}

}  // namespace
}  // namespace sluicegate::table
