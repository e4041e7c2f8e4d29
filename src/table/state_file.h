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
#include <memory>
#include <string>
#include <vector>

#include "base/siphash.h"
#include "sluicegate/time.h"
#include "table/machine.h"
#include "table/mapping.h"
#include "table/owners.h"
#include "table/region_directory.h"
#include "table/state_contents.h"

namespace sluicegate::table {

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
    unsigned users = 0;       ///< Processes that use it now.
    bool superseded = false;  ///< Another policy's: kept while others use it.
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
  /// Frees what nobody needs any more; see RegionDirectory. Now and then, where nobody waits.
  void Tidy() noexcept { regions_.Tidy(); }
  [[nodiscard]] Owners& owners() noexcept { return *owners_; }
  /// How many are attached to it now, this one included. For people: 256 system calls, some 50 us.
  [[nodiscard]] unsigned processes() const noexcept {
    return static_cast<unsigned>(Owners::Others(owners_->lock_file()).count()) + 1;
  }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  /// Whether this very file lies there. True where the system does not let this process look.
  [[nodiscard]] bool LiesAt(const std::string& path) const noexcept;
  /// Whether it is as long as it must be.
  [[nodiscard]] bool IsWhole() const noexcept;

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

  using Fresh = RegionDirectory::Fresh;
  using Prepare = RegionDirectory::Prepare;
  using Region = RegionDirectory::Region;
  /// As RegionDirectory's.
  [[nodiscard]] std::expected<std::shared_ptr<Mapping>, std::string> Attach(
      const RegionKey& key, std::size_t bytes, const Prepare& prepare) {
    return regions_.Attach(key, bytes, prepare);
  }
  [[nodiscard]] std::expected<std::vector<Region>, std::string> MapAll() {
    return regions_.MapAll();
  }

 private:
  struct Opening;

  StateFile(std::string path, Opening& opening, std::unique_ptr<Owners> owners) noexcept;
  [[nodiscard]] static std::expected<std::unique_ptr<StateFile>, std::string> Attached(
      const std::string& path, Opening& opening, const Machine& machine);
  [[nodiscard]] bool GrowBack(std::uint64_t bytes) noexcept;  // Whether it was shorter.

  const std::string path_;
  const int file_;                 // What is mapped.
  const int locks_;                // Opened apart: see Owners::Create.
  StateContents* const contents_;  // The file's beginning, mapped.
  std::unique_ptr<Owners> owners_;
  RegionDirectory regions_;
  const bool of_another_boot_;
  std::atomic<bool> was_cut_{false};  // Relaxed.
};

}  // namespace sluicegate::table
