// Successor: the program started anew, from this process, to take its place: the same command line
// and environment, with the listening sockets. Bound to one thread. Its end ends a process that did
// not say that it serves.
#pragma once

#include <array>
#include <cstddef>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "handover/handed_doors.h"
#include "net/file_descriptor.h"

namespace sluicegate::handover {

class Successor {
 public:
  static constexpr char kReady = '\x06';  ///< What it says when it serves; else a reason.
  /// Bytes of a reason. A pipe takes so many at once.
  static constexpr std::size_t kMostReason = 4096;

  /// Runs `command`, whose first word is looked for as a shell would, and if it is not found,
  /// `otherwise`. The descriptors of `doors` are this process's, and stay so. The error is a
  /// reason. REQUIRES: `command` is not empty; descriptors 0, 1 and 2 are open.
  [[nodiscard]] static std::expected<std::unique_ptr<Successor>, std::string> Start(
      const std::vector<std::string>& command, const std::string& otherwise, HandedDoors doors);
  ~Successor();
  Successor(const Successor&) = delete;
  Successor& operator=(const Successor&) = delete;

  [[nodiscard]] int pid() const noexcept { return pid_; }
  /// Readable when it says something, or ended.
  [[nodiscard]] int descriptor() const noexcept { return words_.get(); }

  /// What became of it: nothing yet; true: it serves, and is left alone from now on; or why it does
  /// not. To be asked when the descriptor is readable.
  [[nodiscard]] std::optional<std::expected<void, std::string>> Look();

 private:
  Successor(int pid, net::FileDescriptor words) : pid_(pid), words_(std::move(words)) {}
  [[nodiscard]] std::string ReasonOfEnd();
  int End() noexcept;

  int pid_;
  net::FileDescriptor words_;
  std::string said_;
  bool serves_ = false;
  bool ended_ = false;
};

}  // namespace sluicegate::handover
