// Locks of the kernel on single bytes of an open file (open file description locks): it drops them
// when the last descriptor and the last mapping of their description are gone, however a process
// ended. Thread-safe.
#pragma once

#include <cstdint>

namespace sluicegate::table {

/// Where in a file the locks lie: bytes far beyond its end, which nobody reads or writes.
inline constexpr std::int64_t kLockBytes = std::int64_t{1} << 62U;

/// Locks one byte of an open file for its open file description; false: another one holds it.
[[nodiscard]] bool TryLockByte(int file, std::int64_t byte) noexcept;
void UnlockByte(int file, std::int64_t byte) noexcept;
/// Whether another open file description holds it. An error counts as yes.
[[nodiscard]] bool IsByteLocked(int file, std::int64_t byte) noexcept;

/// The same file once more, with locks of its own: by way of the descriptor itself, as the file may
/// have lost its name. Closes with exec. -1: errno says why.
[[nodiscard]] int OpenAgain(int file) noexcept;

}  // namespace sluicegate::table
