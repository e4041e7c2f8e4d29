#include "net/timer_wheel.h"

#include <algorithm>

namespace sluicegate::net {
namespace {

constexpr std::chrono::nanoseconds kLongest = std::chrono::hours(24 * 365 * 100);

}  // namespace

void Deadline::Set(std::chrono::nanoseconds wait) {
  Clear();
  wheel_.Insert(*this, wait);
}

void Deadline::Clear() noexcept {
  if (previous_ != nullptr) wheel_.Remove(*this);
}

// A deadline in a list has a previous_: the one before it, or itself at the head.
void TimerWheel::Insert(Deadline& deadline, std::chrono::nanoseconds wait) {
  if (stopped_) return;
  const auto time = Clock::now();
  if (waiting_ == 0 && !turning_) now_time_ = time;
  // The wait begins now, and the wheel may be behind: by a part of a tick, or by all that a stopped
  // process or a long handler took. Counted from the wheel's time it would end early.
  const auto whole = std::clamp(wait, std::chrono::nanoseconds::zero(), kLongest);
  const auto ticks = static_cast<std::uint64_t>((time - now_time_ + whole) / kTick) + 1;
  deadline.tick_ = now_ + ticks;
  Deadline*& head = slots_[deadline.tick_ % kSlots];
  deadline.next_ = head;
  deadline.previous_ = &deadline;
  if (head != nullptr) head->previous_ = &deadline;
  head = &deadline;
  ++waiting_;
}

void TimerWheel::Remove(Deadline& deadline) noexcept {
  if (deadline.previous_ == &deadline) {
    slots_[deadline.tick_ % kSlots] = deadline.next_;
    if (deadline.next_ != nullptr) deadline.next_->previous_ = deadline.next_;
  } else {
    deadline.previous_->next_ = deadline.next_;
    if (deadline.next_ != nullptr) deadline.next_->previous_ = deadline.previous_;
  }
  deadline.next_ = deadline.previous_ = nullptr;
  --waiting_;
}

void TimerWheel::Turn() {
  const auto time = Clock::now();
  turning_ = true;
  while (now_time_ + kTick <= time && waiting_ > 0 && !stopped_) {
    now_time_ += kTick;
    FireSlot(++now_);
  }
  turning_ = false;
}

void TimerWheel::FireSlot(std::uint64_t tick) {
  Deadline*& head = slots_[tick % kSlots];
  // A callback may set, clear or destroy any deadline, so the walk starts anew after each; those of
  // later turns are passed over.
  for (Deadline* deadline = head; deadline != nullptr && !stopped_;) {
    if (deadline->tick_ > tick) {
      deadline = deadline->next_;
      continue;
    }
    Remove(*deadline);
    deadline->on_expiry_();
    deadline = head;
  }
}

}  // namespace sluicegate::net
