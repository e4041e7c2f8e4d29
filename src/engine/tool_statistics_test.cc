// The counters of tools: what they count, and that they are bounded.
#include "engine/tool_statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluicegate::engine {
namespace {

constexpr Now kNow{.engine_ns = 1, .unix_ns = 7};

TEST(ToolStatistics, CallsAndDenialsAreCounted) {
  ToolStatistics tools;
  EXPECT_FALSE(tools.Read("a").has_value());
  tools.Count("b", false, kNow);
  tools.Count("b", true, kNow);
  tools.Begin("a");
  tools.Begin("b");
  const auto all = tools.Read();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].tool, "a");
  EXPECT_EQ(all[0].total_calls, 0U);
  EXPECT_EQ(all[0].limited_rate(), 0.0);
  EXPECT_EQ(all[0].last_limited_unix_ns, std::nullopt);
  EXPECT_EQ(all[1].total_calls, 2U);
  EXPECT_EQ(all[1].limited_rate(), 0.5);
  EXPECT_EQ(all[1].last_limited_unix_ns, 7);
  EXPECT_TRUE(tools.Reset("b"));
  EXPECT_FALSE(tools.Reset("b"));
  tools.ResetAll();
  EXPECT_THAT(tools.Read(), testing::IsEmpty());
}

TEST(ToolStatistics, FurtherAndLongerNamesCountUnderOne) {
  ToolStatistics tools;
  const std::string longer(ToolStatistics::kMostNameBytes + 1, 'x');
  tools.Begin(longer);
  tools.Count(longer, true, kNow);
  EXPECT_EQ(tools.Read("other")->limited_calls, 1U);
  for (std::size_t i = 0; i < ToolStatistics::kMostTools + 3; ++i) {
    tools.Count("tool " + std::to_string(i), false, kNow);
  }
  EXPECT_EQ(tools.Read().size(), ToolStatistics::kMostTools);
  EXPECT_EQ(tools.Read("other")->total_calls, 1U + 4U);
  tools.Count("tool 0", false, kNow);
  EXPECT_EQ(tools.Read("tool 0")->total_calls, 2U);
}

}  // namespace
}  // namespace sluicegate::engine
