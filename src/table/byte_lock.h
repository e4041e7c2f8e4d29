// Locks of the kernel on single bytes of a file, which it drops when their holder is gone, however
// that ended. Thread-safe.
#pragma once

#include <cstdint>

namespace sluicegate::table {

/// Where in a file the locks lie: bytes far beyond its end, which nobody reads or writes.
inline constexpr std::int64_t kLockBytes = std::int64_t{1} << 62U;

/// An open file, and who holds what is locked by way of it. A value type.
struct LockFile {
  int file = -1;
  /// False: its open file description, until the last descriptor and the last mapping of that are
  /// gone. True: this process, until it ends or closes any descriptor of the file (POSIX record
  /// locks). Either kind keeps the other out.
  bool by_process = false;
};

/// False: another holder has it.
[[nodiscard]] bool TryLockByte(LockFile file, std::int64_t byte) noexcept;
void UnlockByte(LockFile file, std::int64_t byte) noexcept;
/// Whether another holder has it. An error counts as yes.
[[nodiscard]] bool IsByteLocked(LockFile file, std::int64_t byte) noexcept;

/// The same file once more, with locks of its own: by way of the descriptor itself, as the file may
/// have lost its name. Closes with exec. -1: errno says why.
[[nodiscard]] int OpenAgain(int file) noexcept;

}  // namespace sluicegate::table
