// What a Limiter forgets when it is told to, and what of that it cannot.
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "base/manual_clock.h"
#include "base/temporary_folder_for_test.h"
#include "sluicegate/limiter.h"
#include "table/process_for_test.h"

namespace sluicegate {
namespace {

using std::chrono::seconds;

class LimiterForget : public ::testing::Test {
 protected:
  [[nodiscard]] static Limiter Make(std::initializer_list<LimitLike> limits,
                                    const LimiterOptions& options) {
    auto limiter = Limiter::Create(limits, options);
    EXPECT_TRUE(limiter.has_value()) << limiter.error();
    return std::move(*limiter);
  }
  [[nodiscard]] Limiter Make(std::initializer_list<LimitLike> limits) const {
    return Make(limits, {.memory_bytes = 1 << 16, .clock = &clock_});
  }

  // Brings so many keys to the limit that some of them have given way.
  static void Flood(Limiter& limiter, const std::string& prefix, unsigned keys) {
    for (unsigned i = 0; i < keys; ++i) {
      while (limiter.Check(prefix + std::to_string(i))) {
      }
    }
  }

  ManualClock clock_;
};

TEST_F(LimiterForget, TheKeyHasAllOfItsQuotaAgainAndOthersHaveTheirs) {
  Limiter limiter = Make({"3/minute", Limit::Burst(2, "1/min")});
  EXPECT_TRUE(limiter.Check("ada", 2));
  EXPECT_TRUE(limiter.Check("bob", 2));
  EXPECT_FALSE(limiter.Check("ada"));
  EXPECT_TRUE(limiter.Forget("ada"));
  EXPECT_EQ(limiter.Look("ada").used[0], 0U);
  EXPECT_TRUE(limiter.Check("ada", 2));
  EXPECT_FALSE(limiter.Check("bob"));
  EXPECT_TRUE(limiter.Forget("nobody"));
}

TEST_F(LimiterForget, AChargeOfBeforeGivesNothingBack) {
  Limiter limiter = Make({"3/minute"});
  const Decision before = limiter.Check("ada", 3);
  ASSERT_TRUE(before);
  limiter.Forget("ada");
  EXPECT_TRUE(limiter.Check("ada", 3));
  limiter.GiveBack(before);
  EXPECT_FALSE(limiter.Check("ada"));
}

TEST_F(LimiterForget, ViolationsAndBansGoAndWhatIsInFlightStays) {
  Limiter limiter = Make({"9/minute", Limit::Concurrency(1)},
                         {.memory_bytes = 1 << 20, .clock = &clock_, .penalty = Penalty{}});
  const Decision first = limiter.Check("ada");
  ASSERT_TRUE(first);
  for (unsigned i = 0; i < 5; ++i) limiter.RecordViolation("ada");
  EXPECT_EQ(limiter.Check("ada").verdict, Verdict::kBanned);
  EXPECT_TRUE(limiter.Forget("ada"));
  EXPECT_EQ(limiter.Look("ada").violations, 0U);
  EXPECT_EQ(limiter.Check("ada").verdict, Verdict::kLimited) << "one is under way";
  limiter.Release(first);
  EXPECT_TRUE(limiter.Check("ada"));
}

// One bucket and its sketch: of 13 keys at their limit one has given way.
class OneBucket : public LimiterForget {
 protected:
  static constexpr unsigned kKeys = 13;
  OneBucket() {
    EXPECT_EQ(limiter_.capacity() + 1, kKeys);
    Flood(limiter_, "key-", kKeys);
    EXPECT_EQ(limiter_.evictions(), 1U);
    for (unsigned i = 0; i < kKeys; ++i) {
      const std::string key = "key-" + std::to_string(i);
      if (limiter_.Look(key).used[0] == 0) blocked_ = key;  // The table does not hold it.
    }
    EXPECT_FALSE(limiter_.Check(blocked_));
  }

