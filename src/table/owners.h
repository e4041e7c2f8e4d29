// Owners: which processes hold locks in a file that they share, and which of these are dead.
//
// A process takes a slot by an OFD lock on a byte of the file that belongs to it; the kernel drops
// that lock when the process ends, however it ends, and says so across pid namespaces. What it
// writes into a lock is its word: the slot, and how many processes had the slot before it. A word
// is dead if its slot has another process now, or none.
//
// A child process has a slot of its own from the first time that it asks for its word: the page
// with the word is wiped when a process forks, and the file is opened anew, as a child keeps its
// parent's lock alive by the open file that it has inherited.
//
// Thread-safe. Owns nothing but its slot; neither copies nor moves. The slots lie in the file.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "table/byte_lock.h"

namespace sluicegate::table {

class Owners {
 public:
  static constexpr unsigned kMost = 256;  ///< Processes at once.
  /// In the file; all zero: never used.
  struct Slot {
    std::atomic<std::uint32_t> generation;  ///< 1 to kGenerations: counts its processes, and wraps.
    std::atomic<std::uint32_t> pid;         ///< As its own namespace has it: for people.
  };
  struct Shared {
    /// Goes up when something is given to others that processes without a slot might still use.
    std::atomic<std::uint64_t> epoch;
    std::array<Slot, kMost> slots;
  };

  /// `file` is the only descriptor of its open file description in this process, and nothing is
  /// mapped by it: a forked child would keep its locks alive by its mappings. It and `shared`
  /// outlive this. Null: the system has no page for the word.
  [[nodiscard]] static std::unique_ptr<Owners> Create(Shared& shared, int file);
  /// Lets go of the slot.
  ~Owners();
  Owners(const Owners&) = delete;
  Owners& operator=(const Owners&) = delete;

  /// What this process writes into locks; takes a slot if it has none. 0: all are taken, or the
  /// file could not be opened again after a fork, or is of another epoch since this was made.
  [[nodiscard]] std::uint32_t Word() noexcept {
    const std::uint32_t word = own_->word.load(std::memory_order_relaxed);
    return word != 0 ? word : Take();
  }
  /// Whether no process of that word lives. False for this process' own. For waiters: one or two
  /// system calls.
  [[nodiscard]] bool IsDead(std::uint32_t word) const noexcept;
  /// Goes on in the epoch that this process has begun, and so do children that fork off from now
  /// on. REQUIRES: it has a word, so that nobody else has begun one since.
  void TakeEpoch() noexcept {
    epoch_.store(shared_.epoch.load(std::memory_order_relaxed), std::memory_order_relaxed);
  }
  /// Stands for the owners in a table that this process has left: has no word, for ever.
  [[nodiscard]] static Owners& Gone();
  [[nodiscard]] bool are_gone() const noexcept { return file_ < 0; }
  /// Slots that other open file descriptions of this file hold now.
  [[nodiscard]] static unsigned CountOthers(int file) noexcept;

  /// Buckets' locks that this process took over from a dead one. It counts from its start, or from
  /// the fork that made it; so does the one below.
  [[nodiscard]] std::uint64_t takeovers() const noexcept {
    return own_->takeovers.load(std::memory_order_relaxed);
  }
  /// Times that this process did not get a bucket's lock: a living one held it for too long, or
  /// this one had no word.
  [[nodiscard]] std::uint64_t stuck() const noexcept {
    return own_->stuck.load(std::memory_order_relaxed);
  }
  void CountTakeover() noexcept { own_->takeovers.fetch_add(1, std::memory_order_relaxed); }
  void CountStuck() noexcept { own_->stuck.fetch_add(1, std::memory_order_relaxed); }

 private:
  static constexpr std::uint32_t kGenerations = 0xFF'FFFE;  // No word is 0, or all ones.
  // Alone in its page, which a fork wipes: all zero is a process that has done nothing yet. Every
  // decision reads the word; the counts beside it change where one has waited long, and seldom.
  struct Own {
    std::atomic<std::uint32_t> word;
    std::atomic<std::uint64_t> takeovers;
    std::atomic<std::uint64_t> stuck;
  };

  explicit Owners(Shared& shared)
      : shared_(shared), file_(-1), epoch_(0), own_(new Own{}), pid_(0) {}
  Owners(Shared& shared, int file, Own* own) noexcept;
  [[nodiscard]] std::uint32_t Take() noexcept;
  [[nodiscard]] bool TryTake(unsigned slot) noexcept;
  [[nodiscard]] bool Reopen() noexcept;
  friend struct ForkHandlers;

  Shared& shared_;
  const int file_;
  std::atomic<std::uint64_t> epoch_;  // Relaxed.
  Own* const own_;
  int pid_;  // Who opened the file. Guarded by the mutex of all, as is the list.
  Owners* next_ = nullptr;
  Owners** before_ = nullptr;
};

/// What holders of a table that no other process has write into locks.
inline constexpr std::uint32_t kAlone = 1;

/// What a holder writes into a lock. `owners`: of a shared table; else null. 0: it cannot have it.
[[nodiscard]] inline std::uint32_t WordOf(Owners* owners) noexcept {
  return owners == nullptr ? kAlone : owners->Word();
}

}  // namespace sluicegate::table
