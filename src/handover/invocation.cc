#include "handover/invocation.h"

#include <unistd.h>

#include <array>

namespace sluicegate::handover {

Invocation Invocation::Of(int argc, const char* const* argv) {
  // Read now: the name that the file has is another once it was replaced.
  std::array<char, 4096> path{};
  const ssize_t size = ::readlink("/proc/self/exe", path.data(), path.size());
  return {.command = {argv, argv + argc},
          .program = std::string(path.data(), size > 0 ? static_cast<std::size_t>(size) : 0)};
}

}  // namespace sluicegate::handover
