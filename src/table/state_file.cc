#include "table/state_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "table/open_file.h"

namespace sluicegate::table {
namespace {

constexpr std::array<char, 8> kMagic = {'s', 'l', 'u', 'i', 'c', 'e', 'g', 't'};
// Where the system gives such to files, a large region has them from its beginning on.
constexpr std::uint64_t kHugePage = std::uint64_t{2} << 20U;
constexpr std::size_t kNameBytes = 48;
constexpr std::size_t kOwnersAt = 1024;

std::uint64_t RoundUp(std::uint64_t bytes, std::uint64_t unit = kPage) {
  return (bytes + unit - 1) / unit * unit;
}

}  // namespace

// What is in the file, in the machine's own byte order, which is little endian.
struct StateFile::Entry {
  std::array<std::uint64_t, 2> identity;
  std::uint64_t offset;  // A whole number of pages.
  std::uint64_t bytes;   // As asked for; the region ends with its last page. 0: the entry is free.
  std::uint64_t serial;  // Later regions have higher ones.
  std::atomic<std::uint32_t> prepared;  // 1: its bytes are what they should be.
  std::uint32_t unused;
  std::array<char, kNameBytes> name;  // Filled up with zeros.

  [[nodiscard]] std::string_view Name() const noexcept {
    return {name.data(), ::strnlen(name.data(), name.size())};
  }
  [[nodiscard]] std::uint64_t end() const noexcept { return offset + RoundUp(bytes); }
  [[nodiscard]] bool is_prepared() const noexcept {
    return prepared.load(std::memory_order_acquire) == 1;
  }
};

namespace {

struct Head {
  std::array<char, 8> magic;  // Written last: before that there is no file yet.
  std::uint32_t version;
  std::uint32_t directory_entries;
  std::uint64_t file_bytes;
  HashSecret secret;
  std::array<std::byte, 16> boot_id;
  std::uint64_t time_namespace;
  std::int64_t offset_ns;                // Engine time is boot time and this.
  std::atomic<std::uint64_t> engine_ns;  // The latest that was kept, and wall time then.
  std::atomic<std::int64_t> unix_ns;
};
static_assert(sizeof(Head) == 88);

std::string Told(int error) { return std::strerror(error); }

std::unexpected<std::string> Refused(const std::string& path, std::string_view why) {
  return std::unexpected("state file " + path + ": " + std::string(why));
}

constexpr std::string_view kBusy =
    "another process has locked it for 10 seconds. End the one that is stopped, or let it go on.";

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

}  // namespace

struct StateFile::Contents {
  Head head;
  std::array<std::byte, kOwnersAt - sizeof(Head)> unused_head;
  Owners::Shared owners;
  std::array<std::byte, kPage - kOwnersAt - sizeof(Owners::Shared)> unused_owners;
  std::array<Entry, kMostRegions> directory;
  static_assert(sizeof(Entry) == 96);

