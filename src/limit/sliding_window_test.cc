// The sliding window against its definition: a golden table, both bounds, a naive list on
// exhaustive and random input, and time that runs backwards.
#include "limit/sliding_window.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <deque>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/seed_for_test.h"
#include "sluicegate/decision.h"

namespace sluicegate::limit {
namespace {

using Narrow = SlidingWindow<std::uint16_t>;
using Wide = SlidingWindow<std::uint32_t>;

template <class Window>
struct Key {
  alignas(8) std::array<std::byte, Window::kStateBytes> state{};
  [[nodiscard]] std::byte* bytes() { return state.data(); }
};

std::uint64_t SliceOf(std::uint64_t window_ns) { return (window_ns + 14) / 15; }

struct Charge {
  std::uint64_t at_ns;
  std::uint64_t units;
};

// The definition, word for word: a charge counts as long as its slice touches (t - W, t].
class NaiveWindow {
 public:
  NaiveWindow(std::uint64_t quota, std::uint64_t window_ns)
      : quota_(quota), window_ns_(window_ns), slice_ns_(SliceOf(window_ns)) {}

  [[nodiscard]] bool Counts(std::uint64_t charged_ns, std::uint64_t now_ns) const {
    return LeavesAt(charged_ns) > now_ns;
  }
  [[nodiscard]] std::uint64_t Remaining(std::uint64_t now_ns) const {
    std::uint64_t used = 0;
    for (const Charge& charge : charges_) used += Counts(charge.at_ns, now_ns) ? charge.units : 0;
    return quota_ - std::min(quota_, used);
  }
  void Add(std::uint64_t now_ns, std::uint64_t units) {
    charges_.push_back({.at_ns = now_ns, .units = units});
    while (!Counts(charges_.front().at_ns, now_ns)) charges_.pop_front();
  }
  void GiveBack(std::uint64_t charged_ns, std::uint64_t units) {
    for (Charge& charge : charges_) {
      if (charge.at_ns != charged_ns) continue;
      const std::uint64_t taken = std::min(charge.units, units);
      charge.units -= taken;
      units -= taken;
    }
  }
  // When `cost` units fit, found by trying now and each instant at which a charge ceases to count.
  [[nodiscard]] std::uint64_t RetryAfter(std::uint64_t now_ns, std::uint64_t cost) const {
    if (Remaining(now_ns) >= cost) return 0;
    for (const Charge& charge : charges_) {
      const std::uint64_t then_ns = LeavesAt(charge.at_ns);
      if (then_ns > now_ns && Remaining(then_ns) >= cost) return then_ns - now_ns;
    }
    return Decision::kNever;
  }

 private:
  [[nodiscard]] std::uint64_t LeavesAt(std::uint64_t charged_ns) const {
    const std::uint64_t slice_end_ns = (charged_ns / slice_ns_ + 1) * slice_ns_ - 1;  // Its last.
    return slice_end_ns + window_ns_;
  }
  const std::uint64_t quota_;
  const std::uint64_t window_ns_;
  const std::uint64_t slice_ns_;
  std::deque<Charge> charges_;
};

// Five in 15 ns: slices of 1 ns.
TEST(SlidingWindow, GoldenTable) {
  struct Row {
    std::uint64_t at_ns;
    std::uint64_t cost;
    std::uint64_t remaining;  // Before.
    std::uint64_t retry_ns;
    std::uint64_t hold_ns;   // After.
    std::uint64_t reset_ns;  // After.
  };
  constexpr Row kRows[] = {
      {100, 1, 5, 0, 15, 15}, {100, 2, 4, 0, 15, 15}, {103, 3, 2, 12, 12, 12},
      {103, 2, 2, 0, 12, 15}, {114, 1, 0, 1, 1, 4},   {115, 3, 3, 0, 3, 15},
      {117, 1, 0, 1, 1, 13},  {118, 2, 2, 0, 12, 15}, {130, 5, 3, 3, 3, 3},
      {133, 5, 5, 0, 15, 15}, {133, 0, 0, 0, 15, 15}, {133, 1, 0, 15, 15, 15},
  };
  const Narrow window(5, 15);
  Key<Narrow> key;
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.at_ns);
    EXPECT_EQ(window.Remaining(key.bytes(), row.at_ns), row.remaining);
    EXPECT_EQ(window.RetryAfter(key.bytes(), row.at_ns, row.cost), row.retry_ns);
    if (row.retry_ns == 0 && row.cost > 0) window.Charge(key.bytes(), row.at_ns, row.cost);
    EXPECT_EQ(window.HoldFor(key.bytes(), row.at_ns), row.hold_ns);
    EXPECT_EQ(window.ResetAfter(key.bytes(), row.at_ns), row.reset_ns);
  }
}

