#include "pipe/mcp_gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/siphash.h"
#include "config/load.h"

namespace sluicegate::pipe {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr std::string_view kTwo =
    "rules: [{name: calls, match: {mcp_tool: echo}, key: [client], limits: [2/minute]}]";
constexpr std::string_view kOneAtOnce =
    "rules: [{name: calls, match: {mcp_tool: '*'}, key: [client], limits: [{concurrency: 1}]}]";

std::string Call(std::string_view id, std::string_view tool = "echo") {
  return R"({"jsonrpc":"2.0","id":)" + std::string(id) +
         R"(,"method":"tools/call","params":{"name":")" + std::string(tool) + "\"}}\n";
}

std::string Answer(std::string_view id) {
  return R"({"jsonrpc":"2.0","id":)" + std::string(id) + ",\"result\":{}}\n";
}

class McpGateTest : public ::testing::Test {
 protected:
  void Start(std::string_view yaml) {
    const auto policy = config::ParsePolicy(std::string(yaml));
    ASSERT_TRUE(policy) << yaml;
    auto engine = engine::Engine::Create(*policy, HashSecret::Random());
    ASSERT_TRUE(engine);
    engine_ = *std::move(engine);
    gate_ = std::make_unique<McpGate>(
        *engine_, tools_,
        [this](const http::DenialEvent& event) { denied_.emplace_back(event.rule); },
        [this](Now) { ++seconds_; });
  }

  // Whether the line goes on; answers_ is what the client is told instead.
  bool Admits(std::string_view line) {
    const auto padded = std::make_unique<char[]>(line.size() + gate_->padding());
    std::memcpy(padded.get(), line.data(), line.size());
    answers_.clear();
    return gate_->Admits({padded.get(), line.size()}, now_, answers_);
  }

  void Observe(std::string_view bytes) { gate_->Observe(bytes, now_); }

  Now now_{.engine_ns = 1'000'000'000, .unix_ns = 1'767'225'600'000'000'000};
  std::vector<std::string> denied_;  // By these rules.
  engine::ToolStatistics tools_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<McpGate> gate_;
  std::string answers_;
  int seconds_ = 0;
};

TEST_F(McpGateTest, CallsBeyondTheLimitAreAnsweredInOneLine) {
  Start(kTwo);
  EXPECT_TRUE(Admits(Call("1")));
  EXPECT_TRUE(Admits(Call("2")));
  EXPECT_FALSE(Admits(Call("\"x\"")));
  EXPECT_THAT(
      answers_,
      AllOf(StartsWith(R"({"jsonrpc":"2.0","id":"x","result":{)"), HasSubstr("\"isError\":true"),
            HasSubstr("Rate limit exceeded for tool echo: 2 per minute."), EndsWith("}\n")));
  EXPECT_EQ(answers_.find('\n'), answers_.size() - 1);
  EXPECT_TRUE(Admits(Call("4", "other"))) << "only what the rule names";
  EXPECT_THAT(denied_, testing::ElementsAre("calls"));
  ASSERT_TRUE(tools_.Read("echo"));
  EXPECT_EQ(tools_.Read("echo")->total_calls, 3U);
  EXPECT_EQ(tools_.Read("echo")->limited_calls, 1U);
}

TEST_F(McpGateTest, AnswersOfTheModernEraSayThatTheyAreComplete) {
  Start("rules: [{name: calls, key: [client], match: {mcp_tool: echo}, limits: [1/minute]}]");
  const std::string call =
      R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","_meta":)"
      R"({"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}})";
  EXPECT_TRUE(Admits(call));
  EXPECT_FALSE(Admits(call));
  EXPECT_THAT(answers_, HasSubstr("\"resultType\":\"complete\""));
}

TEST_F(McpGateTest, TheBuiltInPolicyHoldsForCalls) {
  Start(config::DefaultPolicyYaml());
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(Admits(Call("1")));
  EXPECT_FALSE(Admits(Call("1")));
  EXPECT_TRUE(Admits(R"({"jsonrpc":"2.0","id":1,"method":"tools/list"})"))
      << "lists have a budget of their own";
}

TEST_F(McpGateTest, BlankLinesPass) {
  Start(kTwo);
  for (const char* const line : {"\n", "\r\n", "  \t\n", "\r\r\n", " "}) {
    EXPECT_TRUE(Admits(line));
    EXPECT_THAT(answers_, IsEmpty());
  }
}

TEST_F(McpGateTest, ALineMayEndInAnyWay) {
  Start(kTwo);
  std::string call = Call("1");
  call.pop_back();
  EXPECT_TRUE(Admits(call));
  EXPECT_TRUE(Admits(call + "\r\n"));
  EXPECT_FALSE(Admits(call + "\r\n")) << "each was counted";
}

TEST_F(McpGateTest, WhatIsNoMessageIsAnsweredAndDoesNotGoOn) {
  Start(kTwo);
  for (const char* const line : {"x\n", "{}\n", "{\"jsonrpc\":\"2.0\"\n", "\xff\n", "[]\n"}) {
    EXPECT_FALSE(Admits(line)) << line;
    EXPECT_THAT(answers_, AllOf(HasSubstr("\"id\":null"), HasSubstr("\"error\""), EndsWith("}\n")));
  }
  EXPECT_FALSE(Admits(R"({"jsonrpc":"2.0","id":5,"method":"a","method":"b"})"));
  EXPECT_THAT(answers_, HasSubstr("\"id\":5"));
}

