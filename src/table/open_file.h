// OpenFile and DirectoryLock: what a StateFile holds while it opens a file, and while it changes
// its directory; and how it says what is wrong. Bound to one thread; neither copies nor moves.
#pragma once

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

#include "table/bucket.h"
#include "table/byte_lock.h"
#include "table/owners.h"

namespace sluicegate::table {

inline constexpr std::int64_t kDirectoryByte = kLockBytes + Owners::kMost;

[[nodiscard]] inline std::unexpected<std::string> Refused(const std::string& path,
                                                          std::string_view why) {
  return std::unexpected("state file " + path + ": " + std::string(why));
}
inline constexpr std::string_view kBusy =
    "another process has locked it for 10 seconds. End the one that is stopped, or let it go on.";
inline constexpr std::string_view kNoSlot =
    "this process has no place in it: 256 processes are attached, children of forks included, "
    "which "
    "is the most; or it was forked in the moment of a reload. End some, or start it anew.";

/// Closes at the end, unless somebody took it.
class OpenFile {
 public:
  explicit OpenFile(int file) noexcept : file_(file) {}
  ~OpenFile() {
    if (file_ >= 0) ::close(file_);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  [[nodiscard]] int get() const noexcept { return file_; }
  [[nodiscard]] int Release() noexcept { return std::exchange(file_, -1); }
  void Reset(int file) noexcept {
    if (file_ >= 0) ::close(file_);
    file_ = file;
  }

 private:
  int file_;
};

/// The directory's lock, which the kernel takes off who dies. Whoever holds it works for
/// milliseconds; a process that is stopped meanwhile must not stop all others.
class DirectoryLock {
 public:
  enum class Patience : std::uint8_t { kNone, kTenSeconds };
  explicit DirectoryLock(LockFile file, Patience patience = Patience::kTenSeconds) noexcept
      : file_(file), held_(TryLockByte(file, kDirectoryByte)) {
    const unsigned naps = patience == Patience::kNone ? 0 : 10'000;  // Of a millisecond.
    for (unsigned i = 0; i < naps && !held_; ++i) {
      Nap(std::chrono::milliseconds(1));
      held_ = TryLockByte(file_, kDirectoryByte);
    }
  }
  ~DirectoryLock() {
    if (held_) UnlockByte(file_, kDirectoryByte);
  }
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;
  [[nodiscard]] bool held() const noexcept { return held_; }

 private:
  const LockFile file_;
  bool held_;
};

}  // namespace sluicegate::table
