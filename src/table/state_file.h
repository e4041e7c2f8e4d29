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

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/siphash.h"
#include "sluicegate/time.h"
#include "table/machine.h"
#include "table/mapping.h"
#include "table/owners.h"

namespace sluicegate::table {

/// What a region is, apart from its bytes: the same for all processes that may share it. A value
/// type.
struct RegionKey {
  std::string name;  ///< Whose: at most 47 bytes count. What came before has the same.
  std::array<std::uint64_t, 2> identity{};  ///< A hash of all that its bytes mean.
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
    bool superseded = false;  ///< Another policy's: kept while others may still use it.
  };
  std::vector<Region> regions;
};

class StateFile {
 public:
  static constexpr std::uint32_t kVersion = 1;
  static constexpr unsigned kMostRegions = 1024;

  /// Opens the file, or makes it; attaches this process. The error says what is wrong with the
  /// file, and the mend: another version, cut short, foreign, others may write it, no room, another
  /// time namespace.
  [[nodiscard]] static std::expected<std::unique_ptr<StateFile>, std::string> Open(
      const std::string& path, const Machine& machine = Machine::Here());
  ~StateFile();
  StateFile(const StateFile&) = delete;
  StateFile& operator=(const StateFile&) = delete;

  /// Reads a file without attaching to it, nor changing it.
  [[nodiscard]] static std::expected<StateFileReport, std::string> Read(
      const std::string& path, const Machine& machine = Machine::Here());

  /// The secret of all hashes in it.
  [[nodiscard]] HashSecret secret() const noexcept;
  /// Engine time of the file: boot time plus this. Constant while the machine runs.
  [[nodiscard]] std::int64_t offset_ns() const noexcept;
  /// Whether the file is from before this boot, or of before a machine that lost its power: what
  /// was not written out by then is lost.
  [[nodiscard]] bool is_of_another_boot() const noexcept { return of_another_boot_; }
  /// Keeps the time, so that a later boot goes on from there. Call it once a second or so.
  void Keep(Now now) noexcept;
  [[nodiscard]] Owners& owners() noexcept { return *owners_; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

  /// A region that nobody had before, all zero.
  struct Fresh {
    std::shared_ptr<Mapping> region;
    std::shared_ptr<Mapping> before;  ///< What had its name; null if nothing did.
    /// For a table in it: the same for all processes, no other region's, and none that a table of
    /// one process has.
    std::uint32_t id = 0;
  };
  /// Fills it. The directory is locked meanwhile, for all processes.
  using Prepare = std::function<void(const Fresh& fresh)>;
  /// Maps the region of this key and size; makes it where there is none, or where its maker died
  /// before it was prepared. Regions that it supersedes stay until the file is opened alone.
  [[nodiscard]] std::expected<std::shared_ptr<Mapping>, std::string> Attach(const RegionKey& key,
                                                                            std::size_t bytes,
                                                                            const Prepare& prepare);

 private:
  struct Entry;
  struct Contents;
  struct Opening;

  StateFile(std::string path, Opening& opening, std::unique_ptr<Owners> owners) noexcept;
  [[nodiscard]] std::expected<Entry*, std::string> MakeEntry(const RegionKey& key,
                                                             std::size_t bytes);

  const std::string path_;
  const int file_;
  Contents* const contents_;  // The file's beginning, mapped.
  std::unique_ptr<Owners> owners_;
  std::mutex mutex_;  // Of this process' threads; the directory's lock is one for the process.
  const bool of_another_boot_;
};

}  // namespace sluicegate::table
