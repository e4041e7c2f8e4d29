// Bans by a Limiter, and what it tells of a key.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/manual_clock.h"
#include "base/temporary_folder_for_test.h"
#include "sluicegate/limiter.h"

namespace sluicegate {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::HasSubstr;

constexpr std::uint64_t kSecondNs = 1'000'000'000;

class LimiterPenalty : public ::testing::Test {
 protected:
  [[nodiscard]] LimiterOptions Options() const {
    return {.memory_bytes = 1 << 20, .clock = &clock_, .penalty = Penalty{}};
  }
  [[nodiscard]] static Limiter Make(std::initializer_list<LimitLike> limits,
                                    const LimiterOptions& options) {
    auto limiter = Limiter::Create(limits, options);
    EXPECT_TRUE(limiter.has_value()) << limiter.error();
    return std::move(*limiter);
  }

  ManualClock clock_;
};

TEST_F(LimiterPenalty, TheFifthViolationWithinAMinuteBansForFive) {
  Limiter limiter = Make({"100/minute"}, Options());
  for (unsigned i = 0; i < 4; ++i) {
    EXPECT_FALSE(limiter.RecordViolation("ada"));
    EXPECT_TRUE(limiter.Check("ada"));
  }
  EXPECT_TRUE(limiter.RecordViolation("ada"));
  const Decision banned = limiter.Check("ada");
  EXPECT_EQ(banned.verdict, Verdict::kBanned);
  EXPECT_EQ(banned.retry_after_ns, 300 * kSecondNs);
  EXPECT_EQ(banned.limit, Decision::kNone);
  EXPECT_EQ(limiter.Peek("ada").verdict, Verdict::kBanned);
  EXPECT_TRUE(limiter.Check("bob"));
  EXPECT_EQ(limiter.Look("ada").used[0], 4U) << "a banned request is charged nothing";
  clock_.Advance(seconds(299));
  EXPECT_FALSE(limiter.RecordViolation("ada")) << "a ban is not made longer";
  EXPECT_EQ(limiter.Check("ada").retry_after_ns, kSecondNs);
  clock_.Advance(seconds(1));
  EXPECT_TRUE(limiter.Check("ada"));
}

TEST_F(LimiterPenalty, DenialsAloneAreNoViolations) {
  Limiter limiter = Make({"1/hour"}, Options());
  for (unsigned i = 0; i < 20; ++i) (void)limiter.Check("ada");
  EXPECT_EQ(limiter.Check("ada").verdict, Verdict::kLimited);
  EXPECT_EQ(limiter.Look("ada").violations, 0U);
}

TEST_F(LimiterPenalty, WithoutOneAViolationIsNothing) {
  LimiterOptions options = Options();
  options.penalty.reset();
  Limiter limiter = Make({"100/minute"}, options);
  for (unsigned i = 0; i < 20; ++i) EXPECT_FALSE(limiter.RecordViolation("ada"));
  EXPECT_TRUE(limiter.Check("ada"));
  EXPECT_EQ(limiter.Look("ada").violations, 0U);
}

TEST_F(LimiterPenalty, LimitsOfEachKindAreDecidedBesideIt) {
  Limiter limiter = Make({"3/minute", Limit::Concurrency(2)}, Options());
  const Decision first = limiter.Check("ada");
  ASSERT_TRUE(first && limiter.Check("ada"));
  EXPECT_FALSE(limiter.Check("ada"));
  limiter.Release(first);
  EXPECT_TRUE(limiter.Check("ada"));
  EXPECT_EQ(limiter.Look("ada").used[0], 3U);
  EXPECT_EQ(limiter.Look("ada").used[1], 2U);
}

TEST_F(LimiterPenalty, ManyAtOnceAreBannedAlike) {
  Limiter limiter = Make({"100/minute"}, Options());
  for (unsigned i = 0; i < 5; ++i) (void)limiter.RecordViolation("ada");
  const std::array<std::string_view, 3> keys = {"bob", "ada", "bob"};
  std::array<Decision, 3> decisions;
  limiter.CheckMany(keys, decisions);
  EXPECT_TRUE(decisions[0]);
  EXPECT_EQ(decisions[1].verdict, Verdict::kBanned);
  EXPECT_EQ(decisions[2].remaining, 98U);
}

TEST_F(LimiterPenalty, ABansWaitIsTheLimitsWhereThatIsLonger) {
  Limiter limiter = Make({"2/hour", Limit::Concurrency(1)}, Options());
  EXPECT_TRUE(limiter.Check("ada"));
  clock_.Advance(seconds(1));
  for (unsigned i = 0; i < 5; ++i) (void)limiter.RecordViolation("ada");
  EXPECT_EQ(limiter.Check("ada").retry_after_ns, 300 * kSecondNs);
  EXPECT_EQ(limiter.Check("ada", 3).retry_after_ns, Decision::kNever);
  Limiter hours = Make({"1/hour"}, Options());
  EXPECT_TRUE(hours.Check("ada"));
  const std::uint64_t alone_ns = hours.Check("ada").retry_after_ns;
  for (unsigned i = 0; i < 5; ++i) (void)hours.RecordViolation("ada");
  const Decision banned = hours.Check("ada");
  EXPECT_EQ(banned.verdict, Verdict::kBanned);
  EXPECT_EQ(banned.retry_after_ns, alone_ns);
}

TEST_F(LimiterPenalty, ADecisionThatIsUsedAgainKeepsNothingToGiveBack) {
  Limiter limiter = Make({"9/minute", Limit::Concurrency(2)}, Options());
  const std::array<std::string_view, 1> key = {"ada"};
  std::array<Decision, 1> decisions;
  limiter.CheckMany(key, decisions);
  ASSERT_TRUE(decisions[0]);
  ASSERT_TRUE(limiter.Check("ada"));
  for (unsigned i = 0; i < 5; ++i) (void)limiter.RecordViolation("ada");
  limiter.CheckMany(key, decisions);
  ASSERT_EQ(decisions[0].verdict, Verdict::kBanned);
  limiter.GiveBack(decisions[0]);
  limiter.Release(decisions[0]);
  EXPECT_EQ(limiter.Look("ada").used[0], 2U);
  EXPECT_EQ(limiter.Look("ada").used[1], 2U);
}

TEST_F(LimiterPenalty, ABanOutlivesItsProcessInAFile) {
  const TemporaryFolder folder;
  LimiterOptions options = Options();
  options.state_file = folder / "state";
  {
    Limiter limiter = Make({"100/minute"}, options);
    for (unsigned i = 0; i < 5; ++i) (void)limiter.RecordViolation("ada");
  }
  Limiter after = Make({"100/minute"}, options);
  EXPECT_EQ(after.Check("ada").verdict, Verdict::kBanned);
  EXPECT_TRUE(after.Check("bob"));
}

TEST_F(LimiterPenalty, ThatIsNoneIsTold) {
  for (const Penalty& bad :
       {Penalty{.violations = 0}, Penalty{.within = seconds(0)}, Penalty{.ban = seconds(-1)}}) {
    LimiterOptions options = Options();
    options.penalty = bad;
    const auto limiter = Limiter::Create({"1/hour"}, options);
    ASSERT_FALSE(limiter.has_value());
    EXPECT_THAT(limiter.error(), HasSubstr("A penalty needs at least one violation"));
  }
}

TEST_F(LimiterPenalty, LookTellsWhatIsInUseAndWhatCountsTowardsABan) {
  Limiter limiter = Make({"60/minute", "1000/hour", Limit::Burst(10)}, Options());
  EXPECT_EQ(limiter.Look("ada").used[1], 0U);
  for (unsigned i = 0; i < 7; ++i) EXPECT_TRUE(limiter.Check("ada"));
  (void)limiter.RecordViolation("ada");
  (void)limiter.RecordViolation("ada");
  KeyUse use = limiter.Look("ada");
  EXPECT_EQ(use.used[0], 7U);
  EXPECT_EQ(use.used[1], 7U);
  EXPECT_EQ(use.used[2], 7U);
  EXPECT_EQ(use.violations, 2U);
  EXPECT_EQ(use.ban_left_ns, 0U);
  clock_.Advance(seconds(3));
  EXPECT_EQ(limiter.Look("ada").used[2], 4U);
  clock_.Advance(minutes(2));
  use = limiter.Look("ada");
  EXPECT_EQ(use.used[0], 0U);
  EXPECT_EQ(use.used[1], 7U);
  EXPECT_EQ(use.violations, 0U);
  for (unsigned i = 0; i < 5; ++i) (void)limiter.RecordViolation("ada");
  use = limiter.Look("ada");
  EXPECT_EQ(use.violations, 5U);
  EXPECT_EQ(use.ban_left_ns, 300 * kSecondNs);
}

TEST_F(LimiterPenalty, KeysInUseAreCounted) {
  Limiter limiter = Make({"10/minute"}, Options());
  EXPECT_EQ(limiter.EstimateLive(), 0U);
  for (unsigned i = 0; i < 500; ++i) (void)limiter.Check("user:" + std::to_string(i % 100));
  EXPECT_EQ(limiter.EstimateLive(), 100U);
  EXPECT_EQ(limiter.EstimateLive(0), 100U);
  EXPECT_EQ(limiter.EstimateLive(1), 0U);
  clock_.Advance(minutes(2));
  EXPECT_EQ(limiter.EstimateLive(), 0U);
}

}  // namespace
}  // namespace sluicegate
