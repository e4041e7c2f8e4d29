// AccessFile: where the access log is written: a file, or standard output. Bound to one thread at a
// time, but for what says otherwise. Neither copies nor moves; closed with the last who shares it.
#pragma once

#include <expected>
#include <memory>
#include <string>
#include <string_view>

#include "net/file_descriptor.h"

namespace sluicegate::app {

class AccessFile {
 public:
  /// `path` as the policy has it: "-" is standard output; empty: none, and so is what this gives. A
  /// file is made where there is none (mode 0640) and appended to. Never waits, also for a pipe
  /// that nobody reads. The error says what is wrong, and the mend.
  [[nodiscard]] static std::expected<std::shared_ptr<AccessFile>, std::string> Open(
      const std::string& path);
  /// Whether Open would do, as far as can be told without making a file or opening a pipe. The
  /// error is that of Open.
  [[nodiscard]] static std::expected<void, std::string> Check(const std::string& path);
  /// Writes to standard output, or to `descriptor` if that is open.
  AccessFile(std::string name, net::FileDescriptor descriptor);
  AccessFile(const AccessFile&) = delete;
  AccessFile& operator=(const AccessFile&) = delete;

  /// Writes what fits without waiting. The bytes, or errno; EAGAIN: nothing fits.
  [[nodiscard]] std::expected<std::size_t, int> Write(std::string_view bytes) noexcept;
  /// Waits until something fits, at most so long. True: perhaps it does.
  [[nodiscard]] bool AwaitRoom(int milliseconds) const noexcept;
  /// For messages. Constant, so thread-safe.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

 private:
  [[nodiscard]] int descriptor() const noexcept;

  const std::string name_;
  const net::FileDescriptor descriptor_;
  bool regular_ = false;  // A file on a disk, which always takes.
};

}  // namespace sluicegate::app
