// EventLoop: one thread's worth of waiting: an io_context that only that thread runs, and its
// timers. Run, io and timers belong to the thread; Post and Stop may be called from any. Neither
// copies nor moves.
#pragma once

#include <utility>

#include "net/asio.h"
#include "net/timer_wheel.h"

namespace sluicegate::net {

class EventLoop {
 public:
  EventLoop() : io_(1), timers_(io_), work_(io_.get_executor()) {}
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  /// Works until Stop, or until Finish was called and nothing is left to wait for.
  void Run() { io_.run(); }
  /// Ends Run as soon as the handler that runs now returns. Thread-safe.
  void Stop() { io_.stop(); }
  /// Lets Run end once nothing waits any more.
  void Finish() {
    timers_.Stop();
    work_.reset();
  }
  /// Runs `work` on the loop's thread. Thread-safe.
  template <class Work>
  void Post(Work&& work) {
    asio::post(io_, std::forward<Work>(work));
  }

  [[nodiscard]] asio::io_context& io() noexcept { return io_; }
  [[nodiscard]] TimerWheel& timers() noexcept { return timers_; }

 private:
  asio::io_context io_;
  TimerWheel timers_;
  asio::executor_work_guard<Executor> work_;
};

}  // namespace sluicegate::net
