// Messages of MCP in the engine: which rules count them, several as one, and what lasts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "config/load.h"
#include "engine/engine.h"

namespace sluicegate::engine {
namespace {

using ::testing::SizeIs;

constexpr HashSecret kSecret{.k0 = 0x0706050403020100, .k1 = 0x0f0e0d0c0b0a0908};
constexpr Now kNow{.engine_ns = 14ULL * 86'400 * 1'000'000'000,
                   .unix_ns = 1'767'225'600'000'000'000};

class McpBudgets : public testing::Test {
 protected:
  void Use(const std::string& yaml) {
    auto policy = config::ParsePolicy(yaml);
    ASSERT_TRUE(policy.has_value());
    auto engine = Engine::Create(std::move(*policy), kSecret);
    ASSERT_TRUE(engine.has_value());
    engine_ = std::move(*engine);
  }
  [[nodiscard]] Request Of(std::string_view method, std::string_view tool = "") const {
    Request request{.client = *IpAddress::Parse("192.0.2.1"), .mcp_method = method};
    request.mcp_tool = tool;
    request.mcp_class = rules().policy().settings().mcp.ClassOf(method);
    return request;
  }
  [[nodiscard]] const Ruleset& rules() const { return *engine_->rulesets().Get(); }
  bool Passes(const Request& request, Now now = kNow) {
    return engine_->Decide(rules(), request, now)->allowed();
  }
  Decision DecideAll(const std::vector<Request>& requests) {
    leases_.clear();
    return *engine_->DecideAll(rules(), requests, kNow, leases_);
  }

