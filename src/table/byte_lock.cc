#include "table/byte_lock.h"

#include <fcntl.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <string_view>

namespace sluicegate::table {
namespace {

struct Command {
  int by_description;
  int by_process;
};
constexpr Command kSet{.by_description = F_OFD_SETLK, .by_process = F_SETLK};
constexpr Command kGet{.by_description = F_OFD_GETLK, .by_process = F_GETLK};

int Do(Command command, LockFile file, std::int64_t byte, short type, struct flock& lock) noexcept {
  lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = byte;
  lock.l_len = 1;
  int result = 0;
  do {
    result =
        ::fcntl(file.file, file.by_process ? command.by_process : command.by_description, &lock);
  } while (result != 0 && errno == EINTR);
  return result;
}

}  // namespace

bool TryLockByte(LockFile file, std::int64_t byte) noexcept {
  struct flock lock{};
  return Do(kSet, file, byte, F_WRLCK, lock) == 0;
}

void UnlockByte(LockFile file, std::int64_t byte) noexcept {
  struct flock lock{};
  (void)Do(kSet, file, byte, F_UNLCK, lock);
}

bool IsByteLocked(LockFile file, std::int64_t byte) noexcept {
  struct flock lock{};
  return Do(kGet, file, byte, F_WRLCK, lock) != 0 || lock.l_type != F_UNLCK;
}

int OpenAgain(int file) noexcept {
  constexpr std::string_view kFolder = "/proc/self/fd/";
  std::array<char, 32> path{};
  kFolder.copy(path.data(), kFolder.size());
  std::to_chars(path.data() + kFolder.size(), path.data() + path.size() - 1, file);
  return ::open(path.data(), O_RDWR | O_CLOEXEC);
}

}  // namespace sluicegate::table
