#include "net/event_loop.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace sluicegate::net {
namespace {

[[noreturn]] void DieOf(const char* what) {
  std::perror(what);
  std::abort();
}

}  // namespace

EventLoop::EventLoop()
    : epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wakeup_descriptor_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!epoll_.is_open()) DieOf("sluicegate: an event loop cannot be made: epoll_create1");
  if (!wakeup_descriptor_.is_open()) DieOf("sluicegate: an event loop cannot be made: eventfd");
  if (!Add(wakeup_descriptor_.get(), EPOLLIN, wakeup_)) {
    DieOf("sluicegate: an event loop cannot be made: epoll_ctl");
  }
}

void EventLoop::Run() {
  while (!stopped_.load(std::memory_order_relaxed)) static_cast<void>(Turn(WaitMs()));
  stopped_.store(false, std::memory_order_relaxed);  // It may be run again.
}

void EventLoop::Stop() {
  stopped_.store(true, std::memory_order_relaxed);
  Post([] {});
}

void EventLoop::RunReady() {
  while (Turn(0)) {
  }
}

void EventLoop::RunOnce(std::chrono::milliseconds longest_wait) {
  const int wheel = WaitMs();
  const int most = static_cast<int>(longest_wait.count());
  static_cast<void>(Turn(wheel < 0 ? most : std::min(wheel, most)));
}

void EventLoop::Post(std::function<void()> work) {
  bool first = false;
  {
    const std::lock_guard lock(mu_);
    first = posted_.empty();
    posted_.push_back(std::move(work));
  }
  if (!first) return;  // It is woken already.
  const std::uint64_t one = 1;
  // The counter is far from full, so this cannot fail but by a signal's interruption, which eventfd
  // knows only where it waits.
  if (::write(wakeup_descriptor_.get(), &one, sizeof(one)) < 0) DieOf("sluicegate: eventfd");
}

bool EventLoop::Add(int descriptor, std::uint32_t events, Pollable& pollable) {
  epoll_event event{.events = events, .data = {.ptr = &pollable}};
  return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, descriptor, &event) == 0;
}

void EventLoop::Modify(int descriptor, std::uint32_t events, Pollable& pollable) {
  epoll_event event{.events = events, .data = {.ptr = &pollable}};
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, descriptor, &event);
}

// Closing the descriptor would take it out of the epoll as well, but not if a copy of it lives on
// in another process.
void EventLoop::Remove(int descriptor, Pollable& pollable) {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, descriptor, nullptr);
  for (epoll_event& event : untold_) {
    if (event.data.ptr == &pollable) event.data.ptr = nullptr;
  }
}

void EventLoop::Forget(Pollable& pollable) {
  std::ranges::replace(reminded_, &pollable, nullptr);
  std::ranges::replace(reminding_, &pollable, nullptr);
}

// Rounded up, so that a turn does not come just before its tick.
int EventLoop::WaitMs() {
  const auto tick = timers_.Settle();
  if (!reminded_.empty()) return 0;
  if (!tick) return -1;
  const auto wait = std::chrono::ceil<std::chrono::milliseconds>(*tick);
  return static_cast<int>(std::clamp<std::int64_t>(wait.count(), 0, TimerWheel::kTick.count()));
}

bool EventLoop::Turn(int wait_ms) {
  const int count = ::epoll_wait(epoll_.get(), events_.data(), kMostEvents, wait_ms);
  if (count < 0 && errno != EINTR) DieOf("sluicegate: epoll_wait");
  untold_ = std::span(events_).first(static_cast<std::size_t>(std::max(count, 0)));
  const bool some = !untold_.empty() || !reminded_.empty();
  for (unsigned told = 1; !untold_.empty(); ++told) {
    const epoll_event event = untold_.front();
    untold_ = untold_.subspan(1);
    auto* const pollable = static_cast<Pollable*>(event.data.ptr);
    if (pollable != nullptr) pollable->OnEvents(event.events);
    if (told % kMostInGroup == 0) ResumeRegrouped();
  }
  ResumeRegrouped();
  TellReminded();
  timers_.Turn();
  ResumeRegrouped();
  return some;
}

// Round by round: in each, all go on to their next Regroup.
void EventLoop::ResumeRegrouped() {
  while (!regrouped_.empty()) {
    std::swap(regrouped_, resuming_);
    to_resume_ = resuming_.size();
    for (const std::coroutine_handle<> coroutine : resuming_) {
      --to_resume_;
      coroutine.resume();
    }
    resuming_.clear();
  }
}

void EventLoop::TellReminded() {
  std::swap(reminded_, reminding_);
  for (std::size_t i = 0; i < reminding_.size(); ++i) {
    if (Pollable* const pollable = reminding_[i]) pollable->OnEvents(0);
  }
  reminding_.clear();
}

void EventLoop::Wakeup::OnEvents(std::uint32_t /*events*/) { loop_.RunPosted(); }

void EventLoop::RunPosted() {
  std::uint64_t count = 0;
  // Before the list is taken: what is posted from now on wakes the loop again.
  [[maybe_unused]] const auto read = ::read(wakeup_descriptor_.get(), &count, sizeof(count));
  std::vector<std::function<void()>> work;
  {
    const std::lock_guard lock(mu_);
    work.swap(posted_);
  }
  for (const auto& one : work) one();
}

}  // namespace sluicegate::net
