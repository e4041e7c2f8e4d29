#include "table/state_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/write_order.h"
#include "table/bucket.h"
#include "table/open_file.h"
#include "table/state_clock.h"
#include "table/state_contents.h"

namespace sluicegate::table {
namespace {

using Contents = StateContents;
using Entry = StateEntry;

std::string Told(int error) { return std::strerror(error); }

// Only who may write into it at all should be able to.
std::string CheckOwner(const struct stat& about) {
  if (!S_ISREG(about.st_mode)) {
    return "it is no regular file. Name a file, or a path where there is none yet.";
  }
  if ((about.st_mode & S_IWOTH) != 0) {
    return "everybody may write it, and with it every counter. Take that away with chmod o-w.";
  }
  if (about.st_uid != ::geteuid() && about.st_uid != 0) {
    return "it belongs to another user (" + std::to_string(about.st_uid) +
           "). Give it to this one with chown, or name another file.";
  }
  return {};
}

// errno has it.
std::string WhyNotOpened() {
  return "cannot open it: " + Told(errno) + ". Check the path and its permissions.";
}

// No links: where others may write the folder, one could lead anywhere.
int OpenOwn(const std::string& path, int more) {
  return ::open(path.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC | more, 0600);
}

// Of what OpenOwn gave.
std::string CheckOwn(int file) {
  if (file < 0 && errno == ELOOP) {
    return "it is a symbolic link, which could lead anywhere. Name the file itself.";
  }
  if (file < 0) return WhyNotOpened();
  struct stat about{};
  if (::fstat(file, &about) != 0) return "cannot look at it: " + Told(errno) + ".";
  return CheckOwner(about);
}

// Others may change it in between: what looks bad is looked at again. Empty: it is good.
std::string ReadContents(int file, Contents& contents) {
  constexpr unsigned kTries = 20;
  std::string why;
  for (unsigned i = 0; i < kTries; ++i) {
    if (i > 0) Nap(std::chrono::milliseconds(5));
    struct stat about{};
    if (::pread(file, static_cast<void*>(&contents), sizeof(contents), 0) !=
            static_cast<ssize_t>(sizeof(contents)) ||
        ::fstat(file, &about) != 0) {
      return "it is no state file of Sluicegate, or was cut short. Name another one.";
    }
    why = contents.Check(static_cast<std::uint64_t>(about.st_size));
    if (why.empty()) break;
  }
  return why;
}

// All of a file but its holes into an empty one. The error is the system's.
bool Copy(int from, int to) {
  struct stat about{};
  if (::fstat(from, &about) != 0 || ::ftruncate(to, about.st_size) != 0) return false;
  std::vector<char> buffer(std::size_t{1} << 20U);
  for (off_t at = ::lseek(from, 0, SEEK_DATA); at >= 0; at = ::lseek(from, at, SEEK_DATA)) {
    const ssize_t read = ::pread(from, buffer.data(), buffer.size(), at);
    if (read <= 0) return read == 0;
    if (::pwrite(to, buffer.data(), static_cast<std::size_t>(read), at) != read) return false;
    at += read;
  }
  return errno == ENXIO;  // No more data.
}

}  // namespace

// A file, opened and mapped, on its way to a StateFile.
struct StateFile::Opening {
  explicit Opening(int descriptor) noexcept : file(descriptor) {}
  ~Opening() {
    if (contents != nullptr) ::munmap(contents, sizeof(Contents));
  }

  // Each says what is wrong; nothing: it went well.
  [[nodiscard]] std::string OpenLocks();
  [[nodiscard]] std::string MapContents();
  [[nodiscard]] std::string BeginOrCheck(const Machine& machine);
  [[nodiscard]] std::string EnterBoot(const Machine& machine);
  [[nodiscard]] std::size_t CountOthers() const {
    return Owners::Others({.file = locks.get()}).count();
  }

