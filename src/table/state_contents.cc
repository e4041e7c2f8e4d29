#include "table/state_contents.h"

#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "limit/saturating.h"

namespace sluicegate::table {
namespace {

// Where the system gives such to files, a large region has them from its beginning on.
constexpr std::uint64_t kHugePage = std::uint64_t{2} << 20U;

}  // namespace

void StateHead::Keep(Now now) noexcept {
  if (engine_ns.load(std::memory_order_relaxed) >= now.engine_ns) return;
  unix_ns.store(now.unix_ns, std::memory_order_relaxed);
  engine_ns.store(now.engine_ns, std::memory_order_release);
}

std::int64_t StateHead::OffsetOn(const Machine& machine) const noexcept {
  const std::uint64_t last_ns = engine_ns.load(std::memory_order_relaxed);
  const std::int64_t left_ns = unix_ns.load(std::memory_order_relaxed);
  const std::uint64_t away_ns =
      machine.unix_ns <= left_ns
          ? 0
          : static_cast<std::uint64_t>(machine.unix_ns) - static_cast<std::uint64_t>(left_ns);
  return static_cast<std::int64_t>(last_ns + away_ns - machine.boottime_ns);
}

std::string_view StateEntry::Name() const noexcept {
  return {name.data(), ::strnlen(name.data(), name.size())};
}

std::uint64_t StateEntry::end() const noexcept {
  return offset + RoundUp(bytes + description_bytes);
}

void StateEntry::Use(std::uint64_t engine_ns) noexcept {
  if (used_ns.load(std::memory_order_relaxed) < engine_ns) {
    used_ns.store(engine_ns, std::memory_order_relaxed);
  }
}

bool StateEntry::IsOver(std::uint64_t engine_ns) const noexcept {
  return limit::AddSaturating(used_ns.load(std::memory_order_relaxed), lasts_ns) < engine_ns;
}

void StateContents::Begin(const Machine& machine) {
  head.version = kVersion;
  head.directory_entries = kMostRegions;
  head.file_bytes = sizeof(StateContents);
  head.secret = HashSecret::Random();
  head.boot_id = machine.boot_id;
  head.time_namespace = machine.time_namespace;
  head.engine_ns.store(machine.boottime_ns, std::memory_order_relaxed);
  head.unix_ns.store(machine.unix_ns, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  head.magic = kMagic;
}

std::string StateContents::Check(std::uint64_t file_bytes) const {
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
  if (head.was_cut.load(std::memory_order_relaxed) != 0) {
    return "it was cut short while it was in use. End all processes that use it, and move it away; "
           "counting begins afresh.";
  }
  if (head.directory_entries != kMostRegions) return not_ours("damaged (its directory's size)");
  if (file_bytes < head.file_bytes) {
    return "it was cut short: it should have " + std::to_string(head.file_bytes) +
           " bytes and has " + std::to_string(file_bytes) +
           ". Move it away; counting begins afresh.";
  }
  for (const StateEntry& entry : directory) {
    if (entry.is_free()) continue;
    if (entry.description_bytes > StateEntry::kMostDescription) {
      return not_ours("damaged (a description's size)");
    }
    const bool fits = entry.offset % kPage == 0 && entry.offset <= head.file_bytes &&
                      entry.bytes <= head.file_bytes - entry.offset &&
                      entry.end() <= head.file_bytes;
    if (!fits) return not_ours("damaged (a region beyond its end)");
  }
  const std::vector<Range> taken = Taken();
  for (std::size_t i = 1; i < taken.size(); ++i) {
    if (taken[i].begin < taken[i - 1].end) return not_ours("damaged (regions that overlap)");
  }
  return {};
}

std::vector<StateContents::Range> StateContents::Taken() const {
  std::vector<Range> taken = {{.begin = 0, .end = sizeof(StateContents)}};
  for (const StateEntry& entry : directory) {
    if (!entry.is_free()) taken.push_back({.begin = entry.offset, .end = entry.end()});
  }
  std::ranges::sort(taken, {}, &Range::begin);
  return taken;
}

std::pair<std::uint64_t, std::uint64_t> StateContents::RankOf(const StateEntry& entry,
                                                              const Living& living) const noexcept {
  constexpr std::uint64_t kMinuteNs = 60'000'000'000;
  const std::uint64_t used_ns = entry.used_ns.load(std::memory_order_relaxed);
  const bool kept = entry.prepared.load(std::memory_order_relaxed) == StateEntry::kKept;
  const bool lately = kept && limit::AddSaturating(used_ns, kMinuteNs) >=
                                  head.engine_ns.load(std::memory_order_relaxed);
  return {lately || IsUsed(entry, living) ? limit::kMaxU64 : used_ns, entry.serial};
}

StateEntry* StateContents::FindLatest(std::string_view name, const Living& living) noexcept {
  StateEntry* latest = nullptr;
  for (StateEntry& entry : directory) {
    if (entry.is_free() || !entry.is_prepared() || entry.Name() != StateEntry::Cut(name)) continue;
    if (latest == nullptr || RankOf(entry, living) > RankOf(*latest, living)) latest = &entry;
  }
  return latest;
}

StateEntry* StateContents::FindFree() noexcept {
  const auto found = std::ranges::find_if(directory, &StateEntry::is_free);
  return found == directory.end() ? nullptr : &*found;
}

std::uint64_t StateContents::LastSerial() const noexcept {
  std::uint64_t last = 0;
  for (const StateEntry& entry : directory)
    last = std::max(last, entry.is_free() ? 0 : entry.serial);
  return last;
}

bool StateContents::IsSuperseded(const StateEntry& entry, const Living& living) const noexcept {
  return !entry.is_prepared() || std::ranges::any_of(directory, [&](const StateEntry& other) {
    return !other.is_free() && other.is_prepared() && other.Name() == entry.Name() &&
           RankOf(other, living) > RankOf(entry, living);
  });
}

unsigned StateContents::CountUsers(const StateEntry& entry, const Living& living) const {
  const auto& users = owners.parts[PartOf(entry)].users;
  unsigned count = 0;
  for (unsigned slot = 0; slot < Owners::kMost; ++slot) {
    const std::uint64_t word = users[slot / 64].load(std::memory_order_relaxed);
    count += living[slot] && (word >> (slot % 64) & 1U) != 0 ? 1U : 0U;
  }
  return count;
}

std::uint64_t StateContents::FindRoom(std::uint64_t bytes) const {
  const std::uint64_t unit = bytes >= kHugePage ? kHugePage : kPage;
  std::uint64_t at = 0;
  for (const Range& range : Taken()) {
    if (range.begin >= at && range.begin - at >= RoundUp(bytes)) break;
    at = std::max(at, RoundUp(range.end, unit));
  }
  return at;
}

bool StateContents::IsAloneOfItsName(const StateEntry& entry) const noexcept {
  return std::ranges::none_of(directory, [&](const StateEntry& other) {
    return &other != &entry && !other.is_free() && other.Name() == entry.Name();
  });
}

// Who is superseded and still in use must not be the latest of its name again because the one in
// its place is over.
void StateContents::FreeUnneeded(int file, Owners& users, std::uint64_t engine_ns) noexcept {
  const Living living = users.Living();
  for (StateEntry& entry : directory) {
    if (!entry.is_free() && IsSuperseded(entry, living)) Free(file, users, entry);
  }
  for (StateEntry& entry : directory) {
    if (!entry.is_free() && entry.IsOver(engine_ns) && IsAloneOfItsName(entry)) {
      Free(file, users, entry);
    }
  }
}

void StateContents::Free(int file, Owners& users, StateEntry& entry) noexcept {
  if (!users.GiveAway(PartOf(entry))) return;
  PunchHole(file, entry.offset, entry.end());
  entry.bytes = 0;
}

void StateContents::PunchHole(int file, std::uint64_t begin, std::uint64_t end) noexcept {
  (void)::fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(begin),
                    static_cast<off_t>(end - begin));
}

}  // namespace sluicegate::table