TEST(SlidingWindow, StateHasThePromisedSize) {
  EXPECT_EQ(Narrow::kStateBytes, 40U);
  EXPECT_EQ(Wide::kStateBytes, 72U);
  EXPECT_EQ(Narrow::kMaxQuota, 65'535U);
  EXPECT_EQ(Wide::kMaxQuota, 4'294'967'295U);
}

// With slices of floor(107 / 15) = 7 ns sixteen of them cover 105 ns at worst, and a client that
// asks at the right moments gets 7 where 5 are allowed. With ceil it gets 5.
TEST(SlidingWindow, RoundsSlicesUpSoThat107NsHold) {
  const Narrow window(5, 107);
  for (std::uint64_t start_ns = 1000; start_ns < 1000 + 107; ++start_ns) {
    Key<Narrow> key;
    std::vector<std::uint64_t> admitted;
    for (std::uint64_t now_ns = start_ns; now_ns < start_ns + 1000; ++now_ns) {
      if (window.Remaining(key.bytes(), now_ns) == 0) continue;
      window.Charge(key.bytes(), now_ns, 1);
      admitted.push_back(now_ns);
      if (admitted.size() > 5) {
        ASSERT_GE(now_ns - admitted[admitted.size() - 6], 107U);
      }
    }
  }
}

// Both sides of the bound, on random traffic: never more than N in any W, and whoever used less
// than N in the last 16 slices is let in.
TEST(SlidingWindow, AdmitsAtMostNInAnyWAndLetsAUnitBackWithin16Slices) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (unsigned round = 0; round < 300; ++round) {
    const std::uint64_t window_ns = random() % 400 + 1;
    const std::uint64_t quota = random() % 12 + 1;
    const Narrow window(quota, window_ns);
    Key<Narrow> key;
    std::deque<std::uint64_t> admitted;  // Times, a unit each.
    std::uint64_t now_ns = random() % 1000 + 1;
    for (unsigned step = 0; step < 2000; ++step) {
      now_ns += random() % (window_ns / quota + 2);
      const bool room = window.Remaining(key.bytes(), now_ns) > 0;
      std::uint64_t in_16_slices = 0;
      for (const std::uint64_t at_ns : admitted) {
        in_16_slices += at_ns + 16 * SliceOf(window_ns) > now_ns ? 1U : 0U;
      }
      if (in_16_slices < quota) {
        ASSERT_TRUE(room) << window_ns << " " << quota;
      }
      if (!room) continue;
      window.Charge(key.bytes(), now_ns, 1);
      admitted.push_back(now_ns);
      if (admitted.size() > quota) {
        ASSERT_GE(now_ns - admitted[admitted.size() - 1 - quota], window_ns) << quota;
      }
      if (admitted.size() > 2 * quota) admitted.pop_front();
    }
  }
}

template <class Window>
void ExpectAgreement(const Window& window, Key<Window>& key, const NaiveWindow& naive,
                     std::uint64_t now_ns, std::uint64_t cost) {
  const std::uint64_t remaining = window.Remaining(key.bytes(), now_ns);
  ASSERT_EQ(remaining, naive.Remaining(now_ns)) << "at " << now_ns;
  if (cost <= window.quota()) {
    ASSERT_EQ(window.RetryAfter(key.bytes(), now_ns, cost), naive.RetryAfter(now_ns, cost));
  }
  ASSERT_EQ(window.ResetAfter(key.bytes(), now_ns), naive.RetryAfter(now_ns, window.quota()));
  if (remaining < window.quota()) {
    ASSERT_EQ(window.HoldFor(key.bytes(), now_ns), naive.RetryAfter(now_ns, remaining + 1));
  }
}

// Every sequence of five requests with gaps and costs out of small sets, over windows that do and
// do not divide by 15.
TEST(SlidingWindow, AgreesWithANaiveListOnAllSmallInputs) {
  constexpr std::uint64_t kGaps[] = {0, 1, 6, 14};
  constexpr std::uint64_t kChoices = 8;  // Four gaps, cost 1 or 2.
  for (const std::uint64_t window_ns : {1U, 2U, 7U, 15U, 16U, 31U}) {
    for (const std::uint64_t quota : {1U, 2U, 5U}) {
      const Narrow window(quota, window_ns);
      for (std::uint64_t sequence = 0;
           sequence < kChoices * kChoices * kChoices * kChoices * kChoices; ++sequence) {
        Key<Narrow> key;
        NaiveWindow naive(quota, window_ns);
        std::uint64_t now_ns = 3;
        for (std::uint64_t rest = sequence, step = 0; step < 5; ++step, rest /= kChoices) {
          now_ns += kGaps[rest % 4];
          const std::uint64_t cost = rest / 4 % 2 + 1;
          ExpectAgreement(window, key, naive, now_ns, cost);
          ASSERT_FALSE(::testing::Test::HasFatalFailure())
              << "W " << window_ns << " N " << quota << " sequence " << sequence;
          if (cost > window.Remaining(key.bytes(), now_ns)) continue;
          window.Charge(key.bytes(), now_ns, cost);
          naive.Add(now_ns, cost);
        }
      }
    }
  }
}

template <class Window>
void CompareOnRandomSteps(std::uint64_t seed, unsigned steps) {
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  unsigned done = 0;
  while (done < steps) {
    const std::uint64_t window_ns = random() % 300 + 1;
    const std::uint64_t quota = random() % 20 + 1;
    const Window window(quota, window_ns);
    Key<Window> key;
    NaiveWindow naive(quota, window_ns);
    std::uint64_t now_ns = random() % 10'000 + 1;
    std::vector<Charge> charged;  // Some are given back, soon or long after.
    for (unsigned i = 0; i < 500; ++i, ++done) {
      now_ns += random() % 8 == 0 ? random() % (2 * window_ns) : random() % 3;
      const std::uint64_t cost = random() % 4;
      ExpectAgreement(window, key, naive, now_ns, cost);
      if (::testing::Test::HasFatalFailure()) return;
      if (random() % 10 == 0 && !charged.empty()) {
        std::swap(charged[random() % charged.size()], charged.back());
        const auto [at_ns, units] = charged.back();
        charged.pop_back();
        if (naive.Counts(at_ns, now_ns)) naive.GiveBack(at_ns, units);
        window.GiveBack(key.bytes(), now_ns, at_ns, units);
      } else if (cost > 0 && cost <= window.Remaining(key.bytes(), now_ns)) {
        window.Charge(key.bytes(), now_ns, cost);
        naive.Add(now_ns, cost);
        if (charged.size() < 16) charged.push_back({.at_ns = now_ns, .units = cost});
      }
    }
  }
}

TEST(SlidingWindow, AgreesWithANaiveListOnAMillionRandomSteps) {
  CompareOnRandomSteps<Narrow>(SeedForTest(), 1'000'000);
}

TEST(SlidingWindow, TheWideOneAgreesAsWell) {
  CompareOnRandomSteps<Wide>(SeedForTest() + 1, 200'000);
}

TEST(SlidingWindow, TimeThatStepsBackOnlyMakesItStricter) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  const Narrow window(6, 150);
  Key<Narrow> key;
  std::uint64_t newest_ns = 5000;
  for (unsigned step = 0; step < 200'000; ++step) {
    if (random() % 4 == 0) newest_ns += random() % 60;
    const std::uint64_t now_ns = newest_ns - random() % 500;
    const std::uint64_t there = window.Remaining(key.bytes(), newest_ns);
    const std::uint64_t back = window.Remaining(key.bytes(), now_ns);
    ASSERT_LE(back, there);
    // The wait is true from there, too.
    const std::uint64_t retry_ns = window.RetryAfter(key.bytes(), now_ns, 1);
    ASSERT_GE(window.Remaining(key.bytes(), now_ns + retry_ns), 1U);
    if (back > 0) window.Charge(key.bytes(), now_ns, 1);
    // A charge counts no less from a later time.
    ASSERT_GE(window.Remaining(key.bytes(), newest_ns), there - std::min<std::uint64_t>(there, 1));
  }
}

TEST(SlidingWindow, AChargeMadeInThePastIsKeptAsLongAsOneMadeNow) {
  const Narrow window(2, 150);
  Key<Narrow> key;
  window.Charge(key.bytes(), 5000, 1);
  window.Charge(key.bytes(), 3000, 1);  // The clock stepped back.
  EXPECT_EQ(window.Remaining(key.bytes(), 3000 + 160), 0U);
  EXPECT_EQ(window.Remaining(key.bytes(), 5000 + 149), 0U);
  EXPECT_EQ(window.Remaining(key.bytes(), 5000 + 160), 2U);
}

TEST(SlidingWindow, HoldsAtTheEndsOfTimeAndOfTheQuota) {
  constexpr std::uint64_t kEnd = std::numeric_limits<std::uint64_t>::max();
  for (const std::uint64_t window_ns :
       {std::uint64_t{1}, std::uint64_t{107}, std::uint64_t{1} << 62U}) {
    const Wide window(Wide::kMaxQuota, window_ns);
    for (const std::uint64_t now_ns : {std::uint64_t{1}, kEnd / 2, kEnd - 1, kEnd}) {
      Key<Wide> key;
      window.Charge(key.bytes(), now_ns, Wide::kMaxQuota);
      EXPECT_EQ(window.Remaining(key.bytes(), now_ns), 0U);
      (void)window.RetryAfter(key.bytes(), now_ns, 1);
      (void)window.ResetAfter(key.bytes(), now_ns);
      EXPECT_EQ(window.LoadOf(key.bytes(), now_ns).used_ppm, 1'000'000U);
    }
  }
}

// Nobody wrote such a state, but a file may have it.
TEST(SlidingWindow, UnitsOfSlicesBeforeTheFirstLeaveWithThatOne) {
  const Narrow window(5, 150);  // Slices of 10 ns.
  Key<Narrow> key;
  window.Charge(key.bytes(), 35, 1);
  const std::uint16_t one = 1;
  for (std::size_t lane = 0; lane < 16; ++lane) {
    std::memcpy(key.bytes() + 8 + lane * sizeof(one), &one, sizeof(one));
  }
  EXPECT_EQ(window.HoldFor(key.bytes(), 35), 10U + 149 - 35);
  EXPECT_EQ(window.ResetAfter(key.bytes(), 35), 40U + 149 - 35);
  EXPECT_EQ(window.RetryAfter(key.bytes(), 35, 1), 10U + 149 - 35);
}

// Slices 16 apart share a counter: only the slice that was charged may be given back to.
TEST(SlidingWindow, AGiveBackNeverReachesTheSliceThatSharesItsCounter) {
  const Narrow window(5, 150);  // Slices of 10 ns.
  Key<Narrow> key;
  window.Charge(key.bytes(), 1000, 2);
  window.GiveBack(key.bytes(), 1005, 1000 + 160, 2);  // Of a time to come.
  EXPECT_EQ(window.Remaining(key.bytes(), 1005), 3U);
  window.Charge(key.bytes(), 1000 + 160, 2);
  window.GiveBack(key.bytes(), 1000 + 160, 1000, 2);  // Expired.
  window.GiveBack(key.bytes(), 1000 + 100, 1000, 2);  // The same for a clock that stepped back.
  EXPECT_EQ(window.Remaining(key.bytes(), 1000 + 160), 3U);
}

TEST(SlidingWindow, OldestUnitsAreGivenBackFirstAndNeverBelowZero) {
  const Narrow window(5, 15);
  Key<Narrow> key;
  window.Charge(key.bytes(), 100, 2);
  window.Charge(key.bytes(), 105, 2);
  window.GiveBackOldest(key.bytes(), 106, 3);
  EXPECT_EQ(window.Remaining(key.bytes(), 106), 4U);
  EXPECT_EQ(window.ResetAfter(key.bytes(), 106), 14U);  // What is left was charged at 105.
  window.GiveBackOldest(key.bytes(), 106, 100);
  EXPECT_EQ(window.Remaining(key.bytes(), 106), 5U);
}

TEST(SlidingWindow, LoadTellsTheShareRoundedUpAndWhenItClears) {
  const Narrow window(3, 15);
  Key<Narrow> key;
  EXPECT_EQ(window.LoadOf(key.bytes(), 100).clears_after_ns, 0U);
  window.Charge(key.bytes(), 100, 1);
  EXPECT_EQ(window.LoadOf(key.bytes(), 100).used_ppm, 333'333U);
  EXPECT_EQ(window.LoadOf(key.bytes(), 100).clears_after_ns, 15U);
  EXPECT_EQ(window.LoadOf(key.bytes(), 115).clears_after_ns, 0U);
}

}  // namespace
}  // namespace sluicegate::limit
