// The timer wheel. It reads the steady clock itself, so these tests wait for real, some ticks each;
// but what they check are orders of events, never how fast this machine is: a deadline is late only
// if a timer of the system that was set after it, for two ticks later, rings first.
#include "net/timer_wheel.h"

#include <gtest/gtest.h>
#include <sys/timerfd.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/seed_for_test.h"
#include "net/event_loop.h"

namespace sluicegate::net {
namespace {

using namespace std::chrono_literals;
using SteadyClock = std::chrono::steady_clock;

constexpr auto kTick = TimerWheel::kTick;

// A loop that runs as long as a test says.
class Loop {
 public:
  [[nodiscard]] TimerWheel& timers() { return loop_.timers(); }
  [[nodiscard]] EventLoop& loop() { return loop_; }
  // Rings by the system, not by the wheel.
  void After(std::chrono::nanoseconds wait, std::function<void()> then) {
    alarms_.push_back(std::make_unique<Alarm>(loop_, wait, std::move(then)));
  }
  void RunFor(std::chrono::nanoseconds time) {
    After(time, [this] { loop_.Stop(); });
    loop_.Run();
  }

 private:
  class Alarm final : public Pollable {
   public:
    Alarm(EventLoop& loop, std::chrono::nanoseconds wait, std::function<void()> then)
        : loop_(loop),
          timer_(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)),
          then_(std::move(then)) {
      const auto ns = wait.count();
      const itimerspec when{
          .it_interval = {},
          .it_value = {.tv_sec = ns / 1'000'000'000, .tv_nsec = ns % 1'000'000'000}};
      EXPECT_EQ(::timerfd_settime(timer_.get(), 0, &when, nullptr), 0);
      EXPECT_TRUE(loop_.Add(timer_.get(), EPOLLIN | EPOLLONESHOT, *this));
    }
    ~Alarm() { loop_.Remove(timer_.get(), *this); }
    void OnEvents(std::uint32_t /*events*/) override { then_(); }

   private:
    EventLoop& loop_;
    const FileDescriptor timer_;
    const std::function<void()> then_;
  };

