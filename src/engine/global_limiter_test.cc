// The program's one limiter. It is made once a process, so one case tells the whole story.
#include "sluicegate/global_limiter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "sluicegate/mcp.h"

namespace sluicegate {
namespace {

using ::testing::HasSubstr;

TEST(GlobalLimiter, IsConfiguredBeforeItsFirstUseAndNeverAgain) {
  const auto bad = ConfigureGlobalLimiter({"often"});
  ASSERT_FALSE(bad.has_value());
  EXPECT_THAT(bad.error(), HasSubstr("'often' is no limit"));
  ASSERT_TRUE(ConfigureGlobalLimiter({"2/day"}, {.memory_bytes = 64 * 1024}).has_value());
  std::vector<Limiter*> seen(4);
  {
    std::vector<std::jthread> threads;
    for (Limiter*& mine : seen) threads.emplace_back([&mine] { mine = &GlobalLimiter(); });
  }
  for (const Limiter* limiter : seen) EXPECT_EQ(limiter, &GlobalLimiter());
  EXPECT_EQ(GlobalLimiter().limits()[0].quota, 2U);
  const auto late = ConfigureGlobalLimiter({"5/day"});
  ASSERT_FALSE(late.has_value());
  EXPECT_THAT(late.error(), HasSubstr("made already. Call ConfigureGlobalLimiter once"));
  EXPECT_EQ(GlobalLimiter().limits()[0].quota, 2U);
  // A wrapper without a limiter asks this one.
  const auto wrapped = RateLimited([] { return 7; });
  EXPECT_EQ(wrapped().value_or(0), 7);
  EXPECT_EQ(wrapped().value_or(0), 7);
  EXPECT_FALSE(wrapped().has_value());
  const auto tool = RateLimitTool("global", [](int) { return std::string("{}"); });
  EXPECT_EQ(tool(1), "{}");
  EXPECT_EQ(tool(1), "{}");
  EXPECT_THAT(tool(1), HasSubstr("for tool global: 2 per day."));
}

// In a process of its own, as a death test's statement runs in one: nothing was configured there
// only if this case runs alone, so it asks for nothing but what holds in both.
TEST(GlobalLimiter, HasFourLimitsUnlessConfigured) {
  const auto limits = GlobalLimiter().limits();
  if (limits.size() == 1) GTEST_SKIP() << "configured by the case before, in the same process";
  ASSERT_EQ(limits.size(), 4U);
  EXPECT_EQ(limits[0].name, "per-minute");
  EXPECT_EQ(limits[1].quota, 1000U);
  EXPECT_EQ(limits[2].quota, 10'000U);
  EXPECT_EQ(limits[3].refill, 60U);
}

}  // namespace
}  // namespace sluicegate
