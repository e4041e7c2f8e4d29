// SignalFeed: the signals that a program passes on to the one that it wraps, as an event loop reads
// them. Bound to the thread that made it, which must be the first one: the others inherit what is
// blocked. One at a time in a process; undone at its end.
#pragma once

#include <csignal>
#include <optional>

namespace sluicegate::pipe {

class SignalFeed {
 public:
  struct Signal {
    int number = 0;
    /// The terminal sent it to the whole process group, as it does when a key is pressed.
    bool reached_server = false;
  };

  /// Takes SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2 and SIGCHLD. What was ignored before
  /// stays ignored. A pipe that breaks is no signal any more.
  SignalFeed();
  ~SignalFeed();
  SignalFeed(const SignalFeed&) = delete;
  SignalFeed& operator=(const SignalFeed&) = delete;

  /// Readable while a signal waits.
  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }
  /// The next one that waits.
  [[nodiscard]] std::optional<Signal> Next() noexcept;
  /// In a process that was just forked: makes all as it was. Safe in a signal handler.
  void Restore() const noexcept;

 private:
  sigset_t before_{};
  struct sigaction pipe_before_{};
  struct sigaction child_before_{};
  int descriptor_ = -1;
};

}  // namespace sluicegate::pipe