  Limiter limiter_ = Make({"2/minute"}, {.memory_bytes = 1 << 10, .clock = &clock_});
  std::string blocked_;
};

TEST_F(OneBucket, AKeyThatIsBlockedComesInAgain) {
  EXPECT_TRUE(limiter_.Forget(blocked_));
  EXPECT_TRUE(limiter_.Check(blocked_, 2));
  EXPECT_EQ(limiter_.evictions(), 2U) << "another one had to make room";
  for (unsigned i = 0; i < kKeys; ++i) {
    EXPECT_FALSE(limiter_.Check("key-" + std::to_string(i))) << "nobody else gained by it: " << i;
  }
}

// What remembers it remembers others in the same cells, so it does not forget.
TEST_F(OneBucket, ABlockedKeyThatLosesItsPlaceAgainIsDeniedForTheRest) {
  EXPECT_TRUE(limiter_.Forget(blocked_));
  EXPECT_TRUE(limiter_.Check("newcomer"));
  EXPECT_EQ(limiter_.evictions(), 2U) << "the place of a key that has used nothing is free";
  EXPECT_FALSE(limiter_.Check(blocked_));
  clock_.Advance(seconds(65));  // 16 slices of 4 s, and a tick of the sketch.
  EXPECT_TRUE(limiter_.Check(blocked_));
}

TEST_F(LimiterForget, AllIsForgottenWithTheBlocks) {
  Limiter limiter =
      Make({"2/minute"}, {.memory_bytes = 1 << 16, .clock = &clock_, .penalty = Penalty{}});
  const auto keys = static_cast<unsigned>(limiter.capacity() + 100);
  Flood(limiter, "key-", keys);
  for (unsigned i = 0; i < 5; ++i) limiter.RecordViolation("key-1");
  ASSERT_GE(limiter.evictions(), 100U);
  const std::uint64_t live = limiter.EstimateLive();
  EXPECT_EQ(limiter.ForgetAll(), live);
  EXPECT_EQ(limiter.EstimateLive(), 0U);
  for (unsigned i = 0; i < keys; ++i) {
    ASSERT_TRUE(limiter.Peek("key-" + std::to_string(i))) << i;
    ASSERT_EQ(limiter.Peek("key-" + std::to_string(i)).remaining, 2U) << i;
  }
}

TEST_F(LimiterForget, OfUnitsInFlightAloneNothingIsForgotten) {
  Limiter limiter = Make({Limit::Concurrency(1)});
  EXPECT_TRUE(limiter.Check("ada"));
  EXPECT_TRUE(limiter.Forget("ada"));
  EXPECT_EQ(limiter.ForgetAll(), 0U);
  EXPECT_FALSE(limiter.Check("ada"));
}

TEST_F(LimiterForget, OthersMayAskMeanwhile) {
  Limiter limiter = Make({"2/minute"});
  const auto keys = static_cast<unsigned>(limiter.capacity() * 5 / 4);
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      while (!over.load()) Flood(limiter, "key-", keys);
    });
  }
  for (unsigned i = 0; i < 50; ++i) {
    limiter.Forget("key-" + std::to_string(i));
    limiter.ForgetAll();
  }
  over.store(true);
  for (std::thread& thread : threads) thread.join();
  limiter.ForgetAll();
  EXPECT_EQ(limiter.EstimateLive(), 0U);
  for (unsigned i = 0; i < keys; ++i) ASSERT_TRUE(limiter.Peek("key-" + std::to_string(i))) << i;
}

TEST_F(LimiterForget, OtherProcessesForgetAsWell) {
  const TemporaryFolder folder;
  const LimiterOptions options{.memory_bytes = 1 << 16, .state_file = folder / "state"};
  Process other([&](Process::Voice voice) {
    Limiter theirs = Make({"2/day"}, options);
    voice.Say(theirs.Check("ada", 2) && theirs.Check("bob", 2) ? 1 : 2);
    (void)voice.Hear();
    voice.Say(theirs.Check("ada", 2) && !theirs.Check("bob") ? 1 : 2);
    (void)voice.Hear();
    voice.Say(theirs.Check("ada", 2) && theirs.Check("bob", 2) ? 1 : 2);
  });
  ASSERT_EQ(other.Hear(), 1U);
  Limiter ours = Make({"2/day"}, options);
  EXPECT_TRUE(ours.Forget("ada"));
  other.Say(1);
  EXPECT_EQ(other.Hear(), 1U);
  EXPECT_EQ(ours.ForgetAll(), 2U);
  other.Say(1);
  EXPECT_EQ(other.Hear(), 1U);
}

}  // namespace
}  // namespace sluicegate
