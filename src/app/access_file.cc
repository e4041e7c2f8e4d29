#include "app/access_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

namespace sluicegate::app {
namespace {

std::string MendOf(int error) {
  switch (error) {
    case ENOENT:
      return "Make its folder first.";
    case ENXIO:
      return "It is a pipe that nobody reads: start its reader first.";
    case EISDIR:
      return "It is a folder: name a file in it.";
    default:
      return "Name a file that this program may append to, or write off.";
  }
}

std::unexpected<std::string> Refuse(const std::string& path, int error) {
  return std::unexpected(
      fmt::format("{} cannot be opened: {}. {}", path, std::strerror(error), MendOf(error)));
}

bool MayUse(const std::string& path, int how) {
  return ::faccessat(AT_FDCWD, path.c_str(), how, AT_EACCESS) == 0;
}

}  // namespace

std::expected<void, std::string> AccessFile::Check(const std::string& path) {
  if (path.empty() || path == "-") return {};
  struct stat about{};
  if (::stat(path.c_str(), &about) == 0) {
    if (S_ISDIR(about.st_mode)) return Refuse(path, EISDIR);
    if (!MayUse(path, W_OK)) return Refuse(path, errno);
    return {};
  }
  if (errno != ENOENT) return Refuse(path, errno);
  const std::string parent = std::filesystem::path(path).parent_path();
  const std::string folder = parent.empty() ? "." : parent;
  if (!MayUse(folder, W_OK | X_OK)) return Refuse(path, errno);
  return {};
}

std::expected<std::shared_ptr<AccessFile>, std::string> AccessFile::Open(const std::string& path) {
  if (path.empty()) return nullptr;
  if (path == "-") {
    return std::make_shared<AccessFile>("standard output", net::FileDescriptor());
  }
  constexpr mode_t kMode = 0640;
  // Without O_NONBLOCK a pipe would be waited for.
  net::FileDescriptor file(::open(
      path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, kMode));
  if (!file.is_open()) return Refuse(path, errno);
  return std::make_shared<AccessFile>(path, std::move(file));
}

AccessFile::AccessFile(std::string name, net::FileDescriptor descriptor)
    : name_(std::move(name)), descriptor_(std::move(descriptor)) {
  struct stat about{};
  regular_ = ::fstat(this->descriptor(), &about) == 0 && S_ISREG(about.st_mode);
}

int AccessFile::descriptor() const noexcept {
  return descriptor_.is_open() ? descriptor_.get() : STDOUT_FILENO;
}

// Standard output is shared with other processes, so it must stay as it is, which may be blocking:
// a pipe that is ready takes this much at once, and nothing of others' comes between. So lines are
// written whole, but for those that are longer.
std::expected<std::size_t, int> AccessFile::Write(std::string_view bytes) noexcept {
  constexpr std::size_t kPipeTakes = 4096;
  if (!regular_) {
    if (!AwaitRoom(0)) return std::unexpected(EAGAIN);
    if (bytes.size() > kPipeTakes) {
      const std::size_t end = bytes.rfind('\n', kPipeTakes - 1);
      bytes = bytes.substr(0, end == std::string_view::npos ? kPipeTakes : end + 1);
    }
  }
  const ssize_t written = ::write(descriptor(), bytes.data(), bytes.size());
  if (written >= 0) return static_cast<std::size_t>(written);
  return std::unexpected(errno == EINTR ? EAGAIN : errno);
}

bool AccessFile::AwaitRoom(int milliseconds) const noexcept {
  if (regular_) return true;
  pollfd wait{.fd = descriptor(), .events = POLLOUT, .revents = 0};
  return ::poll(&wait, 1, milliseconds) > 0;
}

}  // namespace sluicegate::app