// Python's servers end a line at a carriage return, too, and would find a call in this one.
TEST_F(McpGateTest, ACarriageReturnWithinALineHidesNoCall) {
  Start(kTwo);
  std::string call = Call("1");
  call.pop_back();
  const std::string line =
      R"({"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":)" + ("\r" + call) + "\r}}\n";
  EXPECT_FALSE(Admits(line));
  EXPECT_THAT(answers_, HasSubstr("carriage return"));
  EXPECT_THAT(tools_.Read(), IsEmpty());
}

TEST_F(McpGateTest, ABatchIsOneDecision) {
  Start(kTwo);
  std::string one = Call("1");
  one.pop_back();
  EXPECT_TRUE(Admits("[" + one + "]\n"));
  EXPECT_FALSE(Admits("[" + one + "," + one + "]\n"));
  EXPECT_THAT(answers_, AllOf(StartsWith("["), EndsWith("]\n")));
  EXPECT_TRUE(Admits("[" + one + "]\n"));
}

TEST_F(McpGateTest, ADeniedNotificationGetsNoAnswer) {
  Start("rules: [{name: n, match: {mcp_method: notifications/x}, key: [], limits: [1/minute]}]");
  const std::string line = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}\n";
  EXPECT_TRUE(Admits(line));
  EXPECT_FALSE(Admits(line));
  EXPECT_THAT(answers_, IsEmpty());
}

TEST_F(McpGateTest, TooLongIsTold) {
  Start(kTwo);
  gate_->RefuseTooLong(answers_);
  EXPECT_THAT(answers_, AllOf(HasSubstr("\"id\":null"), HasSubstr("64 MiB"), EndsWith("}\n")));
}

TEST_F(McpGateTest, ARequestInFlightHoldsItsPlaceUntilItsAnswer) {
  Start(kOneAtOnce);
  EXPECT_TRUE(Admits(Call("1")));
  EXPECT_FALSE(Admits(Call("2")));
  EXPECT_THAT(answers_, HasSubstr("1 at the same time"));
  Observe(Answer("7"));
  Observe("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n");
  EXPECT_FALSE(Admits(Call("3"))) << "neither another's answer nor a request of the server's";
  for (const char byte : Answer("1")) Observe({&byte, 1});
  EXPECT_TRUE(Admits(Call("4")));
}

TEST_F(McpGateTest, AnAnswerWithinALineThatBeganBeforeIsNotTorn) {
  Start(kOneAtOnce);
  Observe("{\"jsonrpc\":\"2.0\",\"method\":");
  EXPECT_TRUE(Admits(Call("1")));
  Observe("\"notifications/x\"");
  Observe("}\n" + Answer("1") + "{\"json");
  EXPECT_TRUE(Admits(Call("2")));
  Observe("rpc\":\"2.0\",\"method\":\"x\"}\n\r\n" + Answer("2"));
  EXPECT_TRUE(Admits(Call("3")));
}

TEST_F(McpGateTest, ARequestOfTheServersEndsNoneOfTheClients) {
  Start(kOneAtOnce);
  EXPECT_TRUE(Admits(Call("1")));
  Observe("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n");
  Observe("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":null}\n");
  Observe("{\"jsonrpc\":\"2.0\",\"Id\":1,\"id\":1,\"method\":\"ping\"}\n");
  EXPECT_FALSE(Admits(Call("2")));
}

TEST_F(McpGateTest, AnErrorAndAnAnswerThatIsRefusedHereEndARequestAsWell) {
  Start(kOneAtOnce);
  EXPECT_TRUE(Admits(Call("1")));
  Observe("{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":1,\"message\":\"\"}}\n");
  EXPECT_TRUE(Admits(Call("2")));
  Observe("{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{},\"result\":{}}\n");
  EXPECT_TRUE(Admits(Call("3")));
  Observe("no json\n[]\n" + Answer("3"));
  EXPECT_TRUE(Admits(Call("4")));
}

TEST_F(McpGateTest, ACancelledRequestHoldsNothing) {
  Start(kOneAtOnce);
  EXPECT_TRUE(Admits(Call("1")));
  EXPECT_TRUE(
      Admits(R"({"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}})"));
  EXPECT_TRUE(Admits(Call("2")));
}

TEST_F(McpGateTest, TheServersEndEndsAllRequests) {
  Start(kOneAtOnce);
  EXPECT_TRUE(Admits(Call("1")));
  gate_->End(now_);
  EXPECT_TRUE(Admits(Call("2")));
}

TEST_F(McpGateTest, ARequestMayTakeLongerThanItsLease) {
  Start(
      "rules: [{name: calls, match: {mcp_tool: '*'}, key: [client], limits: [{concurrency: 1, "
      "lease: 10s}]}]");
  EXPECT_TRUE(Admits(Call("1")));
  for (int second = 0; second < 30; ++second) {
    now_.engine_ns += 1'000'000'000;
    gate_->OnSecond(now_);
  }
  EXPECT_EQ(seconds_, 30);
  EXPECT_FALSE(Admits(Call("2")));
  Observe(Answer("1"));
  EXPECT_TRUE(Admits(Call("3")));
}

}  // namespace
}  // namespace sluicegate::pipe
