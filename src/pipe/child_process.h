// ChildProcess: a program that runs with pipes for its standard input and output, and our standard
// error. Bound to one thread. Owns our ends of the pipes, which never block; the program it leaves
// alone at its end, but if this process is killed, the program is, too.
#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace sluicegate::pipe {

class ChildProcess {
 public:
  /// How a program ended. A value type.
  struct End {
    int status = 0;  ///< Its exit status.
    int signal = 0;  ///< What ended it; 0: it exited.
  };
  struct Failure {
    int status = 126;  ///< As shells have it: 127 not found, 126 else.
    std::string what;  ///< And the mend.
  };

  /// Runs `command`, whose first word is looked for as a shell would. `prepare` is called in the
  /// new process and may only do what a signal handler may. REQUIRES: command is not empty;
  /// descriptors 0, 1 and 2 are open.
  [[nodiscard]] static std::expected<std::unique_ptr<ChildProcess>, Failure> Start(
      const std::vector<std::string>& command, const std::function<void()>& prepare);
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  [[nodiscard]] int input() const noexcept { return input_; }    ///< To write to; -1: closed.
  [[nodiscard]] int output() const noexcept { return output_; }  ///< To read from; -1: closed.
  void CloseInput() noexcept;
  void CloseOutput() noexcept;

  /// Nothing once it has ended.
  void Signal(int number) const noexcept;
  /// Looks whether it has ended. Ask after SIGCHLD.
  [[nodiscard]] const std::optional<End>& Look() noexcept;
  [[nodiscard]] const std::optional<End>& end() const noexcept { return end_; }

 private:
  ChildProcess(int pid, int input, int output) : pid_(pid), input_(input), output_(output) {}

  const int pid_;
  int input_;
  int output_;
  std::optional<End> end_;
};

/// Ends this process as that one ended: by the same signal without another dump of its memory, or
/// with the status that is returned. A process that no signal ends (a container's first one) gets
/// the status that shells give.
[[nodiscard]] int EndLike(const ChildProcess::End& end) noexcept;

}  // namespace sluicegate::pipe
