// A state file: any bytes are a report or an error that says what to do; and which of the two, and
// what is reported, is what a second reader finds, which goes by doc/table-format.md alone.
//
// An input that begins with a zero byte has the file's bytes behind it. Any other is a list of
// edits of a good file: three bytes of offset, one of length, and so many bytes; an edit without
// bytes ends the file there.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/temporary_folder_for_test.h"
#include "fuzz_target.h"
#include "table/state_file.h"

using sluicegate::TemporaryFolder;
using sluicegate::fuzz::Require;
using sluicegate::table::Machine;
using sluicegate::table::StateFile;
using sluicegate::table::StateFileReport;

namespace {

constexpr std::uint64_t kHour = 3'600'000'000'000;
constexpr Machine kMachine{
    .boot_id = {std::byte{1}}, .time_namespace = 7, .boottime_ns = 1'000, .unix_ns = 2'000};

void Attach(StateFile& file, std::string_view name, std::uint64_t identity, std::size_t bytes) {
  const auto region = file.Attach(
      {.name = std::string(name), .description = std::to_string(identity), .lasts_ns = kHour},
      bytes, [](const StateFile::Fresh&) { return true; });
  if (!region) std::abort();
}

// Three regions, one of them left behind. The machine's disk is no part of what is tested, so what
// goes wrong here breaks nothing but the run.
std::string MakeGoodFile() {
  const TemporaryFolder folder;
  const std::string path = folder / "state";
  {
    const auto file = StateFile::Open(path, kMachine);
    if (!file) std::abort();
    Attach(**file, "api/rates", 1, 4'000);
    Attach(**file, "api/bans", 1, 4'097);
    Attach(**file, "api/rates", 2, 1);
    (*file)->Keep({.engine_ns = 3'000, .unix_ns = 4'000});
  }
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string Edited(std::string_view edits) {
  static const std::string good = MakeGoodFile();
  constexpr std::size_t kHead = 4;
  std::string bytes = good;
  while (edits.size() >= kHead) {
    std::uint32_t word = 0;
    std::memcpy(&word, edits.data(), kHead);
    const std::size_t at = word & 0xFF'FFFFU;
    const std::size_t length = word >> 24U;
    edits.remove_prefix(kHead);
    const std::string_view patch = edits.substr(0, length);
    edits.remove_prefix(patch.size());
    if (at >= bytes.size()) continue;
    if (length == 0) bytes.resize(at);
    std::copy_n(patch.begin(), std::min(patch.size(), bytes.size() - at),
                bytes.begin() + static_cast<std::ptrdiff_t>(at));
  }
  return bytes;
}

// As doc/table-format.md has it.
constexpr std::uint64_t kPage = 4'096;
constexpr std::uint64_t kDirectory = 45'056;
constexpr std::uint64_t kEntries = 1'024;
constexpr std::uint64_t kEntryBytes = 96;
constexpr std::uint64_t kRegions = kDirectory + kEntries * kEntryBytes;

struct Entry {
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  std::uint64_t serial = 0;
  bool prepared = false;
  bool kept = false;
  std::uint64_t description_bytes = 0;
  std::uint64_t used_ns = 0;
  std::string name;
};

template <class Number>
Number NumberAt(const std::string& bytes, std::uint64_t at) {
  Number number = 0;
  std::memcpy(&number, bytes.data() + at, sizeof(number));
  return number;
}

std::vector<Entry> EntriesOf(const std::string& file) {
  std::vector<Entry> entries;
  for (std::uint64_t i = 0; i < kEntries; ++i) {
    const std::uint64_t at = kDirectory + i * kEntryBytes;
    Entry entry{.offset = NumberAt<std::uint64_t>(file, at),
                .bytes = NumberAt<std::uint64_t>(file, at + 8),
                .serial = NumberAt<std::uint64_t>(file, at + 16),
                .prepared = NumberAt<std::uint32_t>(file, at + 40) == 1 ||
                            NumberAt<std::uint32_t>(file, at + 40) == 2,
                .kept = NumberAt<std::uint32_t>(file, at + 40) == 2,
                .description_bytes = NumberAt<std::uint32_t>(file, at + 44),
                .used_ns = NumberAt<std::uint64_t>(file, at + 24),
                .name = file.substr(at + 48, 48)};
    entry.name.resize(std::min(entry.name.find('\0'), entry.name.size()));
    if (entry.bytes != 0) entries.push_back(std::move(entry));
  }
  return entries;
}

// Page by page, so that nothing is added up.
bool LieApartWithin(std::uint64_t file_bytes, const std::vector<Entry>& entries) {
  std::vector<bool> taken(file_bytes / kPage, false);
  std::fill_n(taken.begin(), std::min<std::size_t>(kRegions / kPage, taken.size()), true);
  for (const Entry& entry : entries) {
    if (entry.offset % kPage != 0) return false;
    if (entry.description_bytes > 1'048'576 || entry.bytes > file_bytes) return false;
    const std::uint64_t first = entry.offset / kPage;
    const std::uint64_t whole = entry.bytes + entry.description_bytes;
    const std::uint64_t pages = whole / kPage + (whole % kPage != 0 ? 1 : 0);
    if (first > taken.size() || pages > taken.size() - first) return false;
    for (std::uint64_t page = first; page < first + pages; ++page) {
      if (taken[page]) return false;
      taken[page] = true;
    }
  }
  return true;
}

bool IsGood(const std::string& file) {
  if (file.size() < kRegions || !file.starts_with("sluicegt")) return false;
  return NumberAt<std::uint32_t>(file, 88) == 0 && NumberAt<std::uint32_t>(file, 8) == 2 &&
         NumberAt<std::uint32_t>(file, 12) == kEntries &&
         NumberAt<std::uint64_t>(file, 16) <= file.size() &&
         LieApartWithin(NumberAt<std::uint64_t>(file, 16), EntriesOf(file));
}

bool IsLeftBehind(const Entry& entry, const std::vector<Entry>& entries, std::uint64_t kept_ns) {
  const auto used = [kept_ns](const Entry& one) {
    constexpr std::uint64_t kMinute = 60'000'000'000;
    constexpr std::uint64_t kNow = ~std::uint64_t{0};
    const bool lately =
        one.kept && (one.used_ns > kNow - kMinute || one.used_ns + kMinute >= kept_ns);
    return lately ? kNow : one.used_ns;
  };
  return !entry.prepared || std::ranges::any_of(entries, [&](const Entry& other) {
    const bool later =
        used(other) != used(entry) ? used(other) > used(entry) : other.serial > entry.serial;
    return other.prepared && later && other.name == entry.name;
  });
}

void CheckReport(const StateFileReport& report, const std::string& file) {
  Require(report.version == StateFile::kVersion && report.owners == 0);
  Require(report.file_bytes <= file.size());
  Require(report.this_boot ==
          (file.compare(40, 16, std::string("\1") + std::string(15, '\0')) == 0));
  Require(report.engine_ns == NumberAt<std::uint64_t>(file, 72));
  Require(report.unix_ns == NumberAt<std::int64_t>(file, 80));
  const std::vector<Entry> entries = EntriesOf(file);
  Require(report.regions.size() == entries.size());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const StateFileReport::Region& region = report.regions[i];
    Require(region.name == entries[i].name && region.name.find('\0') == std::string::npos);
    Require(region.bytes == entries[i].bytes);
    Require(region.description ==
            file.substr(entries[i].offset + entries[i].bytes, entries[i].description_bytes));
    Require(region.superseded == IsLeftBehind(entries[i], entries, report.engine_ns));
  }
}

// What is wrong, and behind it what to do.
void CheckError(const std::string& error, const std::string& path) {
  const std::string prefix = "state file " + path + ": ";
  Require(error.starts_with(prefix) && error.ends_with('.') && error.size() <= 400);
  const std::string_view told = std::string_view(error).substr(prefix.size());
  const std::size_t end = told.find(". ");
  Require(end != std::string_view::npos && end > 0);
  Require(told[end + 2] >= 'A' && told[end + 2] <= 'Z');
}

}  // namespace

SG_FUZZ_TARGET(state_file) {
  static const int memory = ::memfd_create("state", MFD_CLOEXEC);
  static const std::string path = "/proc/self/fd/" + std::to_string(memory);
  const bool whole = bytes.empty() || bytes.front() == '\0';
  const std::string_view rest = bytes.substr(bytes.empty() ? 0 : 1);
  const std::string file = whole ? std::string(rest) : Edited(rest);
  const auto size = static_cast<ssize_t>(file.size());
  if (::ftruncate(memory, size) != 0 || ::pwrite(memory, file.data(), file.size(), 0) != size) {
    std::abort();
  }
  const auto report = StateFile::Read(path, kMachine);
  Require(report.has_value() == IsGood(file));
  if (report) {
    CheckReport(*report, file);
  } else {
    CheckError(report.error(), path);
  }
}
