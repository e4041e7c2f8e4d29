// EventLoop: one thread's worth of waiting, on epoll, and its timers. All but Post and Stop belongs
// to the thread that runs it. Neither copies nor moves.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <vector>

#include "net/file_descriptor.h"
#include "net/timer_wheel.h"

namespace sluicegate::net {

/// What a loop calls when something happens to a descriptor. The call may destroy it.
class Pollable {
 public:
  /// `events`: of epoll.
  virtual void OnEvents(std::uint32_t events) = 0;

 protected:
  Pollable() = default;
  ~Pollable() = default;
  Pollable(const Pollable&) = delete;
  Pollable& operator=(const Pollable&) = delete;
};

class EventLoop {
 public:
  /// Aborts the program where the system has no descriptor for it: a loop cannot do without.
  EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  /// Works until Stop.
  void Run();
  /// Ends Run as soon as the callback that runs now returns. Thread-safe.
  void Stop();
  /// Does what can be done without waiting, until nothing is left. REQUIRES: Run does not run.
  void RunReady();
  /// One turn, that waits for at most so long. REQUIRES: as above.
  void RunOnce(std::chrono::milliseconds longest_wait);
  /// Runs `work` on the loop's thread. Thread-safe.
  void Post(std::function<void()> work);

  /// Tells `pollable` of `events` (of epoll) on `descriptor` from now on. False: the system has no
  /// room, errno says why.
  [[nodiscard]] bool Add(int descriptor, std::uint32_t events, Pollable& pollable);
  /// Other events than before. What is so already is told, too.
  void Modify(int descriptor, std::uint32_t events, Pollable& pollable);
  /// Nothing more is told to `pollable`, also of what has happened. To be called before the
  /// descriptor is closed.
  void Remove(int descriptor, Pollable& pollable);
  /// Calls `pollable` before the next wait, with no events.
  void Remind(Pollable& pollable) { reminded_.push_back(&pollable); }
  /// Takes a Remind back. To be called before the pollable dies.
  void Forget(Pollable& pollable);

  class Regrouping;
  /// `co_await loop.Regroup();` Goes on when what else has happened has come as far, or as far as
  /// its own next Regroup. Between two kinds of work, such as reading and deciding: what one kind
  /// needs of the processor's caches, the system's part above all, is there for all the others.
  [[nodiscard]] Regrouping Regroup() noexcept;

  [[nodiscard]] TimerWheel& timers() noexcept { return timers_; }

 private:
  class Wakeup final : public Pollable {
   public:
    explicit Wakeup(EventLoop& loop) : loop_(loop) {}
    void OnEvents(std::uint32_t events) override;

   private:
    EventLoop& loop_;
  };

  static constexpr int kMostEvents = 512;  // Of one turn; more wait for the next.
  // So many come as far before they go on: what they work on has to fit into the caches, too.
  static constexpr unsigned kMostInGroup = 16;

  /// True: there was something to do.
  bool Turn(int wait_ms);
  void TellReminded();
  void ResumeRegrouped();
  void RunPosted();
  [[nodiscard]] int WaitMs();

  FileDescriptor epoll_;
  FileDescriptor wakeup_descriptor_;
  Wakeup wakeup_{*this};
  TimerWheel timers_;
  std::array<epoll_event, kMostEvents> events_;
  std::span<epoll_event> untold_;     // Of this turn.
  std::vector<Pollable*> reminded_;   // Null: taken back.
  std::vector<Pollable*> reminding_;  // Those of them that are called now.
  std::vector<std::coroutine_handle<>> regrouped_;
  std::vector<std::coroutine_handle<>> resuming_;  // Those of them that go on now.
  std::size_t to_resume_ = 0;                      // How many of those wait.
  std::atomic<bool> stopped_ = false;

  std::mutex mu_;
  std::vector<std::function<void()>> posted_;  // Guarded by mu_.
};

/// Awaitable: see Regroup.
class [[nodiscard]] EventLoop::Regrouping {
 public:
  /// Whoever is alone need not wait.
  [[nodiscard]] bool await_ready() const noexcept {
    return loop_.untold_.empty() && loop_.to_resume_ == 0 && loop_.regrouped_.empty();
  }
  void await_suspend(std::coroutine_handle<> coroutine) const {
    loop_.regrouped_.push_back(coroutine);
  }
  void await_resume() const noexcept {}

 private:
  friend class EventLoop;
  explicit Regrouping(EventLoop& loop) noexcept : loop_(loop) {}
  EventLoop& loop_;
};

inline EventLoop::Regrouping EventLoop::Regroup() noexcept { return Regrouping(*this); }

}  // namespace sluicegate::net
