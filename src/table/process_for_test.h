// Process: a real child process of a test, that says words to it and can be killed and stopped.
// Owns the process: it is killed and waited for at the end.
#pragma once

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <utility>
#include <vector>

namespace sluicegate {

class Process {
 public:
  /// What a child may say.
  class Voice {
   public:
    explicit Voice(int pipe) : pipe_(pipe) {}
    void Say(std::uint64_t word) const {
      if (::write(pipe_, &word, sizeof(word)) != sizeof(word)) ::_exit(9);
    }

   private:
    int pipe_;
  };

  /// Runs `body(voice)` in a child, which ends after it. `fork` is any function like fork.
  template <class Body>
  explicit Process(const Body& body, pid_t (*fork)() = &::fork) {
    int ends[2] = {-1, -1};
    if (::pipe2(ends, O_CLOEXEC) != 0) std::abort();
    pid_ = fork();
    if (pid_ == 0) {
      ::close(ends[0]);
      body(Voice(ends[1]));
      ::_exit(0);
    }
    ::close(ends[1]);
    pipe_ = ends[0];
  }
  Process(Process&& other) noexcept
      : pid_(std::exchange(other.pid_, -1)), pipe_(std::exchange(other.pipe_, -1)) {}
  Process& operator=(Process&& other) noexcept {
    std::swap(pid_, other.pid_);
    std::swap(pipe_, other.pipe_);
    return *this;
  }
  ~Process() {
    (void)Kill();
    if (pipe_ >= 0) ::close(pipe_);
  }

  [[nodiscard]] pid_t pid() const { return pid_; }
  /// Waits for the child's next word; 0 if it ended without one.
  [[nodiscard]] std::uint64_t Hear() const {
    std::uint64_t word = 0;
    ssize_t got = 0;
    do {
      got = ::read(pipe_, &word, sizeof(word));
    } while (got < 0 && errno == EINTR);
    return got == sizeof(word) ? word : 0;
  }
  void Signal(int number) const { (void)::kill(pid_, number); }
  /// Ends it as nobody can prevent, and waits until it is gone. Its status as of waitpid.
  int Kill() {
    if (pid_ <= 0) return 0;
    Signal(SIGKILL);
    return Wait();
  }
  /// Waits until it has ended.
  int Wait() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return status;
  }

 private:
  pid_t pid_ = -1;
  int pipe_ = -1;
};

/// Kills `kills` of the processes, each some time of at most `most_us` after its first word, and
/// has `start` put another in its place.
template <class Random, class Start>
void KillAtRandom(std::vector<Process>& processes, unsigned kills, unsigned most_us, Random& random,
                  const Start& start) {
  for (unsigned kill = 0; kill < kills; ++kill) {
    Process& victim = processes[random() % processes.size()];
    (void)victim.Hear();
    ::usleep(static_cast<useconds_t>(random() % most_us));
    victim.Kill();
    victim = start();
  }
}

/// Never comes back.
[[noreturn]] inline void SleepForEver() {
  for (;;) ::pause();
}

}  // namespace sluicegate
