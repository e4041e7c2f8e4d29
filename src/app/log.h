// The program's log: lines on standard error, written by a thread of its own so that a slow reader
// of the log never holds an event loop up.
#pragma once

#include <cstddef>
#include <string_view>

namespace sluicegate::app {

/// Starts logging and stops it when it goes out of scope (what is queued is written first). One
/// object for the program; spdlog's functions are thread-safe while it lives.
class Log {
 public:
  /// Lines that wait for a slow reader. Beyond it the oldest is dropped.
  static constexpr std::size_t kQueueLines = 4096;

  /// `level`: "debug", "info", "warning", "error" or "off".
  explicit Log(std::string_view level);
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;
};

}  // namespace sluicegate::app
