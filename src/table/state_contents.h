// StateContents: what a state file has before its regions, byte for byte as doc/table-format.md has
// it. In the machine's own byte order, which is little endian.
//
// Guarded by the directory's lock of the file (table/open_file.h), but for what is atomic. Lies in
// a mapping of the file; neither copies nor moves.
#pragma once

#include <array>
#include <atomic>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/siphash.h"
#include "table/machine.h"
#include "table/mapping.h"
#include "table/owners.h"

namespace sluicegate::table {

struct StateHead {
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
  std::atomic<std::uint32_t> was_cut;  // 1: somebody cut it short in use.
  std::uint32_t unused;

  /// Keeps the time if it is a later one. Wall time belongs to the engine time that it was read
  /// with; between the two stores another process may put its own, which is as good.
  void Keep(Now now) noexcept;
  /// What offset_ns is to be on another boot: engine time goes on where it was kept last, by as
  /// much as wall time says has passed since. A wall clock that was set back says nothing.
  [[nodiscard]] std::int64_t OffsetOn(const Machine& machine) const noexcept;
};

struct StateEntry {
  static constexpr std::size_t kNameBytes = 48;
  static constexpr std::uint32_t kMostDescription = std::uint32_t{1} << 20U;

  std::uint64_t offset;  // A whole number of pages.
  std::uint64_t bytes;   // As asked for; its description follows. 0: the entry is free.
  std::uint64_t serial;  // Later regions have higher ones.
  std::atomic<std::uint64_t> used_ns;  // Engine time when somebody last had it.
  std::uint64_t lasts_ns;              // So much later nothing in it matters any more.
  // 0: its bytes are not what they should be. kPrepared: they are. kKept: and somebody has used
  // them for a second or so. Else whose word it is that makes them so.
  std::atomic<std::uint32_t> prepared;
  std::uint32_t description_bytes;
  std::array<char, kNameBytes> name;  // Filled up with zeros.

  [[nodiscard]] static std::string_view Cut(std::string_view name) noexcept {
    return name.substr(0, kNameBytes - 1);
  }
  [[nodiscard]] std::string_view Name() const noexcept;
  /// Where the next one may begin.
  [[nodiscard]] std::uint64_t end() const noexcept;
  [[nodiscard]] bool is_free() const noexcept { return bytes == 0; }
  static constexpr std::uint32_t kPrepared = 1;
  static constexpr std::uint32_t kKept = 2;
  [[nodiscard]] bool is_prepared() const noexcept {
    const std::uint32_t state = prepared.load(std::memory_order_acquire);
    return state == kPrepared || state == kKept;
  }
  void Use(std::uint64_t engine_ns) noexcept;
  /// Whether all that was counted in it is past.
  [[nodiscard]] bool IsOver(std::uint64_t engine_ns) const noexcept;
};

struct StateContents {
  static constexpr std::array<char, 8> kMagic = {'s', 'l', 'u', 'i', 'c', 'e', 'g', 't'};
  static constexpr std::uint32_t kVersion = 2;
  static constexpr unsigned kMostRegions = Owners::kMostParts;
  static constexpr std::size_t kOwnersAt = 1024;

  StateHead head;
  std::array<std::byte, kOwnersAt - sizeof(StateHead)> unused_head;
  Owners::Shared owners;
  std::array<std::byte, 11 * kPage - kOwnersAt - sizeof(Owners::Shared)> unused_owners;
  std::array<StateEntry, kMostRegions> directory;

  /// Makes a file of zeros one of this machine, without regions.
  void Begin(const Machine& machine);
  /// What is wrong with it, in a file of so many bytes; empty: it can be used.
  [[nodiscard]] std::string Check(std::uint64_t file_bytes) const;

  using Living = std::bitset<Owners::kMost>;  ///< Slots of living processes.
  /// The region of that name that counts; null: there is none. It is the one made last of those
  /// that are in use, or were until a minute ago: who is started again goes on with what it had.
  /// Where none is, the one that was used last.
  [[nodiscard]] StateEntry* FindLatest(std::string_view name, const Living& living) noexcept;
  [[nodiscard]] StateEntry* FindFree() noexcept;
  /// Which part of the owners' it is.
  [[nodiscard]] unsigned PartOf(const StateEntry& entry) const noexcept {
    return static_cast<unsigned>(&entry - directory.data());
  }
  [[nodiscard]] std::uint64_t LastSerial() const noexcept;
  /// Whether another one took its place, or it is not finished.
  [[nodiscard]] bool IsSuperseded(const StateEntry& entry, const Living& living) const noexcept;
  [[nodiscard]] bool IsUsed(const StateEntry& entry, const Living& living) const noexcept {
    return Owners::IsUsed(owners.parts[PartOf(entry)], living);
  }
  [[nodiscard]] unsigned CountUsers(const StateEntry& entry, const Living& living) const;
  /// Where so many bytes are free, as far ahead as they are.
  [[nodiscard]] std::uint64_t FindRoom(std::uint64_t bytes) const;
  /// Frees what no policy needs any more and no living process uses: what is superseded, and what
  /// is over. `file`: the file itself.
  void FreeUnneeded(int file, Owners& users, std::uint64_t engine_ns) noexcept;
  /// Gives the room of a part of the file back to the disk.
  static void PunchHole(int file, std::uint64_t begin, std::uint64_t end) noexcept;

 private:
  struct Range {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
  };
  /// What is higher counts.
  [[nodiscard]] std::pair<std::uint64_t, std::uint64_t> RankOf(const StateEntry& entry,
                                                               const Living& living) const noexcept;
  [[nodiscard]] bool IsAloneOfItsName(const StateEntry& entry) const noexcept;
  void Free(int file, Owners& users, StateEntry& entry) noexcept;
  /// What lies where, in order: this, and the regions.
  [[nodiscard]] std::vector<Range> Taken() const;
};

// doc/table-format.md has these numbers.
static_assert(sizeof(StateHead) == 96 && sizeof(StateEntry) == 96);
static_assert(offsetof(StateHead, version) == 8 && offsetof(StateHead, directory_entries) == 12);
static_assert(offsetof(StateHead, file_bytes) == 16 && offsetof(StateHead, secret) == 24);
static_assert(offsetof(StateHead, boot_id) == 40 && offsetof(StateHead, time_namespace) == 56);
static_assert(offsetof(StateHead, offset_ns) == 64 && offsetof(StateHead, engine_ns) == 72);
static_assert(offsetof(StateHead, unix_ns) == 80 && offsetof(StateHead, was_cut) == 88);
static_assert(offsetof(StateEntry, bytes) == 8 && offsetof(StateEntry, serial) == 16);
static_assert(offsetof(StateEntry, used_ns) == 24 && offsetof(StateEntry, lasts_ns) == 32);
static_assert(offsetof(StateEntry, prepared) == 40 && offsetof(StateEntry, name) == 48);
static_assert(offsetof(StateEntry, description_bytes) == 44);
static_assert(sizeof(Owners::Slot) == 8 && sizeof(Owners::Part) == 40);
static_assert(offsetof(Owners::Part, users) == 8 && offsetof(Owners::Shared, parts) == 2048);
static_assert(offsetof(StateContents, owners) == 1024 && sizeof(Owners::Shared) == 43008);
static_assert(offsetof(StateContents, directory) == 45056);
static_assert(sizeof(StateContents) == 143360);

}  // namespace sluicegate::table
