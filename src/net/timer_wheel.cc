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

std::chrono::nanoseconds Deadline::left() const noexcept {
  if (fresh_) return std::chrono::nanoseconds(tick_);
  return TimerWheel::kTick * static_cast<std::int64_t>(tick_ - std::min(tick_, wheel_.now_));
}

// A deadline in a list has a previous_: the one before it, or itself at the head.
void TimerWheel::Push(Deadline& deadline, Deadline*& head) noexcept {
  deadline.next_ = head;
  deadline.previous_ = &deadline;
  if (head != nullptr) head->previous_ = &deadline;
  head = &deadline;
}

void TimerWheel::Insert(Deadline& deadline, std::chrono::nanoseconds wait) noexcept {
  if (stopped_) return;
  const auto whole = std::clamp(wait, std::chrono::nanoseconds::zero(), kLongest);
  deadline.tick_ = static_cast<std::uint64_t>(whole.count());
  deadline.fresh_ = true;
  Push(deadline, fresh_);
}

void TimerWheel::Remove(Deadline& deadline) noexcept {
  Deadline*& head = deadline.fresh_ ? fresh_ : slots_[deadline.tick_ % kSlots];
  if (!deadline.fresh_) --placed_;
  Deadline* const next = deadline.next_;
  if (deadline.previous_ == &deadline) {
    head = next;
    if (next != nullptr) next->previous_ = next;
  } else {
    deadline.previous_->next_ = next;
    if (next != nullptr) next->previous_ = deadline.previous_;
  }
  deadline.next_ = deadline.previous_ = nullptr;
}

std::optional<std::chrono::nanoseconds> TimerWheel::Settle() {
  if (placed_ == 0 && fresh_ == nullptr) return std::nullopt;
  const auto time = Clock::now();
  // The wheel may be behind: by a part of a tick, or by all that a stopped process or a long
  // handler took. Counted from the wheel's time a wait would end early.
  if (placed_ == 0) now_time_ = time;
  while (fresh_ != nullptr) {
    Deadline& deadline = *fresh_;
    Remove(deadline);
    const std::chrono::nanoseconds wait(deadline.tick_);
    deadline.tick_ = now_ + static_cast<std::uint64_t>((time - now_time_ + wait) / kTick) + 1;
    deadline.fresh_ = false;
    Push(deadline, slots_[deadline.tick_ % kSlots]);
    ++placed_;
  }
  return now_time_ + kTick - time;
}

void TimerWheel::Turn() {
  if (placed_ == 0) return;
  const auto time = Clock::now();
  while (now_time_ + kTick <= time && placed_ > 0 && !stopped_) {
    now_time_ += kTick;
    FireSlot(++now_);
  }
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
