#include "table/owners.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

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

}  // namespace

struct ForkHandlers {
  static void Prepare() noexcept { all_mutex.lock(); }
  static void InParent() noexcept { all_mutex.unlock(); }
  static void InChild() noexcept {
    for (Owners* owners = first; owners != nullptr; owners = owners->next_) {
      (void)owners->Reopen();
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

std::unique_ptr<Owners> Owners::Create(Shared& shared, int file) {
  void* page = ::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return nullptr;
  if (::madvise(page, kPage, MADV_WIPEONFORK) != 0) {
    ::munmap(page, kPage);
    return nullptr;
  }
  ForkHandlers::Install();
  (void)Gone();  // Made before any thread has a table, as Table::Depart hands it on relaxed.
  return std::unique_ptr<Owners>(new Owners(shared, file, new (page) Own{}));
}

Owners::Owners(Shared& shared, int file, Own* own) noexcept
    : shared_(shared),
      file_(file),
      epoch_(shared.epoch.load(std::memory_order_acquire)),
      own_(own),
      pid_(::getpid()) {
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
    if (word != 0) UnlockByte(file_, kLockBytes + word % kMost);
  }
  ::munmap(own_, kPage);
}

// Onto the same descriptor, which others go on using.
bool Owners::Reopen() noexcept {
  const int fresh = OpenAgain(file_);
  if (fresh < 0) return false;
  const bool moved = ::dup3(fresh, file_, O_CLOEXEC) >= 0;
  ::close(fresh);
  if (moved) pid_ = ::getpid();
  return moved;
}

bool Owners::TryTake(unsigned slot) noexcept {
  if (!TryLockByte(file_, kLockBytes + slot)) return false;
  // Who gives things away raises the epoch, and then looks for locks.
  if (shared_.epoch.load(std::memory_order_seq_cst) != epoch_.load(std::memory_order_relaxed)) {
    UnlockByte(file_, kLockBytes + slot);
    return false;
  }
  Slot& mine = shared_.slots[slot];
  // Whatever the file had there.
  const std::uint32_t generation =
      mine.generation.load(std::memory_order_relaxed) % kGenerations + 1;
  mine.pid.store(static_cast<std::uint32_t>(pid_), std::memory_order_relaxed);
  mine.generation.store(generation, std::memory_order_release);
  own_->word.store(generation * kMost + slot, std::memory_order_release);
  return true;
}

// Never destroyed, and in no list: a fork has nothing to do with it.
Owners& Owners::Gone() {
  static auto* const shared = new Shared{};
  static auto* const gone = new Owners(*shared);
  return *gone;
}

std::uint32_t Owners::Take() noexcept {
  if (are_gone()) return 0;
  const std::lock_guard lock(all_mutex);
  const std::uint32_t word = own_->word.load(std::memory_order_relaxed);
  if (word != 0) return word;  // Another thread was faster.
  // A fork that called no handlers.
  if (pid_ != ::getpid() && !Reopen()) return 0;
  for (unsigned slot = 0; slot < kMost; ++slot) {
    if (TryTake(slot)) return own_->word.load(std::memory_order_relaxed);
  }
  return 0;
}

// The generation is looked at before and after: a process that takes the slot in between locks it
// first and writes its generation then. None at all means that the file was cut.
bool Owners::IsDead(std::uint32_t word) const noexcept {
  if (word == own_->word.load(std::memory_order_relaxed)) return false;
  const unsigned slot = word % kMost;
  const auto left = [&] {
    const std::uint32_t now = shared_.slots[slot].generation.load(std::memory_order_acquire);
    return now != 0 && now != word / kMost;
  };
  return left() || !IsByteLocked(file_, kLockBytes + slot) || left();
}

unsigned Owners::CountOthers(int file) noexcept {
  unsigned others = 0;
  for (unsigned slot = 0; slot < kMost; ++slot) {
    others += IsByteLocked(file, kLockBytes + slot) ? 1U : 0U;
  }
  return others;
}

}  // namespace sluicegate::table
