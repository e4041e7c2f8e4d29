#include "base/mcp_denial.h"

#include <gtest/gtest.h>

#include <string>

namespace sluicegate {
namespace {

std::string ResultOf(const McpDenial& denial, bool modern) {
  std::string out;
  AppendToolResult(denial, modern, out);
  return out;
}

TEST(McpDenialTest, AResultSaysItInWordsAndNumbers) {
  const McpDenial denial{.text = "Too \"much\".",
                         .retry_after_s = 7,
                         .policy = "search",
                         .quota = 10,
                         .remaining = 0,
                         .window_s = 60};
  const std::string rest =
      R"("content":[{"type":"text","text":"Too \"much\"."}],"isError":true,)"
      R"("_meta":{"sluicegate/rateLimit":{"retryAfterSeconds":7,"limit":10,"remaining":0,)"
      R"("window":60,"policy":"search"}}})";
  EXPECT_EQ(ResultOf(denial, false), "{" + rest);
  EXPECT_EQ(ResultOf(denial, true), R"({"resultType":"complete",)" + rest);
}

TEST(McpDenialTest, WhatIsAbsentIsLeftOut) {
  std::string out;
  AppendDenialNumbers({.text = "Banned."}, out);
  EXPECT_EQ(out, "{}");
  out.clear();
  AppendDenialNumbers({.text = "Banned.", .retry_after_s = 300}, out);
  EXPECT_EQ(out, R"({"retryAfterSeconds":300})");
  out.clear();
  AppendDenialNumbers({.text = "In flight.", .policy = "a", .quota = 3, .remaining = 1}, out);
  EXPECT_EQ(out, R"({"limit":3,"remaining":1,"policy":"a"})");
}

}  // namespace
}  // namespace sluicegate
