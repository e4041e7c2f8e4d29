// StateFile: what comes back, what is refused with which words, and who may have what, with real
// files and processes.
#include "table/state_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "table/process_for_test.h"
#include "table/state_file_for_test.h"

namespace sluicegate::table {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Voice = Process::Voice;
namespace fs = std::filesystem;

// A mount of the process' own, which goes with it. False: there is no right to one.
bool MountSmall(const fs::path& folder) {
  return ::unshare(CLONE_NEWNS) == 0 &&
         ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         ::mount("none", folder.c_str(), "tmpfs", 0, "size=256k") == 0;
}

// What a handler mends, as it gets no argument of ours.
StateFile* mended = nullptr;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

// The child that calls it has no handler of SIGBUS of its own, so the library's is put in.
void MendOnFault(StateFile& file) {
  mended = &file;
  struct sigaction action{};
  action.sa_flags = SA_SIGINFO;
  action.sa_sigaction = [](int, siginfo_t* info, void*) {
    if (!mended->Mend(info->si_addr)) ::_exit(3);
  };
  ::sigaction(SIGBUS, &action, nullptr);
}

class StateFileTest : public StateFileFixture {};

TEST_F(StateFileTest, WhatIsWrittenComesBackAndTheSecretStays) {
  HashSecret secret;
  {
    const auto file = Open();
    secret = file->secret();
    const auto region = Attach(*file, "api/rates", 1, 'a');
    EXPECT_EQ(region->size(), kBytes);
    region->data()[kBytes - 1] = std::byte{9};
  }
  const auto file = Open();
  EXPECT_EQ(file->secret().k0, secret.k0);
  EXPECT_EQ(file->secret().k1, secret.k1);
  const auto region = Attach(*file, "api/rates", 1, 'b');
  EXPECT_EQ(MarkOf(*region), 'a');
  EXPECT_EQ(region->data()[kBytes - 1], std::byte{9});
  EXPECT_FALSE(file->is_of_another_boot());
  struct stat about{};
  ASSERT_EQ(::stat(Path().c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777U, 0600U) << "it has the secret";
}

TEST_F(StateFileTest, ProcessesSeeOneAnothersBytes) {
  const auto file = Open();
  const auto region = Attach(*file, "api/rates", 1, 'a');
  Process child([this](Voice voice) {
    const auto mine = StateFile::Open(Path());
    if (!mine) return;
    const auto bytes = Attach(**mine, "api/rates", 1, 'b');
    bytes->data()[1] = std::byte{42};
    voice.Say(static_cast<std::uint64_t>(MarkOf(*bytes)));
  });
  EXPECT_EQ(child.Hear(), static_cast<std::uint64_t>('a'));
  EXPECT_EQ(region->data()[1], std::byte{42});
}

// Another policy's region is filled from what had its name, which goes once nobody may use it.
// Longer after its last use than anything in it lasts, a region goes too; and with it not what it
// took the place of.
TEST_F(StateFileTest, ACopyIsAttachedToByNobodyElse) {
  const auto file = Open();
  const auto region = Attach(*file, "api/rates", 1, 'a');
  const auto copy = StateFile::OpenCopy(Path());
  ASSERT_TRUE(copy.has_value()) << copy.error();
  EXPECT_EQ((*copy)->secret().k0, file->secret().k0);
  const auto seen = Attach(**copy, "api/rates", 1, 'b');
  EXPECT_EQ(MarkOf(*seen), 'a');
  seen->data()[0] = std::byte{'c'};
  EXPECT_EQ(MarkOf(*region), 'a');
  EXPECT_EQ(Report().owners, 1U) << "it is no owner";
  EXPECT_THAT(StateFile::OpenCopy(folder_ / "none").error(), HasSubstr("cannot open it: No such"));
}

TEST_F(StateFileTest, AFileThatIsEmptiedInUseIsRefusedAndWhoIsAttachedGoesOn) {
  const auto file = Open();
  const auto region = Attach(*file, "api/rates", 1, 'a');
  region->data()[5000] = std::byte{9};
  fs::resize_file(Path(), 0);
  EXPECT_THAT(Refusal(), HasSubstr("it was emptied while 1 process is attached to it."));
  EXPECT_EQ(file->Inspect(), StateFile::Condition::kCut);
  EXPECT_EQ(region->data()[5000], std::byte{0});
  EXPECT_EQ(file->owners().Word() % 256, 0U);
  EXPECT_THAT(Refusal(), HasSubstr("it is no state file of Sluicegate"));
}

TEST_F(StateFileTest, AnAccessBeyondTheEndIsMended) {
  Process child([this](Voice voice) {
    const auto file = Open();
    const auto region = Attach(*file, "api/rates", 1, 'a', 64 * kBytes);
    MendOnFault(*file);
    const std::size_t whole = fs::file_size(Path());
    fs::resize_file(Path(), sizeof(StateContents) + 5'000);
    region->data()[60 * kBytes] = std::byte{7};
    bool good = MarkOf(*region) == 'a' && region->data()[60 * kBytes] == std::byte{7} &&
                fs::file_size(Path()) == whole;
    // And again at the same place: still the file's own page, which others see.
    fs::resize_file(Path(), 0);
    region->data()[60 * kBytes] = std::byte{8};
    std::ifstream bytes(Path(), std::ios::binary);
    constexpr std::size_t begin = sizeof(StateContents);
    bytes.seekg(static_cast<std::streamoff>(begin + 60 * kBytes));
    good = good && bytes.get() == 8;
    voice.Say(good ? 1 : 2);
  });
  EXPECT_EQ(child.Hear(), 1U);
  EXPECT_EQ(child.Wait(), 0);
}

// Between its being whole again and anybody's moving it away newcomers would not know.
TEST_F(StateFileTest, AFileThatWasCutInUseIsRefusedForGood) {
  for (const std::uintmax_t left : {std::uintmax_t{4096}, std::uintmax_t{sizeof(StateContents)}}) {
    const auto file = Open();
    (void)Attach(*file, "api/rates", 1, 'a');
    fs::resize_file(Path(), left);
    EXPECT_EQ(file->Inspect(), StateFile::Condition::kCut);
    EXPECT_THAT(Refusal(), HasSubstr("it was cut short while it was in use."));
    const auto more = file->Attach({.name = "web/rates", .description = "1"}, kBytes,
                                   [](const auto&) { return true; });
    ASSERT_FALSE(more.has_value()) << "it would lie over what others have";
    EXPECT_THAT(more.error(), HasSubstr("it was cut short while it was in use."));
    fs::remove(Path());
  }
}

// Who tries another policy and gives up takes nothing from those who go on.
TEST_F(StateFileTest, AFileWithoutANameIsTold) {
  const auto file = Open();
  EXPECT_EQ(file->Inspect(), StateFile::Condition::kWhole);
  fs::remove(Path());
  EXPECT_EQ(file->Inspect(), StateFile::Condition::kMoved);
}

TEST_F(StateFileTest, EngineTimeGoesOnOverBootsAndNeverBack) {
  std::uint64_t last_ns = 0;
  const auto at = [](const StateFile& file, const Machine& machine) {
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(machine.boottime_ns) +
                                      file.offset_ns());
  };
  {
    const Machine machine = MachineOfBoot(1, 500 * kSecond, 1'000'000 * kSecond);
    const auto file = Open(machine);
    last_ns = at(*file, machine) + 100 * kSecond;
    file->Keep({.engine_ns = last_ns, .unix_ns = 1'000'100 * kSecond});
    file->Keep({.engine_ns = last_ns - 5, .unix_ns = 7});  // A loop that lags.
  }
  // An hour later, after a boot.
  {
    const Machine machine = MachineOfBoot(2, 30 * kSecond, 1'003'700 * kSecond);
    const auto file = Open(machine);
    EXPECT_TRUE(file->is_of_another_boot());
    EXPECT_EQ(at(*file, machine), last_ns + 3600 * kSecond);
    last_ns = at(*file, machine);
    file->Keep({.engine_ns = last_ns, .unix_ns = machine.unix_ns});
  }
  // Wall time was set back by years meanwhile.
  const Machine machine = MachineOfBoot(3, 10 * kSecond, 5 * kSecond);
  const auto file = Open(machine);
  EXPECT_EQ(at(*file, machine), last_ns);
}

// A lock of the last process was written out, and its generation was not.
TEST_F(StateFileTest, AfterAPowerFailureNobodyHasAWordOfBefore) {
  const std::uint32_t before = Open(MachineOfBoot(1, kSecond, 0))->owners().Word();
  Write(StateContents::kOwnersAt, std::string(4, '\0'));
  EXPECT_EQ(Open(MachineOfBoot(1, kSecond, 0))->owners().Word(), before) << "of the same boot";
  Write(StateContents::kOwnersAt, std::string(4, '\0'));
  const auto file = Open(MachineOfBoot(2, kSecond, 0));
  EXPECT_NE(file->owners().Word(), before);
  EXPECT_TRUE(file->owners().IsDead(before));
}

TEST_F(StateFileTest, WhatIsNoStateFileIsRefusedAndLeftAsItIs) {
  std::ofstream(Path()) << "a letter to a friend";
  EXPECT_THAT(Refusal(), HasSubstr("it is no state file of Sluicegate, or was cut short."));
  EXPECT_EQ(fs::file_size(Path()), 20U);
  std::ofstream(Path()) << std::string(1 << 20, 'x');
  EXPECT_THAT(Refusal(), HasSubstr("it is no state file of Sluicegate. Name another file"));
  EXPECT_THAT(StateFile::Read(Path()).error(), HasSubstr("it is no state file of Sluicegate"));
  fs::remove(Path());
  fs::create_directory(Path());
  EXPECT_THAT(Refusal(), HasSubstr("cannot open it: Is a directory."));
  fs::remove(Path());
  ASSERT_EQ(::mkfifo(Path().c_str(), 0600), 0);
  EXPECT_THAT(Refusal(), HasSubstr("it is no regular file."));
}

TEST_F(StateFileTest, AnotherVersionIsRefused) {
  (void)Open();
  Write(8, std::string("\x01\0\0\0", 4));
  EXPECT_THAT(Refusal(),
              HasSubstr("it is of version 1, and this program reads and writes version 2."));
}

TEST_F(StateFileTest, AFileThatWasCutShortIsRefused) {
  (void)Attach(*Open(), "api/rates", 1, 'a');
  fs::resize_file(Path(), fs::file_size(Path()) - 4096);
  EXPECT_THAT(Refusal(), HasSubstr("it was cut short: it should have"));
}

TEST_F(StateFileTest, ADamagedDirectoryIsRefused) {
  (void)Attach(*Open(), "api/rates", 1, 'a');
  constexpr std::size_t kEntry = offsetof(StateContents, directory);
  Write(kEntry, std::string("\0\0\0\0\0\0\1\0", 8));
  EXPECT_THAT(Refusal(), HasSubstr("it is damaged (a region beyond its end)."));
  Write(kEntry, std::string(8, '\0'));
  EXPECT_THAT(Refusal(), HasSubstr("it is damaged (regions that overlap)."));
  Write(kEntry + 44, "\xFF\xFF\xFF\xFF");
  EXPECT_THAT(Refusal(), HasSubstr("it is damaged (a description's size)."));
}

TEST_F(StateFileTest, WhatOthersMayWriteIsRefused) {
  (void)Open();
  fs::permissions(Path(), fs::perms(0666));
  EXPECT_THAT(Refusal(), HasSubstr("everybody may write it"));
  fs::permissions(Path(), fs::perms(0600));
  EXPECT_THAT(Refusal(), IsEmpty());
  fs::rename(Path(), folder_ / "there");
  fs::create_symlink(folder_ / "there", Path());
  EXPECT_THAT(Refusal(), HasSubstr("it is a symbolic link, which could lead anywhere."));
  EXPECT_EQ(StateFile::CheckAccess(Path()).error(), Refusal());
  EXPECT_TRUE(StateFile::CheckAccess(folder_ / "there").has_value());
}

TEST_F(StateFileTest, AnotherTimeNamespaceIsRefused) {
  Machine machine = MachineOfBoot(1, kSecond, 0);
  (void)Open(machine);
  machine.time_namespace = 8;
  EXPECT_THAT(Refusal(machine), HasSubstr("it is of another time namespace"));
  machine.boot_id[0] = std::byte{2};
  EXPECT_THAT(Refusal(machine), IsEmpty()) << "namespaces are numbered anew after a boot";
}

TEST_F(StateFileTest, AnotherMachinesFileIsRefusedWhileItIsInUse) {
  const auto file = Open(MachineOfBoot(1, kSecond, 0));
  EXPECT_THAT(Refusal(MachineOfBoot(2, kSecond, 0)),
              HasSubstr("processes of another machine are attached to it"));
}

TEST_F(StateFileTest, AFullDiskIsToldWithTheMendAndNothingIsLost) {
  Process child([this](Voice voice) {
    if (!MountSmall(folder_.path())) return;
    const auto file = Open();
    const auto region = Attach(*file, "api/rates", 1, 'a');
    const auto more = file->Attach({.name = "api/bans", .description = "1", .lasts_ns = kHour},
                                   1 << 20, [](const auto&) { return true; });
    const bool told = !more && more.error().find(
                                   "there is no room for 1048576 bytes: No space left "
                                   "on device. Make room on the disk") != std::string::npos;
    const bool kept = MarkOf(*Attach(*Open(), "api/rates", 1, 'b')) == 'a';
    std::ofstream(folder_ / "filler") << std::string(1 << 20, 'x');
    fs::rename(Path(), folder_ / "other");
    const bool refused =
        Refusal().find("cannot make it: No space left on device.") != std::string::npos;
    voice.Say(1 + (told ? 1U : 0U) + (kept ? 2U : 0U) + (refused ? 4U : 0U));
  });
  const std::uint64_t word = child.Hear();
  if (word == 0) GTEST_SKIP() << "no right to mount a small file system";
  EXPECT_EQ(word, 8U);
}

// The pages that are touched then are the process' own.
TEST_F(StateFileTest, AnAccessBeyondTheEndIsMendedThoughTheDiskIsFull) {
  Process child([this](Voice voice) {
    if (!MountSmall(folder_.path())) return;
    ::alarm(60);  // If it should go round and round.
    const auto file = Open();
    const auto region = Attach(*file, "api/rates", 1, 'a', 8 * kBytes);
    MendOnFault(*file);
    fs::resize_file(Path(), sizeof(StateContents) + 4'096);
    std::ofstream(folder_ / "filler") << std::string(1 << 20, 'x');
    for (const std::size_t at : {2 * kBytes, 5 * kBytes, 2 * kBytes + 1}) {
      region->data()[at] = std::byte{7};
    }
    const bool good = MarkOf(*region) == 'a' && region->data()[2 * kBytes] == std::byte{7} &&
                      region->data()[2 * kBytes + 1] == std::byte{7} &&
                      region->data()[5 * kBytes] == std::byte{7} &&
                      region->data()[7 * kBytes] == std::byte{0};
    voice.Say(good && file->Inspect() == StateFile::Condition::kCut ? 1 : 2);
  });
  const std::uint64_t word = child.Hear();
  if (word == 0 && child.Wait() == 0) GTEST_SKIP() << "no right to mount a small file system";
  EXPECT_EQ(word, 1U);
}

TEST_F(StateFileTest, AnotherUserIsToldWhatIsMissing) {
  (void)Open();
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  ASSERT_EQ(::chmod(folder_.path().c_str(), 0755), 0);
  Process child([this](Voice voice) {
    if (::setgid(65534) != 0 || ::setuid(65534) != 0) return;
    voice.Say(Refusal().find("cannot open it: Permission denied. Check the path and its "
                             "permissions.") != std::string::npos
                  ? 1
                  : 2);
  });
  EXPECT_EQ(child.Hear(), 1U);
  // And root does not trust a file of theirs.
  ASSERT_EQ(::chown(Path().c_str(), 65534, 65534), 0);
  EXPECT_THAT(Refusal(), HasSubstr("it belongs to another user (65534)."));
}

// The kernel takes its lock off a maker that dies at any moment.
TEST(MachineTest, ThisOneHasABootAndTime) {
  const Machine machine = Machine::Here();
  EXPECT_NE(machine.boot_id, Machine{}.boot_id);
  EXPECT_EQ(machine.boot_id, Machine::Here().boot_id);
  EXPECT_GT(machine.boottime_ns, 0U);
  EXPECT_GT(machine.unix_ns, 1'700'000'000 * static_cast<std::int64_t>(kSecond));
}

}  // namespace
}  // namespace sluicegate::table
