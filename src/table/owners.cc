#include "table/owners.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <mutex>
#include <new>

#include "table/mapping.h"

namespace sluicegate::table {
namespace {

// All owners of the process. A fork needs them: the one thread that a child has must neither find
// the mutex taken nor keep the parent's locks alive. The system calls its handlers without an
// argument, so this cannot be passed to them.
std::mutex all_mutex;     // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)
Owners* first = nullptr;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

// Of one slot, in the bits of all.
struct SlotBit {
  explicit SlotBit(unsigned slot) noexcept
      : word(slot / 64), mask(std::uint64_t{1} << (slot % 64)) {}
  void Set(Owners::Part& part) const noexcept {
    part.users[word].fetch_or(mask, std::memory_order_seq_cst);
  }
  void Clear(Owners::Part& part) const noexcept {
    if ((part.users[word].load(std::memory_order_relaxed) & mask) == 0) return;
    part.users[word].fetch_and(~mask, std::memory_order_release);
  }

  unsigned word;
  std::uint64_t mask;
};

}  // namespace

struct ForkHandlers {
  // What this process uses is not given away, whatever the turn was left at by one that was killed
  // while it looked.
  static void Prepare() noexcept {
    all_mutex.lock();
    for (Owners* owners = first; owners != nullptr; owners = owners->next_) {
      if (owners->own_->word.load(std::memory_order_relaxed) == 0) continue;
      for (Owners::Used& used : owners->used_) {
        used.turn = owners->shared_.parts[used.part].turn.load(std::memory_order_relaxed);
      }
    }
  }
  static void InParent() noexcept { all_mutex.unlock(); }
  static void InChild() noexcept {
    for (Owners* owners = first; owners != nullptr; owners = owners->next_) {
      new (&owners->threads_) std::mutex;  // Whoever held it is not here.
      owners->pid_ = 0;  // In a namespace of its own a child may have its parent's number.
      (void)owners->TakeAny();
    }
    all_mutex.unlock();
  }
  static void Install() noexcept {
    static const bool installed = [] {
      ::pthread_atfork(&Prepare, &InParent, &InChild);
      return true;
    }();
    (void)installed;
  }
};

// A page of the file is written out within half a minute: a hundred processes a second on one slot.
void Owners::SkipGenerations(Shared& shared) noexcept {
  constexpr std::uint32_t kSkipped = 4096;
  for (Slot& slot : shared.slots) {
    const std::uint32_t last = slot.generation.load(std::memory_order_relaxed);
    slot.generation.store((last + kSkipped) % kGenerations + 1, std::memory_order_relaxed);
  }
}

std::unique_ptr<Owners> Owners::Create(Shared& shared, Descriptors descriptors) {
  void* page = ::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return nullptr;
  if (::madvise(page, kPage, MADV_WIPEONFORK) != 0) {
    ::munmap(page, kPage);
    return nullptr;
  }
  ForkHandlers::Install();
  (void)Gone();  // Made before any thread has a table, as Table::Depart hands it on relaxed.
  return std::unique_ptr<Owners>(new Owners(shared, descriptors, new (page) Own{}));
}

Owners::Owners(Shared& shared, Descriptors descriptors, Own* own) noexcept
    : shared_(shared), descriptors_(descriptors), own_(own), pid_(::getpid()) {
  const std::lock_guard lock(all_mutex);
  next_ = first;
  before_ = &first;
  if (first != nullptr) first->before_ = &next_;
  first = this;
}

Owners::~Owners() {
  {
    const std::lock_guard lock(all_mutex);
    *before_ = next_;
    if (next_ != nullptr) next_->before_ = before_;
    const std::uint32_t word = own_->word.load(std::memory_order_relaxed);
    if (word != 0) UnlockByte(lock_file(), kLockBytes + word % kMost);
  }
  ::munmap(own_, kPage);
}

// Onto the same descriptor, which others go on using. Where the system will never let this process
// open it: in its place at least not the parent's, whose locks would live as long as this process.
bool Owners::OpenOwn() noexcept {
  const int fresh = OpenAgain(descriptors_.locks);
  const bool never = fresh < 0 && (errno == EACCES || errno == EPERM || errno == ENOENT);
  if (fresh < 0 && !never) return false;
  const bool moved = ::dup3(never ? descriptors_.file : fresh, descriptors_.locks, O_CLOEXEC) >= 0;
  if (fresh >= 0) ::close(fresh);
  if (!moved) return false;
  by_process_.store(never, std::memory_order_relaxed);
  pid_ = ::getpid();
  return true;
}

// Who gives a part away raises its turn, and then looks for users; who comes to use one says so,
// and then looks at the turn. So one of the two sees the other.
std::uint32_t Owners::Enter(unsigned slot) noexcept {
  const SlotBit bit(slot);
  for (Part& part : shared_.parts) bit.Clear(part);  // What the one before had used.
  bool are_there = true;
  for (const Used& used : used_) {
    Part& part = shared_.parts[used.part];
    bit.Set(part);
    are_there = are_there && part.turn.load(std::memory_order_seq_cst) == used.turn;
  }
  if (!are_there) {
    for (const Used& used : used_) bit.Clear(shared_.parts[used.part]);
    UnlockByte(lock_file(), kLockBytes + slot);
    return 0;
  }
  Slot& mine = shared_.slots[slot];
  // Whatever the file had there.
  const std::uint32_t generation =
      mine.generation.load(std::memory_order_relaxed) % kGenerations + 1;
  mine.pid.store(static_cast<std::uint32_t>(pid_), std::memory_order_relaxed);
  mine.generation.store(generation, std::memory_order_release);
  own_->word.store(generation * kMost + slot, std::memory_order_release);
  return generation * kMost + slot;
}

// Never destroyed, and in no list: a fork has nothing to do with it.
Owners& Owners::Gone() {
  static auto* const shared = new Shared{};
  static auto* const gone = new Owners(*shared);
  return *gone;
}

// Under the mutex of all.
std::uint32_t Owners::TakeAny() noexcept {
  const std::uint32_t word = own_->word.load(std::memory_order_relaxed);
  if (word != 0) return word;  // Another thread was faster.
  if (pid_ != ::getpid() && !OpenOwn()) return 0;
  for (unsigned slot = 0; slot < kMost; ++slot) {
    if (TryLockByte(lock_file(), kLockBytes + slot)) return Enter(slot);
  }
  return 0;
}

std::uint32_t Owners::Take() noexcept {
  if (are_gone()) return 0;
  const std::lock_guard lock(all_mutex);
  return TakeAny();
}

// The generation is looked at before and after: a process that takes the slot in between locks it
// first and writes its generation then. None at all means that the file was cut.
bool Owners::IsDead(std::uint32_t word) const noexcept {
  if (word == own_->word.load(std::memory_order_acquire)) return false;
  const unsigned slot = word % kMost;
  const auto left = [&] {
    const std::uint32_t now = shared_.slots[slot].generation.load(std::memory_order_acquire);
    return now != 0 && now != word / kMost;
  };
  return left() || !IsByteLocked(lock_file(), kLockBytes + slot) || left();
}

Owners::Hold Owners::Use(unsigned part) {
  const std::lock_guard lock(all_mutex);
  Part& it = shared_.parts[part];
  used_.push_back({.part = part, .turn = it.turn.load(std::memory_order_relaxed)});
  SlotBit(own_->word.load(std::memory_order_relaxed) % kMost).Set(it);
  return {*this, part};
}

void Owners::Leave(unsigned part) noexcept {
  const std::lock_guard lock(all_mutex);
  const auto found = std::ranges::find(used_, part, &Used::part);
  if (found == used_.end()) return;
  used_.erase(found);
  const std::uint32_t word = own_->word.load(std::memory_order_relaxed);
  if (word == 0 || std::ranges::find(used_, part, &Used::part) != used_.end()) return;
  SlotBit(word % kMost).Clear(shared_.parts[part]);
}

std::bitset<Owners::kMostParts> Owners::UsedParts() const noexcept {
  const std::lock_guard lock(all_mutex);
  std::bitset<kMostParts> parts;
  for (const Used& used : used_) parts.set(used.part);
  return parts;
}

// Another description than that of the locks sees the process' own.
void Owners::Renew() noexcept {
  const std::lock_guard lock(all_mutex);
  const std::uint32_t word = own_->word.load(std::memory_order_relaxed);
  if (word == 0 || !by_process_.load(std::memory_order_relaxed)) return;
  if (IsByteLocked({.file = descriptors_.file}, kLockBytes + word % kMost)) return;
  own_->word.store(0, std::memory_order_relaxed);
  (void)TakeAny();
}

bool Owners::IsUsed(const Part& part, const std::bitset<kMost>& living) noexcept {
  for (unsigned slot = 0; slot < kMost; ++slot) {
    const SlotBit bit(slot);
    if (!living[slot]) continue;
    if ((part.users[bit.word].load(std::memory_order_relaxed) & bit.mask) != 0) return true;
  }
  return false;
}

bool Owners::IsUsedByLiving(unsigned part) const noexcept {
  const std::uint32_t own = own_->word.load(std::memory_order_acquire);
  const auto& users = shared_.parts[part].users;
  for (unsigned i = 0; i < users.size(); ++i) {
    std::uint64_t bits = users[i].load(std::memory_order_seq_cst);
    for (; bits != 0; bits &= bits - 1) {
      const unsigned slot = i * 64 + static_cast<unsigned>(std::countr_zero(bits));
      if (own != 0 && slot == own % kMost) return true;
      if (IsByteLocked(lock_file(), kLockBytes + slot)) return true;
    }
  }
  return false;
}

bool Owners::GiveAway(unsigned part) noexcept {
  if (IsUsedByLiving(part)) return false;
  std::atomic<std::uint64_t>& turn = shared_.parts[part].turn;
  const std::uint64_t before = turn.load(std::memory_order_relaxed);
  turn.store(before + 1, std::memory_order_seq_cst);
  if (!IsUsedByLiving(part)) return true;
  turn.store(before, std::memory_order_release);
  return false;
}

std::bitset<Owners::kMost> Owners::WithOwn(std::bitset<kMost> others) const noexcept {
  const std::uint32_t own = own_->word.load(std::memory_order_acquire);
  if (own != 0) others.set(own % kMost);
  return others;
}

std::bitset<Owners::kMost> Owners::Others(LockFile file) noexcept {
  std::bitset<kMost> others;
  for (unsigned slot = 0; slot < kMost; ++slot) {
    others[slot] = IsByteLocked(file, kLockBytes + slot);
  }
  return others;
}

}  // namespace sluicegate::table
