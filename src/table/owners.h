// Owners: which processes share a file, what of it each uses, and which of them are dead.
//
// A process takes a slot by the kernel's lock on a byte of the file that belongs to it; that is
// dropped when the process ends, however it ends, across pid namespaces. What it writes into locks
// of its own is its word: the slot, and how many processes had the slot before it. A word is dead
// if its slot has another process now, or none.
//
// A forked child has a slot of its own from its first moment (of a fork that calls no handlers:
// from the first time that it asks for its word): the page with the word is wiped when a process
// forks, and the file is opened anew, as a child would keep its parent's lock alive by the open
// file that it has inherited. Where it may not open it, its locks are the process' own.
//
// The file is in parts, which are given to one after the other. A process says what it uses by a
// bit for its slot; a part is given away once no living process does. A child uses what its parent
// did, and finds out when it takes its slot whether that is still there. Every child of a fork has
// a slot, whether it ever asks for its word or not, until it ends or becomes another program.
//
// Thread-safe. Owns nothing but its slot; neither copies nor moves. The slots lie in the file.
#pragma once

#include <array>
#include <atomic>
#include <bitset>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "table/byte_lock.h"

namespace sluicegate::table {

class Owners {
 public:
  static constexpr unsigned kMost = 256;        ///< Processes at once.
  static constexpr unsigned kMostParts = 1024;  ///< Of the file.
  /// In the file; all zero: never used.
  struct Slot {
    std::atomic<std::uint32_t> generation;  ///< 1 to kGenerations: counts its processes, and wraps.
    std::atomic<std::uint32_t> pid;         ///< As its own namespace has it: for people.
  };
  /// In the file; all zero: never used.
  struct Part {
    std::atomic<std::uint64_t> turn;                           ///< Goes up when it is given away.
    std::array<std::atomic<std::uint64_t>, kMost / 64> users;  ///< A bit for each slot.
  };
  struct Shared {
    std::array<Slot, kMost> slots;
    std::array<Part, kMostParts> parts;
  };

  struct Descriptors {
    int file = -1;  ///< What is mapped.
    /// Of the same file, for locks: the only descriptor of its open file description in this
    /// process, and nothing is mapped by it, as a forked child would keep the locks alive.
    int locks = -1;
  };
  /// After a boot: no word of before may be a later process', though the machine lost its power and
  /// the file does not know of the last ones who had a slot. REQUIRES: nobody has one.
  static void SkipGenerations(Shared& shared) noexcept;
  /// The descriptors and `shared` outlive this. Null: the system has no page for the word.
  [[nodiscard]] static std::unique_ptr<Owners> Create(Shared& shared, Descriptors descriptors);
  /// Lets go of the slot.
  ~Owners();
  Owners(const Owners&) = delete;
  Owners& operator=(const Owners&) = delete;

  /// What this process writes into locks; takes a slot if it has none. 0: all are taken, or what a
  /// parent used was given away before this process had one.
  [[nodiscard]] std::uint32_t Word() noexcept {
    const std::uint32_t word = own_->word.load(std::memory_order_relaxed);
    return word != 0 ? word : Take();
  }
  /// Whether no process of that word lives. False for this process' own. For waiters: one or two
  /// system calls.
  [[nodiscard]] bool IsDead(std::uint32_t word) const noexcept;

  /// As long as it lives the part is not given away. Moves, and does not copy. The owners outlive
  /// it.
  class Hold {
   public:
    Hold() noexcept = default;  ///< Of nothing.
    Hold(Owners& owners, unsigned part) noexcept : owners_(&owners), part_(part) {}
    Hold(Hold&& other) noexcept
        : owners_(std::exchange(other.owners_, nullptr)), part_(other.part_) {}
    Hold& operator=(Hold&& other) noexcept {
      Reset();
      owners_ = std::exchange(other.owners_, nullptr);
      part_ = other.part_;
      return *this;
    }
    ~Hold() { Reset(); }
    void Reset() noexcept {
      if (owners_ != nullptr) std::exchange(owners_, nullptr)->Leave(part_);
    }

   private:
    Owners* owners_ = nullptr;
    unsigned part_ = 0;
  };
  /// REQUIRES: this process has a word, and nobody gives parts away meanwhile.
  [[nodiscard]] Hold Use(unsigned part);
  /// What this process uses.
  [[nodiscard]] std::bitset<kMostParts> UsedParts() const noexcept;
  /// Which slots living processes have, this one's too. 256 system calls, some 50 us.
  [[nodiscard]] std::bitset<kMost> Living() const noexcept { return WithOwn(Others(lock_file())); }
  [[nodiscard]] std::bitset<kMost> WithOwn(std::bitset<kMost> others) const noexcept;
  /// Whether one of these uses it. Pure.
  [[nodiscard]] static bool IsUsed(const Part& part, const std::bitset<kMost>& living) noexcept;
  /// False: a living process uses it. REQUIRES: nobody else gives parts away or begins to use one,
  /// but by a fork.
  [[nodiscard]] bool GiveAway(unsigned part) noexcept;

  /// For who locks more by way of lock_file(): all threads of a process are one holder. A fork
  /// renews it.
  [[nodiscard]] std::mutex& threads() noexcept { return threads_; }
  /// Call it once a second or so: where the process' locks are its own, whoever closed a descriptor
  /// of the file in it has let go of them. Then it takes another slot.
  void Renew() noexcept;
  [[nodiscard]] LockFile lock_file() const noexcept {
    return {.file = descriptors_.locks, .by_process = by_process_.load(std::memory_order_relaxed)};
  }
  /// Stands for the owners in a table that this process has left: has no word, for ever.
  [[nodiscard]] static Owners& Gone();
  [[nodiscard]] bool are_gone() const noexcept { return descriptors_.file < 0; }
  /// Which slots other holders of locks have now.
  [[nodiscard]] static std::bitset<kMost> Others(LockFile file) noexcept;

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

  // What this process uses, and whose turn it was then.
  struct Used {
    unsigned part = 0;
    std::uint64_t turn = 0;
  };

  explicit Owners(Shared& shared) : shared_(shared), own_(new Own{}), pid_(0) {}
  Owners(Shared& shared, Descriptors descriptors, Own* own) noexcept;
  [[nodiscard]] std::uint32_t Take() noexcept;
  [[nodiscard]] std::uint32_t TakeAny() noexcept;
  [[nodiscard]] std::uint32_t Enter(unsigned slot) noexcept;
  [[nodiscard]] bool IsUsedByLiving(unsigned part) const noexcept;
  void Leave(unsigned part) noexcept;
  [[nodiscard]] bool OpenOwn() noexcept;
  friend struct ForkHandlers;

  Shared& shared_;
  const Descriptors descriptors_;
  std::atomic<bool> by_process_{false};  // Changes before this process has its word.
  Own* const own_;
  std::mutex threads_;
  // Guarded by the mutex of all, as is the list.
  int pid_;  // Who opened the file.
  std::vector<Used> used_;
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
