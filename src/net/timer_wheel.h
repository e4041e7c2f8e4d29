// TimerWheel: many coarse deadlines for the price of one. Its wait begins when the loop's turn in
// which it was set ends, so that a turn asks for the time once; it fires between its time and two
// ticks later, never early, even if the loop stood still meanwhile. Setting, moving and clearing
// one are a few pointer writes. Bound to one event loop, which turns it. Deadlines are owned by
// whoever waits and must die or be cleared before the wheel.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>

namespace sluicegate::net {

class TimerWheel;

/// One wait. Fires its callback once, from the event loop; may then be set again.
class Deadline {
 public:
  explicit Deadline(TimerWheel& wheel, std::function<void()> on_expiry)
      : wheel_(wheel), on_expiry_(std::move(on_expiry)) {}
  ~Deadline() { Clear(); }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

  /// Fires after `wait` from now, whatever was set before. A wait below zero is none; beyond 100
  /// years it is 100.
  void Set(std::chrono::nanoseconds wait);
  void Clear() noexcept;
  [[nodiscard]] bool set() const noexcept { return previous_ != nullptr; }
  /// Until it fires, to a tick. REQUIRES: it is set.
  [[nodiscard]] std::chrono::nanoseconds left() const noexcept;

 private:
  friend class TimerWheel;
  TimerWheel& wheel_;
  const std::function<void()> on_expiry_;
  std::uint64_t tick_ = 0;  // When it fires; of a fresh one the nanoseconds from its begin on.
  bool fresh_ = false;
  Deadline* next_ = nullptr;
  Deadline* previous_ = nullptr;
};

class TimerWheel {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kTick{50};

  TimerWheel() = default;
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  /// The waits of what was set begin now. Gives the time after which the wheel wants to be turned;
  /// nothing: no deadline waits.
  [[nodiscard]] std::optional<std::chrono::nanoseconds> Settle();
  /// Fires what is due. REQUIRES: not called from a deadline's callback.
  void Turn();
  /// Deadlines do not fire any more.
  void Stop() noexcept { stopped_ = true; }

 private:
  friend class Deadline;
  // 51 s a turn: a deadline farther away is passed over once a turn.
  static constexpr std::size_t kSlots = 1024;

  static void Push(Deadline& deadline, Deadline*& head) noexcept;
  void Insert(Deadline& deadline, std::chrono::nanoseconds wait) noexcept;
  void Remove(Deadline& deadline) noexcept;
  void FireSlot(std::uint64_t tick);

  std::array<Deadline*, kSlots> slots_{};  // Heads of lists.
  Deadline* fresh_ = nullptr;              // Head of those whose wait has not begun.
  std::uint64_t now_ = 0;                  // Ticks done.
  Clock::time_point now_time_;
  std::size_t placed_ = 0;  // Those in slots.
  bool stopped_ = false;
};

}  // namespace sluicegate::net