  // What is wrong with it, in a file of so many bytes; nothing: it can be used.
  [[nodiscard]] std::string Check(std::uint64_t file_bytes) const;
  enum class Which : std::uint8_t { kAny, kPrepared };
  // The latest region of that name.
  [[nodiscard]] Entry* FindLatest(std::string_view name, Which which) noexcept;
  [[nodiscard]] Entry* FindFree() noexcept;
  [[nodiscard]] std::uint64_t LastSerial() const noexcept;
  [[nodiscard]] bool IsSuperseded(const Entry& entry) const noexcept;
  // What lies where, in order: this, and the regions.
  struct Range {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
  };
  [[nodiscard]] std::vector<Range> Taken() const;
  // Where so many bytes are free, as far ahead as they are.
  [[nodiscard]] std::uint64_t FindRoom(std::uint64_t bytes) const;
  // Frees what another policy had, if nobody is there who may still use it.
  void ForgetSuperseded(int file) noexcept;
};

namespace {

std::string_view Cut(std::string_view name) { return name.substr(0, kNameBytes - 1); }

// Engine time goes on where it was kept last, by as much as wall time says has passed since. A wall
// clock that was set back meanwhile says nothing.
std::int64_t OffsetAfterBoot(const Head& head, const Machine& machine) {
  const std::uint64_t last_ns = head.engine_ns.load(std::memory_order_relaxed);
  const std::int64_t left_ns = head.unix_ns.load(std::memory_order_relaxed);
  const std::uint64_t away_ns =
      machine.unix_ns <= left_ns
          ? 0
          : static_cast<std::uint64_t>(machine.unix_ns) - static_cast<std::uint64_t>(left_ns);
  return static_cast<std::int64_t>(last_ns + away_ns - machine.boottime_ns);
}

}  // namespace

std::string StateFile::Contents::Check(std::uint64_t file_bytes) const {
  const auto not_ours = [](std::string_view what) {
    return "it is " + std::string(what) + ". Name another file, or move this one away.";
  };
  if (head.magic != kMagic) return not_ours("no state file of Sluicegate");
  if (head.version != kVersion) {
    return "it is of version " + std::to_string(head.version) + ", and this program reads and " +
           "writes version " + std::to_string(kVersion) +
           ". Run the program that made it, or name another file; its counters cannot be taken "
           "over.";
  }
  if (head.directory_entries != kMostRegions) return not_ours("damaged (its directory's size)");
  if (file_bytes < head.file_bytes) {
    return "it was cut short: it should have " + std::to_string(head.file_bytes) +
           " bytes and has " + std::to_string(file_bytes) +
           ". Move it away; counting begins afresh.";
  }
  for (const Entry& entry : directory) {
    if (entry.bytes == 0) continue;
    const bool fits = entry.offset % kPage == 0 && entry.offset <= head.file_bytes &&
                      entry.bytes <= head.file_bytes - entry.offset &&
                      RoundUp(entry.bytes) <= head.file_bytes - entry.offset;
    if (!fits) return not_ours("damaged (a region beyond its end)");
  }
  const std::vector<Range> taken = Taken();
  for (std::size_t i = 1; i < taken.size(); ++i) {
    if (taken[i].begin < taken[i - 1].end) return not_ours("damaged (regions that overlap)");
  }
  return {};
}

std::vector<StateFile::Contents::Range> StateFile::Contents::Taken() const {
  std::vector<Range> taken = {{.begin = 0, .end = sizeof(Contents)}};
  for (const Entry& entry : directory) {
    if (entry.bytes > 0) taken.push_back({.begin = entry.offset, .end = entry.end()});
  }
  std::ranges::sort(taken, {}, &Range::begin);
  return taken;
}

StateFile::Entry* StateFile::Contents::FindLatest(std::string_view name, Which which) noexcept {
  Entry* latest = nullptr;
  for (Entry& entry : directory) {
    if (entry.bytes == 0 || entry.Name() != Cut(name)) continue;
    if (which == Which::kPrepared && !entry.is_prepared()) continue;
    if (latest == nullptr || entry.serial > latest->serial) latest = &entry;
  }
  return latest;
}

StateFile::Entry* StateFile::Contents::FindFree() noexcept {
  const auto found =
      std::ranges::find_if(directory, [](const Entry& entry) { return entry.bytes == 0; });
  return found == directory.end() ? nullptr : &*found;
}

std::uint64_t StateFile::Contents::LastSerial() const noexcept {
  std::uint64_t last = 0;
  for (const Entry& entry : directory) last = std::max(last, entry.bytes > 0 ? entry.serial : 0);
  return last;
}

bool StateFile::Contents::IsSuperseded(const Entry& entry) const noexcept {
  return !entry.is_prepared() || std::ranges::any_of(directory, [&](const Entry& other) {
    return other.bytes > 0 && other.serial > entry.serial && other.Name() == entry.Name() &&
           other.is_prepared();
  });
}

std::uint64_t StateFile::Contents::FindRoom(std::uint64_t bytes) const {
  const std::uint64_t unit = bytes >= kHugePage ? kHugePage : kPage;
  std::uint64_t at = 0;
  for (const Range& range : Taken()) {
    if (range.begin >= at && range.begin - at >= RoundUp(bytes)) break;
    at = std::max(at, RoundUp(range.end, unit));
  }
  return at;
}

// A child that has not asked for its word since its fork may have them mapped. So the epoch goes up
// first, which such a child notices, and then nobody may be there.
void StateFile::Contents::ForgetSuperseded(int file) noexcept {
  const auto goes = [this](const Entry& entry) { return entry.bytes > 0 && IsSuperseded(entry); };
  if (std::ranges::none_of(directory, goes) || Owners::CountOthers(file) > 0) return;
  owners.epoch.fetch_add(1, std::memory_order_seq_cst);
  if (Owners::CountOthers(file) > 0) return;
  for (Entry& entry : directory) {
    if (!goes(entry)) continue;
    (void)::fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                      static_cast<off_t>(entry.offset), static_cast<off_t>(RoundUp(entry.bytes)));
    entry.bytes = 0;
  }
}

// A file, opened and mapped, on its way to a StateFile.
struct StateFile::Opening {
  explicit Opening(int descriptor) noexcept : file(descriptor) {}
  ~Opening() {
    if (contents != nullptr) ::munmap(contents, sizeof(Contents));
  }

