// StateFile: one file with the tables of many processes. Its format is in doc/table-format.md.
//
// A header with the secret of the keys' hashes, the clock and the owners; a directory of regions;
// and the regions, each the bytes of one table or sketch. A process that opens it finds what others
// wrote, and what is left of those that are gone. Nobody needs to close it: the kernel tells who
// lives.
//
// Thread-safe. Owns its descriptor, its mapping of the header and its slot among the owners;
// neither copies nor moves. Outlives the mappings of its regions.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/siphash.h"
#include "limit/saturating.h"
#include "sluicegate/time.h"
#include "table/machine.h"
#include "table/mapping.h"
#include "table/owners.h"
#include "table/state_contents.h"

namespace sluicegate::table {

/// What a region is, apart from its bytes. A value type.
struct RegionKey {
  std::string name;  ///< Whose: at most 47 bytes count. What came before has the same.
  /// All that its bytes mean: the same for all processes that may share it. It is kept in the file,
  /// so that what comes after can read it.
  std::string description;
  /// How long after its last use anything in it matters.
  std::uint64_t lasts_ns = limit::kMaxU64;
};

/// What `sluicegate state` tells of a file, without attaching to it. A value type.
struct StateFileReport {
  std::uint32_t version = 0;
  std::uint64_t file_bytes = 0;
  unsigned owners = 0;          ///< Processes that are attached now.
  bool this_boot = false;       ///< Whether it was last written since this boot.
  std::uint64_t engine_ns = 0;  ///< The latest engine time in it.
  std::int64_t unix_ns = 0;     ///< Wall time then.
  struct Region {
    std::string name;
    std::uint64_t bytes = 0;
    std::string description;
    bool superseded = false;  ///< Another policy's: kept while others may still use it.
  };
  std::vector<Region> regions;
};

class StateFile {
 public:
  static constexpr std::uint32_t kVersion = StateContents::kVersion;

  /// Opens the file, or makes it; attaches this process. The error says what is wrong with the
  /// file, and the mend: another version, cut short, foreign, others may write it, no room, another
  /// time namespace.
  [[nodiscard]] static std::expected<std::unique_ptr<StateFile>, std::string> Open(
      const std::string& path, const Machine& machine = Machine::Here());
  ~StateFile();
  StateFile(const StateFile&) = delete;
  StateFile& operator=(const StateFile&) = delete;

  /// Whether Open would find it and may have it, as far as its place and its owner go. Makes
  /// nothing.
  [[nodiscard]] static std::expected<void, std::string> CheckAccess(const std::string& path);

  /// A copy of the file in memory, attached to by this process alone: for whoever wants to look at
  /// what is there. It was taken while others wrote, and takes as much memory as the file.
  [[nodiscard]] static std::expected<std::unique_ptr<StateFile>, std::string> OpenCopy(
      const std::string& path, const Machine& machine = Machine::Here());

  /// Reads a file without attaching to it, nor changing it.
  [[nodiscard]] static std::expected<StateFileReport, std::string> Read(
      const std::string& path, const Machine& machine = Machine::Here());

  /// The secret of all hashes in it.
  [[nodiscard]] HashSecret secret() const noexcept;
  /// Engine time of the file: boot time plus this. Constant while the machine runs.
  [[nodiscard]] std::int64_t offset_ns() const noexcept;
  /// A clock that tells it, by the machine's, which outlives it.
  [[nodiscard]] std::unique_ptr<const Clock> ClockBy(const Clock& machine) const;
  /// Whether the file is from before this boot, or of before a machine that lost its power: what
  /// was not written out by then is lost.
  [[nodiscard]] bool is_of_another_boot() const noexcept { return of_another_boot_; }
  /// Keeps the time, so that a later boot goes on from there, and that its regions are in use. Call
  /// it once a second or so.
  void Keep(Now now) noexcept;
  [[nodiscard]] Owners& owners() noexcept { return *owners_; }
  /// How many are attached to it now, this one included. For people: 256 system calls, some 50 us.
  [[nodiscard]] unsigned processes() const noexcept { return Owners::CountOthers(locks_) + 1; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  /// Whether this very file lies there.
  [[nodiscard]] bool LiesAt(const std::string& path) const noexcept;

  /// What became of the file itself meanwhile.
  enum class Condition : std::uint8_t {
    kWhole,
    kCut,    ///< Somebody cut it short. It is whole again, and what was cut counts afresh.
    kMoved,  ///< It is not where it was: who starts now makes another one and counts apart.
  };
  /// Call it once a second or so.
  [[nodiscard]] Condition Inspect() noexcept;
  /// For a handler of SIGBUS: makes a file that was cut short whole again, so that the access to
  /// `address` can be tried once more. False: that was something else. Safe in a signal handler.
  [[nodiscard]] bool Mend(void* address) noexcept;

  /// A region that nobody had before, all zero.
  struct Fresh {
    std::shared_ptr<Mapping> region;
    std::shared_ptr<Mapping> before;  ///< What had its name; null if nothing did.
    std::string described;            ///< What that was.
    /// For a table in it: the same for all processes, no other region's, and none that a table of
    /// one process has.
    std::uint32_t id = 0;
  };
  /// A region that is there.
  struct Region {
    std::string name;
    std::string description;
    std::shared_ptr<Mapping> bytes;
  };
  /// Those that nothing has superseded, mapped. For a look at them.
  [[nodiscard]] std::expected<std::vector<Region>, std::string> MapAll();

  /// Fills it. The directory is locked meanwhile, for all processes. False: a living process keeps
  /// what was there from being read.
  using Prepare = std::function<bool(const Fresh& fresh)>;
  /// Maps the region of this key and size; makes it where there is none, or where its maker died
  /// before it was prepared. Regions that it supersedes stay until the file is opened alone.
  [[nodiscard]] std::expected<std::shared_ptr<Mapping>, std::string> Attach(const RegionKey& key,
                                                                            std::size_t bytes,
                                                                            const Prepare& prepare);

 private:
  struct Opening;

  StateFile(std::string path, Opening& opening, std::unique_ptr<Owners> owners) noexcept;
  [[nodiscard]] static std::expected<std::unique_ptr<StateFile>, std::string> Attached(
      const std::string& path, Opening& opening, const Machine& machine);
  [[nodiscard]] std::expected<std::shared_ptr<Mapping>, std::string> Map(
      const StateEntry& entry) const;
  [[nodiscard]] bool Fits(const StateEntry* entry, const RegionKey& key, std::size_t bytes) const;
  void FreeUnneeded(const StateEntry* before);
  void Use(StateEntry& entry, const RegionKey& key, const std::shared_ptr<Mapping>& region);
  [[nodiscard]] std::expected<StateEntry*, std::string> MakeEntry(const RegionKey& key,
                                                                  std::size_t bytes);
  [[nodiscard]] bool GrowBack(std::uint64_t bytes) noexcept;  // Whether it was shorter.

  const std::string path_;
  const int file_;                 // What is mapped.
  const int locks_;                // Opened apart: see Owners::Create.
  StateContents* const contents_;  // The file's beginning, mapped.
  std::unique_ptr<Owners> owners_;
  std::mutex mutex_;  // Of this process' threads; the directory's lock is one for the process.
  // Guarded by mutex_: what this process has attached to, as long as somebody needs it.
  std::vector<std::pair<StateEntry*, std::weak_ptr<Mapping>>> used_;
  const bool of_another_boot_;
  // Relaxed, as are the others.
  std::atomic<std::uint64_t> file_bytes_;  // As many as the file must have.
  std::atomic<bool> was_cut_{false};
};

}  // namespace sluicegate::table
