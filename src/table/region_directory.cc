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

}  // namespace

RegionDirectory::Attached RegionDirectory::Attach(const RegionKey& key, std::size_t bytes,
                                                  const Prepare& prepare) {
  for (std::uint64_t naps = 0; naps < MostNaps(bytes); ++naps) {
    auto begun = Begin(key, bytes);
    if (!begun) return std::unexpected(std::move(begun.error()));
    if (begun->there != nullptr) return std::move(begun->there);
    if (begun->entry != nullptr) return Finish(*begun, prepare);
    Nap(kNap);
  }
  return Refused(
      path_,
      "another process has been making a part of it for too long. End the one that is stopped, or "
      "let it go on.");
}

std::expected<RegionDirectory::Begun, std::string> RegionDirectory::Begin(const RegionKey& key,
                                                                          std::size_t bytes) {
  const std::lock_guard threads(mutex_);
  const DirectoryLock lock(owners_.lock_file());
  if (!lock.held()) return Refused(path_, kBusy);
  if (const std::string why = CheckWhole(); !why.empty()) return Refused(path_, why);
  if (owners_.Word() == 0) return Refused(path_, kNoSlot);
  LeaveUnneeded();
  StateEntry* before = contents_.FindLatest(key.name);
  if (before != nullptr && Fits(*before, key, bytes)) {
    auto region = MapAndUse(*before);
    if (!region) return std::unexpected(std::move(region.error()));
    before->lasts_ns = std::max(before->lasts_ns, key.lasts_ns);
    before->Use(contents_.head.engine_ns.load(std::memory_order_relaxed));
    return Begun{.there = std::move(*region)};
  }
  StateEntry* entry = FindUnfinished(key, bytes);
  if (entry != nullptr) {
    if (owners_.IsUsed(contents_.PartOf(*entry))) return Begun{};
    return BeginAt(*entry, key, before);
  }
  std::shared_ptr<Mapping> kept;  // What is to be taken over must not go now.
  if (before != nullptr) {
    auto old = MapAndUse(*before);
    if (!old) return std::unexpected(std::move(old.error()));
    kept = std::move(*old);
  }
  contents_.FreeUnneeded(file_, owners_, contents_.head.engine_ns.load(std::memory_order_relaxed));
  auto made = MakeEntry(key, bytes);
  if (!made) return Refused(path_, made.error());
  return BeginAt(**made, key, before);
}

std::expected<RegionDirectory::Begun, std::string> RegionDirectory::BeginAt(StateEntry& entry,
                                                                            const RegionKey& key,
                                                                            StateEntry* before) {
  auto region = MapAndUse(entry);
  if (!region) return std::unexpected(std::move(region.error()));
  entry.lasts_ns = std::max(entry.lasts_ns, key.lasts_ns);
  Begun begun{.there = nullptr,
              .entry = &entry,
              .before = before,
              .fresh = {.region = std::move(*region),
                        .before = nullptr,
                        .described = {},
                        .id = static_cast<std::uint32_t>(entry.serial) | 1U << 31U}};
  if (before == nullptr) return begun;
  auto old = MapAndUse(*before);
  if (!old) return std::unexpected(std::move(old.error()));
  begun.fresh.before = std::move(*old);
  begun.fresh.described = ReadDescription(file_, *before);
  return begun;
}

// Outside of the directory's lock, but for the end.
RegionDirectory::Attached RegionDirectory::Finish(Begun& begun, const Prepare& prepare) {
  Mapping& bytes = *begun.fresh.region;
  std::memset(bytes.data(), 0, bytes.size());
  if (!prepare(begun.fresh)) {
    begun.fresh = {};
    const std::lock_guard threads(mutex_);
    LeaveUnneeded();
    return Refused(
        path_,
        "a process that is stopped holds a part of what is to be taken over. Let it go on, or end "
        "it, then try again.");
  }
  // What the entry says of it is not on the disk before the first page, which says what it is.
  (void)::msync(bytes.data(), std::min<std::size_t>(bytes.size(), kPage), MS_SYNC);
  const std::lock_guard threads(mutex_);
  const DirectoryLock lock(owners_.lock_file());
  if (!lock.held()) return Refused(path_, kBusy);
  // From now on it counts, unless somebody goes on with what was there.
  StateEntry& entry = *begun.entry;
  if (begun.before != nullptr) {
    entry.Use(begun.before->used_ns.load(std::memory_order_relaxed) + 1);
  }
  entry.Use(contents_.head.engine_ns.load(std::memory_order_relaxed));
  entry.prepared.store(1, std::memory_order_release);
  begun.fresh.before.reset();
  LeaveUnneeded();
  return std::move(begun.fresh.region);
}