  std::unique_ptr<Engine> engine_;
  std::vector<Stamp> leases_;
};

TEST_F(McpBudgets, WhatSetsUpCountsForItsOwnRulesAndThoseThatNameIt) {
  Use("mcp: {}\nrules:\n"
      "  - {name: all, key: [client], limits: [1/hour]}\n"
      "  - {name: lists, match: {mcp_method: \"*/list\"}, key: [client], limits: [2/hour]}");
  EXPECT_TRUE(Passes(Of("tools/call", "a")));
  EXPECT_FALSE(Passes(Of("tools/call", "a")));
  EXPECT_TRUE(Passes(Of("initialize")));
  EXPECT_TRUE(Passes(Of("")));
  EXPECT_TRUE(Passes(Of("notifications/progress")));
  EXPECT_TRUE(Passes(Of("tools/list")));
  EXPECT_TRUE(Passes(Of("prompts/list")));
  EXPECT_FALSE(Passes(Of("resources/list"))) << "by the rule that names it";
}

TEST_F(McpBudgets, TheBuiltInRulesAreThereOnlyWhereThePolicySpeaksOfMcp) {
  Use("rules: [{name: all, key: [client], limits: [1/hour]}]");
  EXPECT_THAT(rules().policy().rules(), SizeIs(1));
  EXPECT_TRUE(Passes(Of("initialize")));
  EXPECT_FALSE(Passes(Of("initialize")));
  for (const char* mention :
       {"match: {mcp_tool: a}", "match: {mcp_method: a}", "cost: {arg: n, max: 2}"}) {
    Use("rules: [{name: all, key: [client], limits: [5/hour], " + std::string(mention) + "}]");
    EXPECT_THAT(rules().policy().rules(), SizeIs(1 + policy::kBuiltInRules)) << mention;
  }
}

TEST_F(McpBudgets, InitializeHasACapForEachAddress) {
  Use("mcp: {}\nrules: []");
  int passed = 0;
  while (passed < 1000 && Passes(Of("initialize"))) ++passed;
  EXPECT_EQ(passed, 300);
  EXPECT_TRUE(Passes(Of("tools/list")));
}

TEST_F(McpBudgets, ABatchIsChargedWhollyOrNotAtAll) {
  Use("rules:\n"
      "  - {name: a, match: {mcp_tool: a}, key: [client], limits: [3/hour, {concurrency: 9}]}\n"
      "  - {name: b, match: {mcp_tool: b}, key: [client], limits: [1/hour]}");
  const Request a = Of("tools/call", "a");
  const Request b = Of("tools/call", "b");
  EXPECT_TRUE(DecideAll({a, b}).allowed());
  EXPECT_THAT(leases_, SizeIs(1));
  const Decision denied = DecideAll({a, a, b});
  EXPECT_FALSE(denied.allowed());
  EXPECT_EQ(rules().policy().rules()[denied.rule].name(), "b");
  EXPECT_THAT(leases_, SizeIs(0));
  const Decision admitted = DecideAll({a, a});
  EXPECT_TRUE(admitted.allowed()) << "the denied batch took nothing";
  EXPECT_EQ(admitted.remaining, 0U);
  EXPECT_FALSE(Passes(a));
}

TEST_F(McpBudgets, ADeniedBatchWaitsUntilAllOfItFits) {
  Use("rules: [{name: all, key: [client], limits: [{burst: 5, refill: 1/s}]}]");
  const Request a = Of("tools/call", "a");
  EXPECT_TRUE(DecideAll(std::vector<Request>(5, a)).allowed());
  const Decision denied = DecideAll(std::vector<Request>(4, a));
  EXPECT_FALSE(denied.allowed());
  EXPECT_EQ(denied.retry_after_ns, 4'000'000'000U);
  const Now later{.engine_ns = kNow.engine_ns + denied.retry_after_ns, .unix_ns = kNow.unix_ns};
  EXPECT_TRUE(engine_->DecideAll(rules(), std::vector<Request>(4, a), later, leases_)->allowed());
}

TEST_F(McpBudgets, ABansWaitIsTheLimitsWhereThatIsLonger) {
  Use("rules: [{name: all, key: [client], limits: [2/hour], penalty: {violations: 1, within: 1m, "
      "ban: 1s}}]");
  const Request a = Of("tools/call", "a");
  EXPECT_TRUE(Passes(a) && Passes(a));
  EXPECT_FALSE(Passes(a));
  const auto ban = engine_->FindBan(rules(), a, kNow);
  ASSERT_TRUE(ban);
  EXPECT_EQ(ban->retry_after_ns, engine_->Decide(rules(), a, kNow)->retry_after_ns);
  EXPECT_GT(ban->retry_after_ns, 3'500'000'000'000U);
  EXPECT_EQ(DecideAll({a, a, a}).retry_after_ns, Decision::kNever);
}

TEST_F(McpBudgets, ABatchBeyondAQuotaNeverFits) {
  Use("rules: [{name: all, key: [client], limits: [5/minute, 20/hour]}]");
  const std::vector<Request> six(6, Of("tools/call", "a"));
  const Decision never = DecideAll(six);
  EXPECT_EQ(never.retry_after_ns, Decision::kNever);
  EXPECT_TRUE(never.Denies(0));
  EXPECT_EQ(never.quota, 5U);
  std::vector<Request> two_clients(6, Of("tools/call", "a"));
  for (std::size_t i = 0; i < 3; ++i) two_clients[i].client = *IpAddress::Parse("192.0.2.9");
  EXPECT_TRUE(DecideAll(two_clients).allowed()) << "each has its own quota";
}

TEST_F(McpBudgets, ABatchBeyondAQuotaIsAViolationAsAny) {
  Use("rules: [{name: all, key: [client], limits: [3/minute], "
      "penalty: {violations: 2, within: 1m, ban: 5m}}]");
  const std::vector<Request> four(4, Of("tools/call", "a"));
  EXPECT_EQ(DecideAll(four).verdict, Verdict::kLimited);
  EXPECT_EQ(DecideAll(four).verdict, Verdict::kLimited);
  EXPECT_EQ(DecideAll(four).verdict, Verdict::kBanned);
}

TEST_F(McpBudgets, ABatchBeyondAQuotaIsNoViolationOfOtherRules) {
  Use("rules:\n"
      "  - {name: units, match: {mcp_tool: a}, key: [client], cost: 60, limits: [100/hour]}\n"
      "  - {name: calls, key: [client], limits: [50/hour], "
      "penalty: {violations: 1, within: 1m, ban: 5m}}");
  const std::vector<Request> two(2, Of("tools/call", "a"));
  for (int i = 0; i < 3; ++i) {
    const Decision decision = DecideAll(two);
    EXPECT_EQ(decision.verdict, Verdict::kLimited);
    EXPECT_EQ(rules().policy().rules()[decision.rule].name(), "units");
  }
  EXPECT_TRUE(Passes(Of("tools/call", "b")));
}

TEST_F(McpBudgets, StreamsLeaveTheHandshakesTheirBudget) {
  Use("mcp: {}\nrules: []");
  Request stream = Of("");
  stream.method = "GET";
  rules().policy().settings().mcp.Classify(stream, true);
  Receipt receipt;
  int passed = 0;
  while (passed < 1000 && engine_->Decide(rules(), stream, kNow, &receipt)->allowed()) {
    ++passed;
    for (std::size_t i = 0; i < receipt.size; ++i) {
      if (receipt.charges[i].lease) engine_->GiveBack(rules(), receipt.charges[i], kNow);
    }
  }
  EXPECT_EQ(passed, 120);
  EXPECT_TRUE(Passes(Of("initialize")));
}

TEST_F(McpBudgets, StreamsTakeUnitsOfTheRulesThatAreForThem) {
  Use("mcp: {}\nrules:\n"
      "  - {name: all, key: [client], limits: [1/hour]}\n"
      "  - {name: mcp-streams, key: [client], limits: [3/hour]}\n"
      "  - {name: gets, match: {method: GET}, key: [client], limits: [2/hour]}");
  Request stream = Of("");
  stream.method = "GET";
  rules().policy().settings().mcp.Classify(stream, true);
  EXPECT_EQ(stream.mcp_class, McpClass::kStream);
  EXPECT_TRUE(Passes(stream));
  EXPECT_TRUE(Passes(stream));
  EXPECT_FALSE(Passes(stream)) << "by the rule that names GET";
  const Request listen = [this] {
    Request request = Of("subscriptions/listen");
    request.places_only = true;
    return request;
  }();
  EXPECT_TRUE(DecideAll({listen}).allowed());
  EXPECT_FALSE(DecideAll({listen}).allowed()) << "by the built-in rule's own rate";
}

TEST_F(McpBudgets, ABanIsKnownBeforeAMessageIsRead) {
  Use("rules: [{name: all, key: [client], limits: [1/minute], exempt: {users: [root]}, "
      "penalty: {violations: 2, within: 1m, ban: 5m}}]");
  const Request request = Of("tools/call", "a");
  EXPECT_FALSE(engine_->FindBan(rules(), request, kNow));
  for (int i = 0; i < 3; ++i) (void)Passes(request);
  const auto ban = engine_->FindBan(rules(), request, kNow);
  ASSERT_TRUE(ban);
  EXPECT_EQ(ban->verdict, Verdict::kBanned);
  EXPECT_EQ(ban->retry_after_ns, 300'000'000'000U);
  Request other = request;
  other.client = *IpAddress::Parse("192.0.2.9");
  EXPECT_FALSE(engine_->FindBan(rules(), other, kNow));
  Request root = request;
  root.user = "root";
  EXPECT_FALSE(engine_->FindBan(rules(), root, kNow));
}

TEST_F(McpBudgets, WhatIsRenewedOutlastsItsLease) {
  Use("rules: [{name: all, key: [client], limits: [1/hour, {concurrency: 1, lease: 30s}]}]");
  Request stream = Of("");
  stream.places_only = true;
  Receipt receipt;
  Now now = kNow;
  const auto advance = [&now] {
    now.engine_ns += 20'000'000'000;
    now.unix_ns += 20'000'000'000;
  };
  ASSERT_TRUE(engine_->Decide(rules(), stream, now, &receipt)->allowed());
  ASSERT_EQ(receipt.size, 1U) << "no units";
  for (int i = 0; i < 5; ++i) {
    advance();
    engine_->Renew(rules(), receipt.charges[0], now);
    EXPECT_FALSE(Passes(stream, now)) << i;
  }
  engine_->GiveBack(rules(), receipt.charges[0], now);
  EXPECT_TRUE(Passes(Of("tools/call", "a"), now)) << "the place is free, and no unit was taken";
}

}  // namespace
}  // namespace sluicegate::engine