  OpenFile file;
  OpenFile locks{-1};
  Contents* contents = nullptr;
  std::uint64_t bytes = 0;  // Of the file; 0 where it was just made.
  bool of_another_boot = false;
};

std::string StateFile::Opening::OpenLocks() {
  locks.Reset(OpenAgain(file.get()));
  return locks.get() >= 0 ? "" : "cannot open it twice: " + Told(errno) + ".";
}

std::string StateFile::Opening::MapContents() {
  struct stat about{};
  if (::fstat(file.get(), &about) != 0) return "cannot look at it: " + Told(errno) + ".";
  bytes = static_cast<std::uint64_t>(about.st_size);
  if (bytes == 0) {
    const int error = ::posix_fallocate(file.get(), 0, sizeof(Contents));
    if (error != 0) {
      (void)::ftruncate(file.get(), 0);
      return "cannot make it: " + Told(error) + ". Make room on the disk, or name another path.";
    }
  } else if (bytes < sizeof(Contents)) {
    return "it is no state file of Sluicegate, or was cut short. Move it away.";
  }
  void* address =
      ::mmap(nullptr, sizeof(Contents), PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  if (address == MAP_FAILED) return "cannot map it: " + Told(errno) + ".";
  contents = static_cast<Contents*>(address);
  return {};
}

std::string StateFile::Opening::BeginOrCheck(const Machine& machine) {
  // Who made it may have died before it was done.
  const bool fresh =
      bytes == 0 || (bytes == sizeof(Contents) && contents->head.magic == std::array<char, 8>{});
  if (!fresh) return contents->Check(bytes);
  if (const std::size_t others = CountOthers(); others > 0) {
    return "it was emptied while " + std::to_string(others) +
           (others == 1 ? " process is" : " processes are") +
           " attached to it. End all, then start again.";
  }
  contents->Begin(machine);
  return {};
}

std::string StateFile::Opening::EnterBoot(const Machine& machine) {
  StateHead& head = contents->head;
  const bool alone = CountOthers() == 0;
  of_another_boot = head.boot_id != machine.boot_id;
  if (of_another_boot && !alone) {
    return "processes of another machine are attached to it. Name a file of this machine.";
  }
  if (!of_another_boot && head.time_namespace != machine.time_namespace) {
    return "it is of another time namespace, where clocks differ. Run all in one, or name another "
           "file.";
  }
  if (of_another_boot) {
    head.offset_ns = head.OffsetOn(machine);
    head.time_namespace = machine.time_namespace;
    Owners::SkipGenerations(contents->owners);
    KeepWriteOrder();  // Who is killed before it leaves a file that the next one enters anew.
    head.boot_id = machine.boot_id;
  }
  head.Keep({.engine_ns = machine.boottime_ns + static_cast<std::uint64_t>(head.offset_ns),
             .unix_ns = machine.unix_ns});
  return {};
}

std::expected<std::unique_ptr<StateFile>, std::string> StateFile::Open(const std::string& path,
                                                                       const Machine& machine) {
  Opening opening(OpenOwn(path, O_CREAT));
  const std::string why = CheckOwn(opening.file.get());
  if (!why.empty()) return Refused(path, why);
  return Attached(path, opening, machine);
}

std::expected<void, std::string> StateFile::CheckAccess(const std::string& path) {
  const OpenFile file(OpenOwn(path, 0));
  const std::string why = CheckOwn(file.get());
  if (!why.empty()) return Refused(path, why);
  return {};
}

// Locks in the copy are those of dead processes: nobody has its slots.
std::expected<std::unique_ptr<StateFile>, std::string> StateFile::OpenCopy(const std::string& path,
                                                                           const Machine& machine) {
  const OpenFile original(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (original.get() < 0) return Refused(path, WhyNotOpened());
  constexpr unsigned kTries = 3;  // Others may make it longer in between.
  std::expected<std::unique_ptr<StateFile>, std::string> copy;
  for (unsigned i = 0; i < kTries; ++i) {
    Opening opening(::memfd_create("state", MFD_CLOEXEC));
    if (opening.file.get() < 0 || !Copy(original.get(), opening.file.get())) {
      return Refused(path, "cannot copy it into memory: " + Told(errno) +
                               ". Give the process more, or look at it with less of it in use.");
    }
    copy = Attached(path, opening, machine);
    if (copy) break;
  }
  return copy;
}

std::expected<std::unique_ptr<StateFile>, std::string> StateFile::Attached(const std::string& path,
                                                                           Opening& opening,
                                                                           const Machine& machine) {
  if (const std::string why = opening.OpenLocks(); !why.empty()) return Refused(path, why);
  const DirectoryLock lock({.file = opening.locks.get()});
  if (!lock.held()) return Refused(path, kBusy);
  if (const std::string why = opening.MapContents(); !why.empty()) return Refused(path, why);
  for (const auto step : {&Opening::BeginOrCheck, &Opening::EnterBoot}) {
    const std::string why = (opening.*step)(machine);
    if (!why.empty()) return Refused(path, why);
  }
  Contents& contents = *opening.contents;
  auto owners =
      Owners::Create(contents.owners, {.file = opening.file.get(), .locks = opening.locks.get()});
  if (owners == nullptr) return Refused(path, "there is no memory for this process' word in it.");
  if (owners->Word() == 0) return Refused(path, kNoSlot);
  contents.FreeUnneeded(opening.file.get(), *owners,
                        contents.head.engine_ns.load(std::memory_order_relaxed));
  return std::unique_ptr<StateFile>(new StateFile(path, opening, std::move(owners)));
}

StateFile::StateFile(std::string path, Opening& opening, std::unique_ptr<Owners> owners) noexcept
    : path_(std::move(path)),
      file_(opening.file.Release()),
      locks_(opening.locks.Release()),
      contents_(std::exchange(opening.contents, nullptr)),
      owners_(std::move(owners)),
      regions_(path_, file_, *contents_, *owners_),
      of_another_boot_(opening.of_another_boot) {}

StateFile::~StateFile() {
  owners_.reset();  // Before its file closes.
  ::munmap(contents_, sizeof(Contents));
  ::close(file_);
  ::close(locks_);
}

HashSecret StateFile::secret() const noexcept { return contents_->head.secret; }

std::int64_t StateFile::offset_ns() const noexcept { return contents_->head.offset_ns; }

std::unique_ptr<const Clock> StateFile::ClockBy(const Clock& machine) const {
  return MakeStateClock(machine, offset_ns());
}

void StateFile::Keep(Now now) noexcept {
  contents_->head.Keep(now);
  regions_.Keep(now.engine_ns);
}

// What is beyond its end is gone. With zeros there counting begins afresh, for all processes alike.
bool StateFile::GrowBack(std::uint64_t bytes) noexcept {
  const auto from = static_cast<off_t>(bytes);
  const auto to = static_cast<off_t>(regions_.file_bytes());
  if (from >= to) return false;
  was_cut_.store(true, std::memory_order_relaxed);
  // Before it is whole again, so that nobody takes it for a good one.
  constexpr std::uint32_t kCut = 1;
  (void)::pwrite(file_, &kCut, sizeof(kCut), offsetof(StateHead, was_cut));
  // Where there is no room for it, as much as is touched may still find some.
  return ::fallocate(file_, 0, from, to - from) == 0 || ::ftruncate(file_, to) == 0;
}

// Whoever dropped the right to look into the folder since believes it.
bool StateFile::LiesAt(const std::string& path) const noexcept {
  struct stat here{};
  struct stat there{};
  if (::lstat(path.c_str(), &there) != 0) return errno == EACCES;
  return ::fstat(file_, &here) == 0 && here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}

bool StateFile::IsWhole() const noexcept {
  struct stat about{};
  return ::fstat(file_, &about) != 0 ||
         static_cast<std::uint64_t>(about.st_size) >= regions_.file_bytes();
}

StateFile::Condition StateFile::Inspect() noexcept {
  struct stat about{};
  if (::fstat(file_, &about) != 0) return Condition::kWhole;
  (void)GrowBack(static_cast<std::uint64_t>(about.st_size));
  if (!LiesAt(path_)) return Condition::kMoved;
  if (was_cut_.load(std::memory_order_relaxed)) return Condition::kCut;
  regions_.ReadFileBytes();
  return Condition::kWhole;
}

// Another thread, or another process, may have mended it by now, and somebody may cut it again and
// again: so a fault tries again. What faults so often in a file that is long enough has no room on
// the disk.
bool StateFile::Mend(void* address) noexcept {
  constexpr unsigned kTries = 100;
  struct Fault {
    std::uintptr_t page = 0;
    unsigned times = 0;
  };
  static thread_local constinit Fault last;
  struct stat about{};
  if (::fstat(file_, &about) != 0) return false;
  const auto page = reinterpret_cast<std::uintptr_t>(address) / kPage * kPage;
  if (GrowBack(static_cast<std::uint64_t>(about.st_size)) || page != last.page) {
    last = {.page = page, .times = 0};
    return true;
  }
  if (++last.times < kTries) return true;
  if (!was_cut_.load(std::memory_order_relaxed)) return false;
  void* at = reinterpret_cast<void*>(page);  // NOLINT(performance-no-int-to-ptr)
  return ::mmap(at, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                0) == at;
}

std::expected<StateFileReport, std::string> StateFile::Read(const std::string& path,
                                                            const Machine& machine) {
  const OpenFile file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  struct stat about{};
  if (file.get() < 0 || ::fstat(file.get(), &about) != 0) return Refused(path, WhyNotOpened());
  if (!S_ISREG(about.st_mode)) return Refused(path, "it is no regular file. Name a file.");
  const auto contents = std::make_unique<Contents>();
  if (const std::string why = ReadContents(file.get(), *contents); !why.empty()) {
    return Refused(path, why);
  }
  const StateHead& head = contents->head;
  StateFileReport report{.version = head.version,
                         .file_bytes = head.file_bytes,
                         .this_boot = head.boot_id == machine.boot_id,
                         .engine_ns = head.engine_ns.load(std::memory_order_relaxed),
                         .unix_ns = head.unix_ns.load(std::memory_order_relaxed),
                         .regions = {}};
  const std::bitset<Owners::kMost> living = Owners::Others({.file = file.get()});
  report.owners = static_cast<unsigned>(living.count());
  for (const Entry& entry : contents->directory) {
    if (entry.is_free()) continue;
    report.regions.push_back({.name = std::string(entry.Name()),
                              .bytes = entry.bytes,
                              .description = RegionDirectory::ReadDescription(file.get(), entry),
                              .users = contents->CountUsers(entry, living),
                              .superseded = contents->IsSuperseded(entry, living)});
  }
  return report;
}

}  // namespace sluicegate::table
