// RegionDirectory: the regions of a state file as one process has them: what is there, what is made
// anew, and what goes.
//
// The file's directory is locked for milliseconds. Room for a region is got, and it is filled,
// without that lock: who needs the same one waits for its maker as long as that lives, and takes
// its place when it is dead.
//
// Thread-safe. Owns nothing of the file, which outlives it and all regions; neither copies nor
// moves.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "limit/saturating.h"
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
  /// One that a living process uses, or makes, fits whatever its size is.
  bool of_any_size = false;
};

class RegionDirectory {
 public:
  /// `file`: what `contents` is a mapping of. `path`: for errors.
  RegionDirectory(std::string path, int file, StateContents& contents, Owners& owners) noexcept
      : path_(std::move(path)),
        file_(file),
        contents_(contents),
        owners_(owners),
        file_bytes_(contents.head.file_bytes) {}
  RegionDirectory(const RegionDirectory&) = delete;
  RegionDirectory& operator=(const RegionDirectory&) = delete;

  /// A region that nobody had before, all zero.
  struct Fresh {
    std::shared_ptr<Mapping> region;
    std::shared_ptr<Mapping> before;  ///< What had its name; null if nothing did.
    std::string described;            ///< What that was.
    /// For a table in it: the same for all processes, no other region's, and none that a table of
    /// one process has.
    std::uint32_t id = 0;
  };
  /// Fills it. False: a living process keeps what was there from being read.
  using Prepare = std::function<bool(const Fresh& fresh)>;
  /// Maps the region of this key and size; makes it where there is none, or where its maker died
  /// before it was prepared. Processes that attach the same key share it, whatever others do. What
  /// no living process uses any more goes when one is made.
  [[nodiscard]] std::expected<std::shared_ptr<Mapping>, std::string> Attach(const RegionKey& key,
                                                                            std::size_t bytes,
                                                                            const Prepare& prepare);
  /// A region that is there.
  struct Region {
    std::string name;
    std::string description;
    std::shared_ptr<Mapping> bytes;
  };
  /// Those that nothing has superseded, mapped, but not used. For a look at a copy of a file.
  [[nodiscard]] std::expected<std::vector<Region>, std::string> MapAll();

  /// That its regions are in use.
  void Keep(std::uint64_t engine_ns) noexcept;
  /// Frees what nobody needs any more, if the directory is to be had at once. It takes as long as
  /// the system needs to free the room.
  void Tidy() noexcept;

  /// As many as the file must have, as far as this process knows.
  [[nodiscard]] std::uint64_t file_bytes() const noexcept {
    return file_bytes_.load(std::memory_order_relaxed);
  }
  /// Others make regions too. REQUIRES: the file is whole.
  void ReadFileBytes() noexcept {
    file_bytes_.store(contents_.head.file_bytes, std::memory_order_relaxed);
  }

  /// Where it is in the file, without attaching to that. Empty where it cannot be read, which is
  /// then no region's that anybody asks for.
  [[nodiscard]] static std::string ReadDescription(int file, const StateEntry& entry);

 private:
  using Attached = std::expected<std::shared_ptr<Mapping>, std::string>;
  // An entry that this process uses.
  struct Used {
    StateEntry* entry = nullptr;  // Null: none.
    Owners::Hold hold;
  };
  // A region on its way.
  struct Begun {
    Used region;         // None: another one makes it.
    Used before;         // What it takes over.
    bool there = false;  // It is made already.
  };

  [[nodiscard]] std::expected<Begun, std::string> Begin(const RegionKey& key, std::size_t bytes);
  [[nodiscard]] Attached Make(Begun begun, const Prepare& prepare);
  [[nodiscard]] Attached Fill(Begun begun, const Prepare& prepare);
  [[nodiscard]] Attached Finish(StateEntry& entry, std::uint64_t before_ns,
                                std::shared_ptr<Mapping> region);
  [[nodiscard]] bool Fits(const StateEntry& entry, const RegionKey& key, std::size_t bytes) const;
  [[nodiscard]] std::expected<StateEntry*, std::string> Reserve(const RegionKey& key,
                                                                std::size_t bytes);
  [[nodiscard]] std::string CheckWhole() const;
  [[nodiscard]] Attached Map(Used used) const;
  [[nodiscard]] Used Use(StateEntry& entry);
  // Of what these processes use the one made last; null: of what is not prepared. No bytes: any.
  [[nodiscard]] StateEntry* FindFitting(const RegionKey& key, std::size_t bytes,
                                        const StateContents::Living* used_by);
  [[nodiscard]] std::uint64_t Now() const noexcept {
    return contents_.head.engine_ns.load(std::memory_order_relaxed);
  }

  const std::string path_;
  const int file_;
  StateContents& contents_;
  Owners& owners_;
  std::atomic<std::uint64_t> file_bytes_;  // Relaxed.
};

}  // namespace sluicegate::table