  EventLoop loop_;
  std::vector<std::unique_ptr<Alarm>> alarms_;
};

TEST(TimerWheel, ADeadlineFiresBetweenItsTimeAndTwoTicksLater) {
  Loop loop;
  unsigned fired = 0;
  std::vector<std::unique_ptr<Deadline>> deadlines;
  constexpr std::chrono::milliseconds kWaits[] = {0ms, 1ms, 49ms, 50ms, 51ms, 99ms, 100ms, 170ms};
  for (const auto wait : kWaits) {
    const auto due = SteadyClock::now() + wait;
    const std::size_t index = deadlines.size();
    deadlines.push_back(std::make_unique<Deadline>(loop.timers(), [&fired, due] {
      EXPECT_GE(SteadyClock::now(), due);
      ++fired;
    }));
    deadlines.back()->Set(wait);
    loop.After(wait + 2 * kTick, [&deadlines, index, wait] {
      EXPECT_FALSE(deadlines[index]->set()) << wait.count() << " ms and two ticks are over";
    });
  }
  loop.RunFor(170ms + 3 * kTick);
  EXPECT_EQ(fired, std::size(kWaits));
}

TEST(TimerWheel, ADeadlineFiresOnceAndMayBeSetAgain) {
  Loop loop;
  unsigned fired = 0;
  Deadline deadline(loop.timers(), [&fired] { ++fired; });
  EXPECT_FALSE(deadline.set());
  deadline.Set(1ms);
  EXPECT_TRUE(deadline.set());
  loop.RunFor(4 * kTick);
  EXPECT_EQ(fired, 1U);
  EXPECT_FALSE(deadline.set());
  deadline.Set(1ms);  // The wheel stood still meanwhile.
  loop.RunFor(4 * kTick);
  EXPECT_EQ(fired, 2U);
}

TEST(TimerWheel, ADeadlineTellsWhatIsLeft) {
  Loop loop;
  Deadline deadline(loop.timers(), [] {});
  deadline.Set(1h);
  EXPECT_EQ(deadline.left(), 1h) << "its wait has not begun";
  loop.RunFor(5 * kTick);
  EXPECT_LE(deadline.left(), 1h - 2 * kTick);
  EXPECT_GT(deadline.left(), 30min);
}

TEST(TimerWheel, AClearedDeadlineDoesNotFire) {
  Loop loop;
  unsigned fired = 0;
  Deadline deadline(loop.timers(), [&fired] { ++fired; });
  deadline.Set(1ms);
  deadline.Clear();
  EXPECT_FALSE(deadline.set());
  deadline.Clear();  // Nothing to clear.
  Deadline other(loop.timers(), [&fired] { fired += 100; });
  other.Set(1ms);
  loop.RunFor(4 * kTick);
  EXPECT_EQ(fired, 100U);
}

TEST(TimerWheel, ADeadlineMovesBothWays) {
  Loop loop;
  std::string order;
  Deadline later(loop.timers(), [&order] { order += "later "; });
  Deadline earlier(loop.timers(), [&order] { order += "earlier "; });
  Deadline between(loop.timers(), [&order] { order += "between "; });
  later.Set(1ms);
  between.Set(3 * kTick);
  earlier.Set(10s);
  later.Set(6 * kTick);
  earlier.Set(1ms);
  loop.RunFor(9 * kTick);
  EXPECT_EQ(order, "earlier between later ");
}

// As a server does that moves a deadline with every message.
TEST(TimerWheel, ADeadlineThatIsMovedOnAndOnDoesNotFire) {
  Loop loop;
  bool fired = false;
  Deadline deadline(loop.timers(), [&fired] { fired = true; });
  std::function<void()> move = [&] {
    deadline.Set(1s);
    loop.After(5ms, move);
  };
  move();
  loop.RunFor(4 * kTick);
  EXPECT_FALSE(fired);
  EXPECT_TRUE(deadline.set());
}

TEST(TimerWheel, AWaitOfNothingOrLessFiresAtOnce) {
  Loop loop;
  unsigned fired = 0;
  Deadline zero(loop.timers(), [&fired] { ++fired; });
  Deadline negative(loop.timers(), [&fired] { ++fired; });
  zero.Set(0ns);
  negative.Set(-10s);
  loop.RunFor(4 * kTick);
  EXPECT_EQ(fired, 2U);
}

// A loop that stood still (a stopped process, a suspended machine, a long handler) has a wheel that
// is behind. Waits begin now, not where the wheel is. The sleep is the standing still.
TEST(TimerWheel, ADeadlineSetOnALateLoopDoesNotFireEarly) {
  Loop loop;
  Deadline running(loop.timers(), [] {});  // So that the wheel turns.
  running.Set(10s);
  std::optional<SteadyClock::time_point> due;
  bool fired = false;
  Deadline deadline(loop.timers(), [&] {
    EXPECT_GE(SteadyClock::now(), *due);
    fired = true;
  });
  loop.After(2 * kTick, [&] {
    std::this_thread::sleep_for(6 * kTick);
    due = SteadyClock::now() + 3 * kTick;
    deadline.Set(3 * kTick);
  });
  loop.RunFor(13 * kTick);
  EXPECT_TRUE(fired);
}

TEST(TimerWheel, ACallbackOnALateLoopSetsADeadlineThatDoesNotFireEarly) {
  Loop loop;
  std::optional<SteadyClock::time_point> due;
  unsigned fired = 0;
  Deadline again(loop.timers(), [&] {
    if (due) {
      EXPECT_GE(SteadyClock::now(), *due);
    }
    ++fired;
    due = SteadyClock::now() + 2 * kTick;
    again.Set(2 * kTick);
  });
  again.Set(1ms);
  Deadline running(loop.timers(), [] {});  // So that the wheel has ticks to make up for.
  running.Set(10s);
  loop.loop().Post([] { std::this_thread::sleep_for(6 * kTick); });
  loop.RunFor(12 * kTick);
  EXPECT_GE(fired, 2U);
}

// All in one slot: the first that fires changes its neighbours.
class Neighbours : public ::testing::Test {
 protected:
  // What each of three deadlines does with the others, when it is the first.
  void RunWhere(std::function<void(std::size_t self)> first) {
    for (std::size_t i = 0; i < 3; ++i) {
      deadlines_.push_back(std::make_unique<Deadline>(loop_.timers(), [this, i, first] {
        ++fired_;
        if (fired_ == 1) first(i);
      }));
    }
    for (const auto& deadline : deadlines_) deadline->Set(1ms);
    loop_.RunFor(6 * kTick);
  }