std::expected<std::vector<RegionDirectory::Region>, std::string> RegionDirectory::MapAll() {
  const std::lock_guard threads(mutex_);
  const DirectoryLock lock(owners_.lock_file());
  if (!lock.held()) return Refused(path_, kBusy);
  std::vector<Region> regions;
  for (const StateEntry& entry : contents_.directory) {
    if (entry.is_free() || contents_.IsSuperseded(entry)) continue;
    auto bytes = Map(entry);
    if (!bytes) return std::unexpected(std::move(bytes.error()));
    regions.push_back({.name = std::string(entry.Name()),
                       .description = ReadDescription(file_, entry),
                       .bytes = std::move(*bytes)});
  }
  return regions;
}

// A thread that attaches a region keeps its time for itself when it is done.
void RegionDirectory::Keep(std::uint64_t engine_ns) noexcept {
  const std::unique_lock threads(mutex_, std::try_to_lock);
  if (!threads.owns_lock()) return;
  LeaveUnneeded();
  for (const auto& [entry, region] : used_) entry->Use(engine_ns);
}

// It may have been cut short, and then what lies where nobody knows any more.
std::string RegionDirectory::CheckWhole() const {
  struct stat about{};
  if (::fstat(file_, &about) != 0) return "cannot look at it: " + Told(errno) + ".";
  return contents_.Check(static_cast<std::uint64_t>(about.st_size));
}

RegionDirectory::Attached RegionDirectory::Map(const StateEntry& entry) const {
  auto mapping = Mapping::OfFile(file_, entry.offset, entry.bytes);
  if (!mapping) return Refused(path_, mapping.error());
  return std::shared_ptr<Mapping>(std::move(*mapping));
}

RegionDirectory::Attached RegionDirectory::MapAndUse(StateEntry& entry) {
  auto region = Map(entry);
  if (!region) return region;
  used_.emplace_back(&entry, *region);
  owners_.Use(contents_.PartOf(entry));
  return region;
}

bool RegionDirectory::Fits(const StateEntry& entry, const RegionKey& key, std::size_t bytes) const {
  return entry.bytes == bytes && entry.description_bytes == key.description.size() &&
         ReadDescription(file_, entry) == key.description;
}

StateEntry* RegionDirectory::FindUnfinished(const RegionKey& key, std::size_t bytes) {
  const auto found = std::ranges::find_if(contents_.directory, [&](const StateEntry& entry) {
    return !entry.is_free() && !entry.is_prepared() && entry.Name() == StateEntry::Cut(key.name) &&
           Fits(entry, key, bytes);
  });
  return found == contents_.directory.end() ? nullptr : &*found;
}

void RegionDirectory::LeaveUnneeded() noexcept {
  std::erase_if(used_, [&](const auto& used) {
    if (!used.second.expired()) return false;
    owners_.Leave(contents_.PartOf(*used.first));
    return true;
  });
}

// The size of the file is known before the entry that needs it, and the entry is whole before it
// counts.
std::expected<StateEntry*, std::string> RegionDirectory::MakeEntry(const RegionKey& key,
                                                                   std::size_t bytes) {
  StateEntry* entry = contents_.FindFree();
  if (entry == nullptr) {
    return std::unexpected(
        "its directory is full: processes use 1,024 tables in it. Let all have one policy, or use "
        "fewer rules.");
  }
  if (key.description.size() > StateEntry::kMostDescription) {
    return std::unexpected(
        "a rule's limits take more than 1 MiB to describe. Use fewer overrides.");
  }
  const std::uint64_t whole = bytes + key.description.size();
  const std::uint64_t offset = contents_.FindRoom(whole);
  const int error =
      ::posix_fallocate(file_, static_cast<off_t>(offset), static_cast<off_t>(RoundUp(whole)));
  if (error != 0) {
    return std::unexpected("there is no room for " + std::to_string(bytes) + " bytes: " +
                           Told(error) + ". Make room on the disk, or lower state.memory.");
  }
  if (::pwrite(file_, key.description.data(), key.description.size(),
               static_cast<off_t>(offset + bytes)) !=
      static_cast<ssize_t>(key.description.size())) {
    return std::unexpected("cannot write what a region is for: " + Told(errno) + ".");
  }
  contents_.head.file_bytes = std::max(contents_.head.file_bytes, offset + RoundUp(whole));
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