  // Each says what is wrong; nothing: it went well.
  [[nodiscard]] std::string MapContents();
  [[nodiscard]] std::string BeginOrCheck(const Machine& machine);
  [[nodiscard]] std::string EnterBoot(const Machine& machine);

  OpenFile file;
  Contents* contents = nullptr;
  std::uint64_t bytes = 0;  // Of the file; 0 where it was just made.
  bool of_another_boot = false;
};

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
  Head& head = contents->head;
  head.version = kVersion;
  head.directory_entries = kMostRegions;
  head.file_bytes = sizeof(Contents);
  head.secret = HashSecret::Random();
  head.boot_id = machine.boot_id;
  head.time_namespace = machine.time_namespace;
  head.engine_ns.store(machine.boottime_ns, std::memory_order_relaxed);
  head.unix_ns.store(machine.unix_ns, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  head.magic = kMagic;
  return {};
}

std::string StateFile::Opening::EnterBoot(const Machine& machine) {
  Head& head = contents->head;
  const bool alone = Owners::CountOthers(file.get()) == 0;
  of_another_boot = head.boot_id != machine.boot_id;
  if (of_another_boot && !alone) {
    return "processes of another machine are attached to it. Name a file of this machine.";
  }
  if (!of_another_boot && head.time_namespace != machine.time_namespace) {
    return "it is of another time namespace, where clocks differ. Run all in one, or name another "
           "file.";
  }
  if (of_another_boot) {
    head.offset_ns = OffsetAfterBoot(head, machine);
    head.boot_id = machine.boot_id;
    head.time_namespace = machine.time_namespace;
  }
  return {};
}

