#include "pipe/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

namespace sluicegate::pipe {
namespace {

// A pipe whose ends are closed with it.
class Pipe {
 public:
  Pipe() : made_(::pipe2(ends_.data(), O_CLOEXEC) == 0) {}
  ~Pipe() {
    CloseReader();
    CloseWriter();
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  [[nodiscard]] bool made() const noexcept { return made_; }
  [[nodiscard]] int reader() const noexcept { return ends_[0]; }
  [[nodiscard]] int writer() const noexcept { return ends_[1]; }
  void CloseReader() noexcept { Close(ends_[0]); }
  void CloseWriter() noexcept { Close(ends_[1]); }
  [[nodiscard]] int TakeReader() noexcept { return std::exchange(ends_[0], -1); }
  [[nodiscard]] int TakeWriter() noexcept { return std::exchange(ends_[1], -1); }

 private:
  static void Close(int& end) noexcept {
    if (end >= 0) ::close(std::exchange(end, -1));
  }

  std::array<int, 2> ends_{-1, -1};
  const bool made_;
};

struct Launch {
  std::vector<char*> words;  // With a null behind them.
  const std::function<void()>& prepare;
  Pipe input;
  Pipe output;
  Pipe failure;  // Says errno if the program cannot be run; else nothing.
  pid_t parent = ::getpid();
};

// In the new process.
[[noreturn]] void Become(Launch& launch) {
  constexpr int kNotRun = 127;
  launch.prepare();
  // Who kills this process kills what it stands for.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const bool orphaned = ::getppid() != launch.parent;
  if (!orphaned && ::dup2(launch.input.reader(), STDIN_FILENO) >= 0 &&
      ::dup2(launch.output.writer(), STDOUT_FILENO) >= 0) {
    ::execvp(launch.words.front(), launch.words.data());
  }
  const int error = errno;
  static_cast<void>(::write(launch.failure.writer(), &error, sizeof(error)));
  ::_exit(kNotRun);
}

// What became of exec: 0, or its errno.
int ReadFailure(Pipe& failure) {
  failure.CloseWriter();
  int error = 0;
  ssize_t got = -1;
  do {
    got = ::read(failure.reader(), &error, sizeof(error));
  } while (got < 0 && errno == EINTR);
  return got == sizeof(error) ? error : 0;
}

ChildProcess::Failure NotRun(const std::string& program, int error) {
  if (error == ENOENT) {
    return {.status = 127,
            .what = fmt::format("'{}' is not found. Check its spelling, or write its whole path: "
                                "programs that start others often have a short PATH.",
                                program)};
  }
  const char* const mend = error == EACCES ? "Name a program that may be run (chmod +x makes it so)"
                                           : "Name a program of this machine";
  return {.status = 126,
          .what = fmt::format("'{}' cannot be run: {}. {}.", program, std::strerror(error), mend)};
}

ChildProcess::Failure NoProcess() {
  return {.status = 126,
          .what = fmt::format("no process can be started: {}. Raise the limit of processes or of "
                              "open files, or free memory.",
                              std::strerror(errno))};
}

bool NeverBlocks(int end) noexcept {
  return ::fcntl(end, F_SETFL, ::fcntl(end, F_GETFL) | O_NONBLOCK) == 0;
}

}  // namespace

std::expected<std::unique_ptr<ChildProcess>, ChildProcess::Failure> ChildProcess::Start(
    const std::vector<std::string>& command, const std::function<void()>& prepare) {
  Launch launch{.words = {}, .prepare = prepare, .input = {}, .output = {}, .failure = {}};
  for (const std::string& word : command) launch.words.push_back(const_cast<char*>(word.c_str()));
  launch.words.push_back(nullptr);
  if (!launch.input.made() || !launch.output.made() || !launch.failure.made()) {
    return std::unexpected(NoProcess());
  }
  const pid_t pid = ::fork();
  if (pid < 0) return std::unexpected(NoProcess());
  if (pid == 0) Become(launch);
  if (const int error = ReadFailure(launch.failure); error != 0) {
    ::waitpid(pid, nullptr, 0);
    return std::unexpected(NotRun(command.front(), error));
  }
  NeverBlocks(launch.input.writer());
  NeverBlocks(launch.output.reader());
  return std::unique_ptr<ChildProcess>(
      new ChildProcess(pid, launch.input.TakeWriter(), launch.output.TakeReader()));
}

ChildProcess::~ChildProcess() {
  CloseInput();
  CloseOutput();
}

void ChildProcess::CloseInput() noexcept {
  if (input_ >= 0) ::close(std::exchange(input_, -1));
}

void ChildProcess::CloseOutput() noexcept {
  if (output_ >= 0) ::close(std::exchange(output_, -1));
}

void ChildProcess::Signal(int number) const noexcept {
  if (!end_) ::kill(pid_, number);
}

const std::optional<ChildProcess::End>& ChildProcess::Look() noexcept {
  int status = 0;
  if (end_ || ::waitpid(pid_, &status, WNOHANG) != pid_) return end_;
  if (WIFSIGNALED(status)) {
    end_ = End{.status = 128 + WTERMSIG(status), .signal = WTERMSIG(status)};
  } else {
    end_ = End{.status = WEXITSTATUS(status), .signal = 0};
  }
  return end_;
}

int EndLike(const ChildProcess::End& end) noexcept {
  if (end.signal == 0) return end.status;
  const rlimit none{.rlim_cur = 0, .rlim_max = 0};
  ::setrlimit(RLIMIT_CORE, &none);
  std::signal(end.signal, SIG_DFL);
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, end.signal);
  ::pthread_sigmask(SIG_UNBLOCK, &only, nullptr);
  ::raise(end.signal);
  return end.status;
}

}  // namespace sluicegate::pipe
