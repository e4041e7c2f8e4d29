// OpenFile and DirectoryLock: what a StateFile holds while it opens a file, and while it changes
// its directory. Bound to one thread; neither copies nor moves.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <string_view>
#include <utility>

#include "table/bucket.h"
#include "table/owners.h"

namespace sluicegate::table {

inline constexpr std::int64_t kDirectoryByte = kLockBytes + Owners::kMost;

/// The same file once more, with locks of its own: by way of the descriptor itself, as the file may
/// have lost its name. Closes with exec. -1: errno says why.
[[nodiscard]] inline int OpenAgain(int file) noexcept {
  constexpr std::string_view kFolder = "/proc/self/fd/";
  std::array<char, 32> path{};
  kFolder.copy(path.data(), kFolder.size());
  std::to_chars(path.data() + kFolder.size(), path.data() + path.size() - 1, file);
  return ::open(path.data(), O_RDWR | O_CLOEXEC);
}

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
/// milliseconds, or copies a table; a process that is stopped meanwhile must not stop all others.
class DirectoryLock {
 public:
  explicit DirectoryLock(int file) noexcept : file_(file) {
    constexpr unsigned kNaps = 10'000;  // Of a millisecond.
    for (unsigned naps = 0; naps < kNaps; ++naps) {
      held_ = TryLockByte(file_, kDirectoryByte);
      if (held_) return;
      Nap(std::chrono::milliseconds(1));
    }
  }
  ~DirectoryLock() {
    if (held_) UnlockByte(file_, kDirectoryByte);
  }
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;
  [[nodiscard]] bool held() const noexcept { return held_; }

 private:
  const int file_;
  bool held_ = false;
};

}  // namespace sluicegate::table