std::expected<std::unique_ptr<StateFile>, std::string> StateFile::Open(const std::string& path,
                                                                       const Machine& machine) {
  // No links: where others may write the folder, one could lead anywhere.
  Opening opening(::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  const int file = opening.file.get();
  if (file < 0) {
    return Refused(path,
                   "cannot open it: " + Told(errno) + ". Check the path and its permissions.");
  }
  struct stat about{};
  if (::fstat(file, &about) != 0) return Refused(path, "cannot look at it: " + Told(errno) + ".");
  if (const std::string why = CheckOwner(about); !why.empty()) return Refused(path, why);
  const DirectoryLock lock(file);
  if (!lock.held()) return Refused(path, kBusy);
  if (const std::string why = opening.MapContents(); !why.empty()) return Refused(path, why);
  for (const auto step : {&Opening::BeginOrCheck, &Opening::EnterBoot}) {
    const std::string why = (opening.*step)(machine);
    if (!why.empty()) return Refused(path, why);
  }
  opening.contents->ForgetSuperseded(file);
  auto owners = Owners::Create(opening.contents->owners, file);
  if (owners == nullptr) return Refused(path, "there is no memory for this process' word in it.");
  if (owners->Word() == 0) {
    return Refused(path, "256 processes are attached to it, which is the most. End some of them.");
  }
  return std::unique_ptr<StateFile>(new StateFile(path, opening, std::move(owners)));
}

StateFile::StateFile(std::string path, Opening& opening, std::unique_ptr<Owners> owners) noexcept
    : path_(std::move(path)),
      file_(opening.file.Release()),
      contents_(std::exchange(opening.contents, nullptr)),
      owners_(std::move(owners)),
      of_another_boot_(opening.of_another_boot) {}

StateFile::~StateFile() {
  owners_.reset();  // Before its file closes.
  ::munmap(contents_, sizeof(Contents));
  ::close(file_);
}

HashSecret StateFile::secret() const noexcept { return contents_->head.secret; }

std::int64_t StateFile::offset_ns() const noexcept { return contents_->head.offset_ns; }

// Wall time belongs to the engine time that it was read with; between the two stores another
// process may put its own, which is as good.
void StateFile::Keep(Now now) noexcept {
  Head& head = contents_->head;
  if (head.engine_ns.load(std::memory_order_relaxed) >= now.engine_ns) return;
  head.unix_ns.store(now.unix_ns, std::memory_order_relaxed);
  head.engine_ns.store(now.engine_ns, std::memory_order_release);
}

// A region that is not prepared has a dead maker, or one that failed: who lives holds the lock
// until it is.
std::expected<std::shared_ptr<Mapping>, std::string> StateFile::Attach(const RegionKey& key,
                                                                       std::size_t bytes,
                                                                       const Prepare& prepare) {
  const std::lock_guard threads(mutex_);
  const DirectoryLock lock(file_);
  if (!lock.held()) return Refused(path_, kBusy);
  const auto fits = [&](const Entry* entry) {
    return entry != nullptr && entry->identity == key.identity && entry->bytes == bytes;
  };
  const auto map =
      [this](const Entry& entry) -> std::expected<std::shared_ptr<Mapping>, std::string> {
    auto mapping = Mapping::OfFile(file_, entry.offset, entry.bytes);
    if (!mapping) return Refused(path_, mapping.error());
    return std::shared_ptr<Mapping>(std::move(*mapping));
  };
  // What a maker of another one left unfinished does not count.
  const Entry* before = contents_->FindLatest(key.name, Contents::Which::kPrepared);
  if (fits(before)) return map(*before);
  Entry* entry = contents_->FindLatest(key.name, Contents::Which::kAny);
  if (!fits(entry)) {
    auto made = MakeEntry(key, bytes);
    if (!made) return Refused(path_, made.error());
    entry = *made;
  }
  const auto region = map(*entry);
  if (!region) return region;
  Fresh fresh{.region = *region,
              .before = nullptr,
              .id = static_cast<std::uint32_t>(entry->serial) | 1U << 31U};
  std::memset(fresh.region->data(), 0, bytes);
  if (before != nullptr) {
    auto old = map(*before);
    if (!old) return old;
    fresh.before = std::move(*old);
  }
  prepare(fresh);
  // What the entry says of it is not on the disk before the first page, which says what it is.
  (void)::msync(fresh.region->data(), std::min<std::size_t>(bytes, kPage), MS_SYNC);
  entry->prepared.store(1, std::memory_order_release);
  return region;
}

// The size of the file is known before the entry that needs it, and the entry is whole before it
// counts.
std::expected<StateFile::Entry*, std::string> StateFile::MakeEntry(const RegionKey& key,
                                                                   std::size_t bytes) {
  Entry* entry = contents_->FindFree();
  if (entry == nullptr) {
    return std::unexpected(
        "its directory is full. End all its processes once: what no policy needs any more goes "
        "then.");
  }
  const std::uint64_t offset = contents_->FindRoom(bytes);
  const std::uint64_t end = offset + RoundUp(bytes);
  const int error =
      ::posix_fallocate(file_, static_cast<off_t>(offset), static_cast<off_t>(RoundUp(bytes)));
  if (error != 0) {
    return std::unexpected("there is no room for " + std::to_string(bytes) + " bytes: " +
                           Told(error) + ". Make room on the disk, or lower state.memory.");
  }
  contents_->head.file_bytes = std::max(contents_->head.file_bytes, end);
  entry->identity = key.identity;
  entry->offset = offset;
  entry->serial = contents_->LastSerial() + 1;
  entry->prepared.store(0, std::memory_order_relaxed);
  entry->name = {};
  std::ranges::copy(Cut(key.name), entry->name.begin());
  std::atomic_thread_fence(std::memory_order_release);
  entry->bytes = bytes;
  return entry;
}

std::expected<StateFileReport, std::string> StateFile::Read(const std::string& path,
                                                            const Machine& machine) {
  const OpenFile file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  struct stat about{};
  if (file.get() < 0 || ::fstat(file.get(), &about) != 0) {
    return Refused(path,
                   "cannot open it: " + Told(errno) + ". Check the path and its permissions.");
  }
  if (!S_ISREG(about.st_mode)) return Refused(path, "it is no regular file. Name a file.");
  const auto contents = std::make_unique<Contents>();
  if (::pread(file.get(), static_cast<void*>(contents.get()), sizeof(Contents), 0) !=
      static_cast<ssize_t>(sizeof(Contents))) {
    return Refused(path, "it is no state file of Sluicegate, or was cut short. Name another one.");
  }
  if (const std::string why = contents->Check(static_cast<std::uint64_t>(about.st_size));
      !why.empty()) {
    return Refused(path, why);
  }
  const Head& head = contents->head;
  StateFileReport report{.version = head.version,
                         .file_bytes = head.file_bytes,
                         .this_boot = head.boot_id == machine.boot_id,
                         .engine_ns = head.engine_ns.load(std::memory_order_relaxed),
                         .unix_ns = head.unix_ns.load(std::memory_order_relaxed),
                         .regions = {}};
  report.owners = Owners::CountOthers(file.get());
  for (const Entry& entry : contents->directory) {
    if (entry.bytes == 0) continue;
    report.regions.push_back({.name = std::string(entry.Name()),
                              .bytes = entry.bytes,
                              .superseded = contents->IsSuperseded(entry)});
  }
  return report;
}

}  // namespace sluicegate::table