  Loop loop_;
  std::vector<std::unique_ptr<Deadline>> deadlines_;
  unsigned fired_ = 0;
};

TEST_F(Neighbours, MayBeCleared) {
  RunWhere([this](std::size_t self) {
    for (std::size_t i = 0; i < 3; ++i) {
      if (i != self) deadlines_[i]->Clear();
    }
  });
  EXPECT_EQ(fired_, 1U);
}

TEST_F(Neighbours, MayBeDestroyed) {
  RunWhere([this](std::size_t self) {
    for (std::size_t i = 0; i < 3; ++i) {
      if (i != self) deadlines_[i].reset();
    }
  });
  EXPECT_EQ(fired_, 1U);
}

TEST_F(Neighbours, MayBeMoved) {
  RunWhere([this](std::size_t self) {
    for (std::size_t i = 0; i < 3; ++i) {
      if (i != self) deadlines_[i]->Set(10s);
    }
  });
  EXPECT_EQ(fired_, 1U);
  for (const auto& deadline : deadlines_) deadline->Clear();
}

TEST_F(Neighbours, StillFireWhenTheFirstDestroysItself) {
  RunWhere([this](std::size_t self) { deadlines_[self].reset(); });
  EXPECT_EQ(fired_, 3U);
}

TEST_F(Neighbours, DoNotFireOnceTheWheelIsStopped) {
  RunWhere([this](std::size_t /*self*/) { loop_.timers().Stop(); });
  EXPECT_EQ(fired_, 1U);
}

TEST(TimerWheel, ACallbackMaySetItselfAndOthers) {
  Loop loop;
  unsigned ticks = 0;
  unsigned others = 0;
  std::vector<std::unique_ptr<Deadline>> set;
  Deadline again(loop.timers(), [&] {
    ++ticks;
    again.Set(0ns);
    set.push_back(std::make_unique<Deadline>(loop.timers(), [&others] { ++others; }));
    set.back()->Set(0ns);
  });
  again.Set(0ns);
  loop.After(6 * kTick, [&again] { again.Clear(); });
  loop.RunFor(9 * kTick);
  EXPECT_GE(ticks, 2U);
  EXPECT_LE(ticks, 7U);  // Never twice in a tick.
  EXPECT_EQ(others, ticks);
}

// A turn is 1,024 ticks, 51.2 s: too long to wait for, so this checks that a deadline beyond it is
// passed over while its slot fires for others.
TEST(TimerWheel, ADeadlineFartherThanATurnIsPassedOver) {
  Loop loop;
  unsigned fired = 0;
  std::vector<std::unique_ptr<Deadline>> far;
  std::vector<std::unique_ptr<Deadline>> near;
  for (unsigned i = 0; i < 8; ++i) {  // Before and behind others of their slot, in slots in a row.
    for (auto* list : {&far, &near, &far}) {
      list->push_back(std::make_unique<Deadline>(loop.timers(), [&fired] { ++fired; }));
      list->back()->Set((list == &far ? 1024 * kTick : 0ms) + i * kTick / 2);
    }
  }
  far.push_back(std::make_unique<Deadline>(loop.timers(), [&fired] { ++fired; }));
  far.back()->Set(std::chrono::nanoseconds::max());
  loop.RunFor(10 * kTick);
  EXPECT_EQ(fired, near.size());
  for (const auto& deadline : far) EXPECT_TRUE(deadline->set());
}

TEST(TimerWheel, OfManyDeadlinesEachFiresOnceAndNoneEarly) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  struct Waiter {
    std::unique_ptr<Deadline> deadline;
    SteadyClock::time_point due;
    unsigned fired = 0;
    unsigned expected = 0;
  };
  Loop loop;
  std::vector<Waiter> waiters(5000);
  const auto set = [&random](Waiter& waiter) {
    const std::chrono::microseconds wait(random() % 250'000);
    waiter.due = SteadyClock::now() + wait;
    waiter.deadline->Set(wait);
  };
  for (Waiter& waiter : waiters) {
    waiter.deadline = std::make_unique<Deadline>(loop.timers(), [&waiter] {
      EXPECT_GE(SteadyClock::now(), waiter.due);
      ++waiter.fired;
    });
    set(waiter);
    waiter.expected = 1;
  }
  for (unsigned i = 0; i < 20'000; ++i) {
    Waiter& waiter = waiters[random() % waiters.size()];
    if (random() % 3 == 0) {
      waiter.deadline->Clear();
      waiter.expected = 0;
    } else {
      set(waiter);
      waiter.expected = 1;
    }
  }
  loop.RunFor(250ms + 4 * kTick);
  for (const Waiter& waiter : waiters) ASSERT_EQ(waiter.fired, waiter.expected);
}

TEST(TimerWheel, AStoppedWheelFiresNothingAndTakesNoDeadline) {
  EventLoop loop;
  bool fired = false;
  Deadline deadline(loop.timers(), [&fired] { fired = true; });
  deadline.Set(0ns);
  loop.timers().Stop();
  std::this_thread::sleep_for(2 * kTick);
  loop.RunReady();
  EXPECT_FALSE(fired);
  Deadline late(loop.timers(), [&fired] { fired = true; });
  late.Set(0ns);
  EXPECT_FALSE(late.set());
}

TEST(TimerWheel, WantsToBeTurnedOnlyWhileADeadlineWaits) {
  TimerWheel wheel;
  unsigned fired = 0;
  Deadline deadline(wheel, [&fired] { ++fired; });
  EXPECT_FALSE(wheel.Settle());
  deadline.Set(1ms);
  while (const auto wait = wheel.Settle()) {
    std::this_thread::sleep_for(*wait);
    wheel.Turn();
  }
  EXPECT_EQ(fired, 1U);
}

TEST(TimerWheel, AWaitingDeadlineMayDieWithItsLoop) {
  auto loop = std::make_unique<EventLoop>();
  auto deadline = std::make_unique<Deadline>(loop->timers(), [] { ADD_FAILURE(); });
  deadline->Set(0ns);
  deadline.reset();
  loop.reset();
}

}  // namespace
}  // namespace sluicegate::net
