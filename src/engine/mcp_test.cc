// RateLimitTool: what a denied call returns, for handlers of every kind, and what is counted.
#include "sluicegate/mcp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "base/manual_clock.h"
#include "sluicegate/lease.h"

namespace sluicegate {
namespace {

using ::testing::HasSubstr;

class RateLimitToolTest : public ::testing::Test {
 protected:
  static Limiter Make(LimitLike limit, const Clock& clock) {
    return std::move(
        *Limiter::Create({std::move(limit)}, {.memory_bytes = 64 * 1024, .clock = &clock}));
  }
  void SetUp() override { ResetAllToolStatistics(); }

  ManualClock clock_;
  Limiter limiter_ = Make(Limit::Burst(2, "1/7s"), clock_);
};

std::string Echo(std::string_view arguments) { return std::string(arguments); }

TEST_F(RateLimitToolTest, ADeniedCallGetsAResultThatSaysIsError) {
  const auto search = RateLimitTool("search", Echo, RateLimitToolOptions{.limiter = &limiter_});
  EXPECT_EQ(search("{}"), "{}");
  EXPECT_EQ(search(std::string("{}")), "{}");
  static_assert(std::is_same_v<decltype(search("{}")), std::string>);
  EXPECT_EQ(search("{}"),
            R"({"content":[{"type":"text","text":"Rate limit exceeded for tool search: a burst of )"
            R"(2. Retry after 7 seconds."}],"isError":true,"_meta":{"sluicegate/rateLimit":)"
            R"({"retryAfterSeconds":7,"limit":2,"remaining":0,"window":14,"policy":"burst"}}})");
  clock_.Advance(std::chrono::seconds(7));
  EXPECT_EQ(search("{}"), "{}");
}

TEST_F(RateLimitToolTest, AResultOfTheModernEraSaysThatItIsComplete) {
  const auto search =
      RateLimitTool("search", Echo, RateLimitToolOptions{.limiter = &limiter_, .modern = true});
  for (int i = 0; i < 2; ++i) EXPECT_EQ(search("{}"), "{}");
  EXPECT_THAT(search("{}"),
              ::testing::StartsWith(R"({"resultType":"complete","content":[{"type":"text",)"));
}

TEST_F(RateLimitToolTest, TheWindowIsToldWhereThereIsOne) {
  Limiter few = Make(Limit::Concurrency(1), clock_);
  std::string within;
  const auto outer = RateLimitTool(
      "outer",
      [&](int depth, auto& self) -> std::string {
        return depth == 0 ? "done" : self(depth - 1, self);
      },
      RateLimitToolOptions{.limiter = &few});
  // While the first call is under way the second finds no place, and afterwards there is one again.
  const std::string inner = outer(1, outer);
  EXPECT_THAT(inner, HasSubstr("Rate limit exceeded for tool outer: 1 at the same time."));
  EXPECT_THAT(inner, HasSubstr(R"("limit":1,"remaining":0,"policy":"concurrency"})"));
  EXPECT_EQ(outer(0, outer), "done");
}

TEST_F(RateLimitToolTest, ACostThatNeverFitsIsToldWithoutATime) {
  const auto search =
      RateLimitTool("search", Echo, RateLimitToolOptions{.limiter = &limiter_, .cost = 3});
  const std::string result = search("{}");
  EXPECT_THAT(result, HasSubstr("no wait makes it fit"));
  EXPECT_THAT(result, HasSubstr(R"("sluicegate/rateLimit":{"limit":2,)"));
}

TEST_F(RateLimitToolTest, NamesAreEscaped) {
  Limiter one = Make("1/minute", clock_);
  const auto tool = RateLimitTool("a \"b\"\n\xFF", Echo, RateLimitToolOptions{.limiter = &one});
  EXPECT_EQ(tool("{}"), "{}");
  EXPECT_THAT(tool("{}"), HasSubstr("for tool a \\\"b\\\"\\n\xEF\xBF\xBD: 1 per minute."));
}

// What an SDK's type looks like: not made of a text.
struct SdkResult {
  bool is_error = false;
  std::string text;
};

TEST_F(RateLimitToolTest, OnDeniedMakesOtherResults) {
  const auto on_denied = [](const ToolDenied& denied) {
    EXPECT_EQ(denied.tool, "search");
    EXPECT_EQ(denied.decision.verdict, Verdict::kLimited);
    return SdkResult{.is_error = true, .text = denied.message()};
  };
  const auto search = RateLimitTool(
      "search", [](const SdkResult& arguments) { return SdkResult{.text = arguments.text}; },
      RateLimitToolOptions{.limiter = &limiter_, .on_denied = on_denied});
  for (int i = 0; i < 2; ++i) EXPECT_EQ(search(SdkResult{.text = "a"}).text, "a");
  const SdkResult denied = search(SdkResult{.text = "a"});
  EXPECT_TRUE(denied.is_error);
  EXPECT_EQ(denied.text,
            "Rate limit exceeded for tool search: a burst of 2. Retry after 7 seconds.");
  // A function of Denied, as of RateLimited, will do too, and one whose result converts.
  const auto brief = RateLimitTool(
      "search", [](int) { return std::optional(1); },
      RateLimitToolOptions{.limiter = &limiter_,
                           .on_denied = [](const Denied&) { return std::nullopt; }});
  EXPECT_EQ(brief(1), std::nullopt);
}

