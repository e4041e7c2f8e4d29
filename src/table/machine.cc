#include "table/machine.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace sluicegate::table {
namespace {

// 32 digits and four dashes.
std::array<char, 36> ReadBootId() noexcept {
  std::array<char, 36> text{};
  const int file = ::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  if (file < 0) return text;
  if (::read(file, text.data(), text.size()) != static_cast<ssize_t>(text.size())) text = {};
  ::close(file);
  return text;
}

}  // namespace

Machine Machine::Here() noexcept {
  const Now now = SystemClock().Read();
  Machine machine{
      .boot_id = {}, .time_namespace = 0, .boottime_ns = now.engine_ns, .unix_ns = now.unix_ns};
  struct stat about{};
  if (::stat("/proc/self/ns/time", &about) == 0) machine.time_namespace = about.st_ino;
  std::size_t digits = 0;
  for (const char c : ReadBootId()) {
    if (c == '-' || c == '\0' || digits == 32) continue;
    const auto value = static_cast<unsigned>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    machine.boot_id[digits / 2] |= static_cast<std::byte>(value << (digits % 2 == 0 ? 4U : 0U));
    ++digits;
  }
  return machine;
}

}  // namespace sluicegate::table
