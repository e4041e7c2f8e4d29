// Process: a real child process of a test, that talks to it in words and can be killed and stopped.
// Owns the process: it is killed and waited for at the end.
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>
#include <vector>

namespace sluicegate {

class Process {
 public:
  /// The child's end of the talk.
  class Voice {
   public:
    explicit Voice(int socket) : socket_(socket) {}
    void Say(std::uint64_t word) const {
      if (!Send(socket_, word)) ::_exit(9);
    }
    /// Waits for the test's next word; 0 if there is none any more.
    [[nodiscard]] std::uint64_t Hear() const { return Receive(socket_); }

   private:
    int socket_;
  };

  /// Runs `body(voice)` in a child, which ends after it, or with the test. `fork` is any function
  /// like fork; where it fails nothing is ever heard.
  template <class Body>
  explicit Process(const Body& body, pid_t (*fork)() = &::fork) {
    int ends[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
    pid_ = fork();
    if (pid_ == 0) {
      ::close(ends[0]);
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      body(Voice(ends[1]));
      ::_exit(0);
    }
    ::close(ends[1]);
    socket_ = ends[0];
  }
  Process(Process&& other) noexcept
      : pid_(std::exchange(other.pid_, -1)), socket_(std::exchange(other.socket_, -1)) {}
  Process& operator=(Process&& other) noexcept {
    std::swap(pid_, other.pid_);
    std::swap(socket_, other.socket_);
    return *this;
  }
  ~Process() {
    (void)Kill();
    if (socket_ >= 0) ::close(socket_);
  }

  [[nodiscard]] pid_t pid() const { return pid_; }
  /// Waits for the child's next word; 0 if it ended without one.
  [[nodiscard]] std::uint64_t Hear() const { return Receive(socket_); }
  /// What the child hears next. Nothing happens if it has ended.
  void Say(std::uint64_t word) const { (void)Send(socket_, word); }
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
  static bool Send(int socket, std::uint64_t word) {
    return ::send(socket, &word, sizeof(word), MSG_NOSIGNAL) == sizeof(word);
  }
  static std::uint64_t Receive(int socket) {
    std::uint64_t word = 0;
    ssize_t got = 0;
    do {
      got = ::recv(socket, &word, sizeof(word), MSG_WAITALL);
    } while (got < 0 && errno == EINTR);
    return got == sizeof(word) ? word : 0;
  }

  pid_t pid_ = -1;
  int socket_ = -1;
};

/// As fork, for a child that is number 1 of a pid namespace of its own. -1: there is no right to
/// make one.
inline pid_t ForkIntoPidNamespace() {
  const int own = ::open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
  if (own < 0) return -1;
  const pid_t pid = ::unshare(CLONE_NEWPID) == 0 ? ::fork() : -1;
  // Children of later belong to this process' namespace again.
  if (pid != 0 && ::setns(own, CLONE_NEWPID) != 0) std::abort();
  ::close(own);
  return pid;
}

/// A T in memory that children share with the test. Owns it; neither copies nor moves.
template <class T>
class SharedWithChildren {
 public:
  SharedWithChildren()
      : page_(
            ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
    if (page_ == MAP_FAILED) std::abort();
    new (page_) T();
  }
  ~SharedWithChildren() { ::munmap(page_, sizeof(T)); }
  SharedWithChildren(const SharedWithChildren&) = delete;
  SharedWithChildren& operator=(const SharedWithChildren&) = delete;
  T& operator*() const { return *static_cast<T*>(page_); }
  T* operator->() const { return static_cast<T*>(page_); }

 private:
  void* page_;
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