TEST_F(RateLimitToolTest, OnDeniedMayTakeTheArgumentsToo) {
  using Reply = std::function<void(const std::string&)>;
  const auto search = RateLimitTool(
      "search", [](std::unique_ptr<int> id, const Reply& reply) { reply(std::to_string(*id)); },
      RateLimitToolOptions{
          .limiter = &limiter_,
          .on_denied = [](const ToolDenied& denied, std::unique_ptr<int> id, const Reply& reply) {
            reply(std::to_string(*id) + ": " + denied.message());
          }});
  std::string said;
  const Reply reply = [&said](const std::string& text) { said = text; };
  for (int i = 0; i < 2; ++i) search(std::make_unique<int>(i), reply);
  EXPECT_EQ(said, "1");
  search(std::make_unique<int>(2), reply);
  EXPECT_THAT(said, ::testing::StartsWith("2: Rate limit exceeded for tool search: "));
}

TEST_F(RateLimitToolTest, CallersShareTheToolsQuotaUnlessTheyHaveAKey) {
  Limiter one = Make("1/minute", clock_);
  const auto options = RateLimitToolOptions{.limiter = &one};
  EXPECT_EQ(RateLimitTool("a", Echo, options)("1"), "1");
  EXPECT_NE(RateLimitTool("a", Echo, options)("1"), "1") << "wrappers of one name have one quota";
  EXPECT_EQ(RateLimitTool("b", Echo, options)("1"), "1");
  const auto by_user = RateLimitTool(
      "c", [](const std::string& user, int) { return user; },
      RateLimitToolOptions{.limiter = &one,
                           .key = [](const std::string& user, int) { return user; }});
  EXPECT_EQ(by_user("ada", 1), "ada");
  EXPECT_EQ(by_user("bob", 1), "bob");
  EXPECT_NE(by_user("ada", 2), "ada");
}

struct Server {
  int calls = 0;
  std::string last = "{}";
  const std::string& Run(std::string_view) {
    ++calls;
    return last;
  }
};

TEST_F(RateLimitToolTest, MembersMutableAndMoveOnlyHandlers) {
  Server server;
  auto run = RateLimitTool("run", &Server::Run, RateLimitToolOptions{.limiter = &limiter_});
  static_assert(std::is_same_v<decltype(run(server, "")), std::string>);
  for (int i = 0; i < 3; ++i) (void)run(server, "{}");
  EXPECT_EQ(server.calls, 2);

  auto count = RateLimitTool(
      "count",
      [held = std::make_unique<int>(0), own = 0](std::string_view) mutable {
        return std::to_string(*held + ++own);
      },
      RateLimitToolOptions{.limiter = &limiter_});
  EXPECT_EQ(count(""), "1");
  EXPECT_EQ(count(""), "2");

  // As a registry of handlers holds it.
  const std::function<std::string(std::string_view)> erased =
      RateLimitTool("erased", Echo, RateLimitToolOptions{.limiter = &limiter_});
  EXPECT_EQ(erased("x"), "x");
}

TEST_F(RateLimitToolTest, CallsAreCountedByName) {
  const std::int64_t before = SystemClock().Read().unix_ns;
  const auto search = RateLimitTool("search", Echo, RateLimitToolOptions{.limiter = &limiter_});
  const auto fetch = RateLimitTool("fetch", Echo, RateLimitToolOptions{.limiter = &limiter_});
  EXPECT_EQ(GetToolStatistics("search"), std::nullopt) << "wrapped, and not called";
  for (int i = 0; i < 4; ++i) (void)search("{}");
  (void)fetch("{}");
  const auto all = GetAllToolStatistics();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].tool, "fetch");
  EXPECT_EQ(all[0].limited_calls, 0U);
  EXPECT_EQ(all[0].last_limited_unix_ns, std::nullopt);
  EXPECT_EQ(all[1], GetToolStatistics("search"));
  EXPECT_EQ(all[1].total_calls, 4U);
  EXPECT_EQ(all[1].limited_calls, 2U);
  EXPECT_EQ(all[1].limited_rate(), 0.5);
  EXPECT_GE(all[1].last_limited_unix_ns, before);
  EXPECT_LE(all[1].last_limited_unix_ns, SystemClock().Read().unix_ns);
  EXPECT_TRUE(ResetToolStatistics("search"));
  EXPECT_FALSE(ResetToolStatistics("search"));
  EXPECT_EQ(GetAllToolStatistics().size(), 1U);
  ResetAllToolStatistics();
  EXPECT_TRUE(GetAllToolStatistics().empty());
  EXPECT_NE(search("{}"), "{}") << "a reset of the statistics resets no limit";
}

TEST_F(RateLimitToolTest, AHandlerThatThrowsWasCalled) {
  const auto fail = RateLimitTool(
      "fail", [](int) -> std::string { throw std::runtime_error("no"); },
      RateLimitToolOptions{.limiter = &limiter_});
  EXPECT_THROW((void)fail(1), std::runtime_error);
  EXPECT_THROW((void)fail(1), std::runtime_error);
  EXPECT_THAT(fail(1), HasSubstr("isError"));
  EXPECT_EQ(GetToolStatistics("fail")->total_calls, 3U);
  EXPECT_EQ(GetToolStatistics("fail")->limited_calls, 1U);
}

TEST_F(RateLimitToolTest, ABanIsTold) {
  Limiter banning = std::move(*Limiter::Create(
      {"9/minute"}, {.memory_bytes = 64 * 1024,
                     .clock = &clock_,
                     .penalty = Penalty{.violations = 1, .ban = std::chrono::seconds(300)}}));
  const auto search = RateLimitTool("search", Echo, RateLimitToolOptions{.limiter = &banning});
  EXPECT_TRUE(banning.RecordViolation(internal::JoinKey("search", "")));
  const std::string result = search("{}");
  EXPECT_THAT(result, HasSubstr("Rate limit exceeded for tool search: calls went on after many "
                                "denials. Retry after 300 seconds."));
  EXPECT_THAT(result, HasSubstr(R"({"sluicegate/rateLimit":{"retryAfterSeconds":300}}})"));
}

}  // namespace
}  // namespace sluicegate
