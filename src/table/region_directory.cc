#include "table/region_directory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "table/bucket.h"
#include "table/open_file.h"

namespace sluicegate::table {
namespace {

// How long one waits for a region that another one makes: a large one takes seconds.
constexpr std::chrono::milliseconds kNap{1};
std::uint64_t MostNaps(std::size_t bytes) { return 10'000 + bytes / 100'000; }

std::string Told(int error) { return std::strerror(error); }

std::string NoRoom(std::uint64_t bytes, int error) {
  return "there is no room for " + std::to_string(bytes) + " bytes: " + Told(error) +
         ". Make room on the disk, or lower state.memory.";
}

bool Write(int file, std::string_view text, std::uint64_t at) {
  return ::pwrite(file, text.data(), text.size(), static_cast<off_t>(at)) ==
         static_cast<ssize_t>(text.size());
}

}  // namespace

RegionDirectory::Attached RegionDirectory::Attach(const RegionKey& key, std::size_t bytes,
                                                  const Prepare& prepare) {
  for (std::uint64_t naps = 0; naps < MostNaps(bytes); ++naps) {
    auto begun = Begin(key, bytes);
    if (!begun) return std::unexpected(std::move(begun.error()));
    if (begun->there) return Map(std::move(begun->region));
    if (begun->region.entry != nullptr) return Make(std::move(*begun), prepare);
    Nap(kNap);
  }
  return Refused(path_,
                 "another process has been making a part of it for too long. End the one that is "
                 "stopped, or let it go on.");
}

// What fits and others use comes first: processes of one policy count together, whatever those of
// another one do. (This one may hold what it used under a policy before, for a moment.)
std::expected<RegionDirectory::Begun, std::string> RegionDirectory::Begin(const RegionKey& key,
                                                                          std::size_t bytes) {
  const std::lock_guard threads(owners_.threads());
  const DirectoryLock lock(owners_.lock_file());
  if (!lock.held()) return Refused(path_, kBusy);
  if (const std::string why = CheckWhole(); !why.empty()) return Refused(path_, why);
  ReadFileBytes();
  const std::uint32_t word = owners_.Word();
  if (word == 0) return Refused(path_, kNoSlot);
  const StateContents::Living others = Owners::Others(owners_.lock_file());
  const StateContents::Living living = owners_.WithOwn(others);
  const std::size_t of_used = key.of_any_size ? 0 : bytes;
  StateEntry* before = FindFitting(key, of_used, &others);
  const bool there = before != nullptr;
  if (!there) before = contents_.FindLatest(key.name, living);
  const auto fits = [&](const StateEntry& entry) {
    return Fits(entry, key, contents_.IsUsed(entry, living) ? of_used : bytes);
  };
  Begun begun;
  if (there || (before != nullptr && fits(*before))) {
    before->lasts_ns = std::max(before->lasts_ns, key.lasts_ns);
    before->Use(Now());
    begun.there = true;
    begun.region = Use(*before);
    return begun;
  }
  StateEntry* entry = FindFitting(key, of_used, nullptr);
  if (entry != nullptr) {
    const std::uint32_t maker = entry->prepared.load(std::memory_order_acquire);
    if (maker != 0 && !owners_.IsDead(maker)) return begun;
    if (entry->bytes != bytes) entry = FindFitting(key, bytes, nullptr);
  }
  if (before != nullptr) begun.before = Use(*before);  // It must not go now.
  if (entry == nullptr) {
    contents_.FreeUnneeded(file_, owners_, Now());
    auto reserved = Reserve(key, bytes);
    if (!reserved) return Refused(path_, reserved.error());
    entry = *reserved;
  }
  entry->prepared.store(word, std::memory_order_release);
  begun.region = Use(*entry);
  return begun;
}

// What could not be made goes, with the room that it has got.
RegionDirectory::Attached RegionDirectory::Make(Begun begun, const Prepare& prepare) {
  StateEntry& entry = *begun.region.entry;
  Used kept = Use(entry);
  const std::uint64_t used_ns = begun.before.entry == nullptr
                                    ? 0
                                    : begun.before.entry->used_ns.load(std::memory_order_relaxed);
  auto made = Fill(std::move(begun), prepare);
  if (made) made = Finish(entry, used_ns, std::move(*made));
  if (made) return made;
  entry.prepared.store(0, std::memory_order_release);
  kept.hold.Reset();
  Tidy();
  return made;
}

// Without the directory's lock.
RegionDirectory::Attached RegionDirectory::Fill(Begun begun, const Prepare& prepare) {
  StateEntry& entry = *begun.region.entry;
  const std::uint64_t whole = entry.bytes + entry.description_bytes;
  const int error = ::posix_fallocate(file_, static_cast<off_t>(entry.offset),
                                      static_cast<off_t>(RoundUp(whole)));
  if (error != 0) return Refused(path_, NoRoom(entry.bytes, error));
  Fresh fresh{.region = nullptr,
              .before = nullptr,
              .described = {},
              .id = static_cast<std::uint32_t>(entry.serial) | 1U << 31U};
  StateEntry* const before = begun.before.entry;
  if (before != nullptr) {
    auto old = Map(std::move(begun.before));
    if (!old) return old;
    fresh.before = std::move(*old);
    fresh.described = ReadDescription(file_, *before);
  }
  auto region = Map(std::move(begun.region));
  if (!region) return region;
  fresh.region = *region;
  std::memset(fresh.region->data(), 0, fresh.region->size());
  if (!prepare(fresh)) {
    return Refused(path_,
                   "a process that is stopped holds a part of what is to be taken over. Let it go "
                   "on, or end it, then try again.");
  }
  // What the entry says of it is not on the disk before the first page, which says what it is.
  (void)::msync(fresh.region->data(), std::min<std::size_t>(fresh.region->size(), kPage), MS_SYNC);
  return region;
}

// From now on it counts, unless somebody goes on with what was there, which was used then.
RegionDirectory::Attached RegionDirectory::Finish(StateEntry& entry, std::uint64_t before_ns,
                                                  std::shared_ptr<Mapping> region) {
  const std::lock_guard threads(owners_.threads());
  const DirectoryLock lock(owners_.lock_file());
  if (!lock.held()) return Refused(path_, kBusy);
  entry.Use(before_ns > 0 ? limit::AddSaturating(before_ns, 1) : Now());
  entry.prepared.store(StateEntry::kPrepared, std::memory_order_release);
  return region;
}

std::expected<std::vector<RegionDirectory::Region>, std::string> RegionDirectory::MapAll() {
  const std::lock_guard threads(owners_.threads());
  const DirectoryLock lock(owners_.lock_file());
  if (!lock.held()) return Refused(path_, kBusy);
  const StateContents::Living living = owners_.Living();
  std::vector<Region> regions;
  for (StateEntry& entry : contents_.directory) {
    if (entry.is_free() || contents_.IsSuperseded(entry, living)) continue;
    auto bytes = Map(Use(entry));
    if (!bytes) return std::unexpected(std::move(bytes.error()));
    regions.push_back({.name = std::string(entry.Name()),
                       .description = ReadDescription(file_, entry),
                       .bytes = std::move(*bytes)});
  }
  return regions;
}

void RegionDirectory::Keep(std::uint64_t engine_ns) noexcept {
  owners_.Renew();
  const auto used = owners_.UsedParts();
  for (unsigned part = 0; part < used.size(); ++part) {
    if (!used[part]) continue;
    StateEntry& entry = contents_.directory[part];
    entry.Use(engine_ns);
    std::uint32_t prepared = StateEntry::kPrepared;
    (void)entry.prepared.compare_exchange_strong(prepared, StateEntry::kKept,
                                                 std::memory_order_relaxed);
  }
}

void RegionDirectory::Tidy() noexcept {
  const std::unique_lock threads(owners_.threads(), std::try_to_lock);
  if (!threads.owns_lock() || owners_.Word() == 0) return;
  const DirectoryLock lock(owners_.lock_file(), DirectoryLock::Patience::kNone);
  if (lock.held() && CheckWhole().empty()) contents_.FreeUnneeded(file_, owners_, Now());
}

// It may have been cut short, and then what lies where nobody knows any more.
std::string RegionDirectory::CheckWhole() const {
  struct stat about{};
  if (::fstat(file_, &about) != 0) return "cannot look at it: " + Told(errno) + ".";
  return contents_.Check(static_cast<std::uint64_t>(about.st_size));
}

RegionDirectory::Used RegionDirectory::Use(StateEntry& entry) {
  return {.entry = &entry, .hold = owners_.Use(contents_.PartOf(entry))};
}

// It is used until its last owner has let go of it.
RegionDirectory::Attached RegionDirectory::Map(Used used) const {
  auto mapping = Mapping::OfFile(file_, used.entry->offset, used.entry->bytes);
  if (!mapping) return Refused(path_, mapping.error());
  struct Held {
    Owners::Hold hold;
    std::unique_ptr<Mapping> mapping;  // Goes first.
  };
  auto held = std::make_shared<Held>(std::move(used.hold), std::move(*mapping));
  Mapping* const bytes = held->mapping.get();
  return std::shared_ptr<Mapping>(std::move(held), bytes);
}

bool RegionDirectory::Fits(const StateEntry& entry, const RegionKey& key, std::size_t bytes) const {
  return (bytes == 0 || entry.bytes == bytes) &&
         entry.description_bytes == key.description.size() &&
         ReadDescription(file_, entry) == key.description;
}

StateEntry* RegionDirectory::FindFitting(const RegionKey& key, std::size_t bytes,
                                         const StateContents::Living* used_by) {
  const bool prepared = used_by != nullptr;
  StateEntry* found = nullptr;
  for (StateEntry& entry : contents_.directory) {
    if (entry.is_free() || entry.is_prepared() != prepared ||
        entry.Name() != StateEntry::Cut(key.name)) {
      continue;
    }
    if (prepared && !contents_.IsUsed(entry, *used_by)) continue;
    if (found != nullptr && found->serial > entry.serial) continue;
    if (Fits(entry, key, bytes)) found = &entry;
  }
  return found;
}

// The size of the file is known before the entry that needs it, and the entry is whole before it
// counts. Its room is only as long as it is to be: it is got without the lock.
std::expected<StateEntry*, std::string> RegionDirectory::Reserve(const RegionKey& key,
                                                                 std::size_t bytes) {
  StateEntry* entry = contents_.FindFree();
  if (entry == nullptr) {
    return std::unexpected(
        "its directory is full: it has 1,024 tables that are in use, or that have counts which "
        "still matter. Use fewer names or rules, or another file.");
  }
  if (key.description.size() > StateEntry::kMostDescription) {
    return std::unexpected(
        "a rule's limits take more than 1 MiB to describe. Use fewer overrides.");
  }
  const std::uint64_t whole = bytes + key.description.size();
  const std::uint64_t offset = contents_.FindRoom(whole);
  const std::uint64_t end = offset + RoundUp(whole);
  struct stat about{};
  if (::fstat(file_, &about) != 0 || (static_cast<std::uint64_t>(about.st_size) < end &&
                                      ::ftruncate(file_, static_cast<off_t>(end)) != 0)) {
    return std::unexpected("it cannot be made longer: " + Told(errno) +
                           ". Look at the limits of the file system and of this process.");
  }
  if (!Write(file_, key.description, offset + bytes)) {
    const int error = errno;
    contents_.PunchHole(file_, offset, end);
    return std::unexpected(NoRoom(bytes, error));
  }
  contents_.head.file_bytes = std::max(contents_.head.file_bytes, end);
  ReadFileBytes();
  entry->offset = offset;
  entry->serial = contents_.LastSerial() + 1;
  entry->used_ns.store(0, std::memory_order_relaxed);
  entry->lasts_ns = key.lasts_ns;
  entry->prepared.store(0, std::memory_order_relaxed);
  entry->description_bytes = static_cast<std::uint32_t>(key.description.size());
  entry->name = {};
  std::ranges::copy(StateEntry::Cut(key.name), entry->name.begin());
  std::atomic_thread_fence(std::memory_order_release);
  entry->bytes = bytes;
  return entry;
}

std::string RegionDirectory::ReadDescription(int file, const StateEntry& entry) {
  std::string text(entry.description_bytes, '\0');
  const ssize_t read =
      ::pread(file, text.data(), text.size(), static_cast<off_t>(entry.offset + entry.bytes));
  if (read != static_cast<ssize_t>(text.size())) text.clear();
  return text;
}

}  // namespace sluicegate::table
