#include "app/describe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "config/load.h"

namespace sluicegate::app {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::shared_ptr<const policy::Policy> Parse(std::string_view yaml) {
  auto policy = config::ParsePolicy(yaml);
  if (policy) return *policy;
  for (const auto& mistake : policy.error()) ADD_FAILURE() << mistake.what;
  return nullptr;
}

constexpr char kYaml[] = R"(
rules:
  - name: search
    match: {path: /search, method: [GET, POST]}
    key: [user, path]
    limits: [5/minute, {burst: 3, refill: 1/s}]
    penalty: {violations: 20, within: 1m, ban: 5m}
  - {name: watched, mode: observe, key: [client], limits: [1/minute]}
  - {name: together, key: [], limits: [100/s]}
)";

TEST(DescribeTest, MarkdownTellsWhatIsEnforced) {
  const auto policy = Parse(kYaml);
  ASSERT_NE(policy, nullptr);
  const std::string page = DescribeMarkdown(*policy);
  EXPECT_THAT(page, HasSubstr("## search\n\nApplies to path `/search`, method GET or POST; "
                              "counted by user and path."));
  EXPECT_THAT(page, HasSubstr("| per-minute | 5 in any 1m |"));
  EXPECT_THAT(page, HasSubstr("| burst | a burst of 3, refilled by 1 each 1s |"));
  EXPECT_THAT(page, HasSubstr("20 denied requests within 1m lead to a ban of 5m"));
  EXPECT_THAT(page, HasSubstr("counted by all clients together"));
  EXPECT_THAT(page, Not(HasSubstr("watched")));
}

TEST(DescribeTest, JsonIsTheSame) {
  const auto policy = Parse(kYaml);
  ASSERT_NE(policy, nullptr);
  const auto json = nlohmann::json::parse(DescribeJson(*policy));
  ASSERT_EQ(json["rules"].size(), 2U);
  EXPECT_EQ(json["rules"][0]["limits"][0]["quota"], 5);
  EXPECT_EQ(json["rules"][0]["limits"][0]["window_seconds"], 60);
  EXPECT_EQ(json["rules"][0]["limits"][1]["algorithm"], "token_bucket");
}

TEST(DescribeTest, RequestsAtTheSameTimeAndCeilings) {
  const auto policy = Parse(
      "rules:\n"
      "  - {name: a, key: [client], limits: [5/minute, {concurrency: 20, lease: 30s}], "
      "ceilings: {48: x16, 56: x4}}\n"
      "  - {name: b, key: [client], limits: [5/minute], ceilings: {63: x1}, new_keys: "
      "1000/minute}\n"
      "  - {name: c, key: [client], limits: {concurrency: 1}}\n");
  ASSERT_NE(policy, nullptr);
  const std::string page = DescribeMarkdown(*policy);
  EXPECT_THAT(page, HasSubstr("| concurrency | 20 requests at the same time |\n"));
  EXPECT_THAT(page, HasSubstr("| concurrency | 1 request at the same time |\n"));
  EXPECT_THAT(page, HasSubstr("\nTogether the clients of an IPv6 /56 have these limits 4 times, "
                              "those of a /48 16 times. Requests at the same time are not counted "
                              "together.\n"));
  EXPECT_THAT(page, HasSubstr("of an IPv6 /63 have these limits once.\n"));
  constexpr std::string_view kNewKeys =
      "A network that brings more than 1,000 new clients in 1m shares these limits among further "
      "ones.";
  EXPECT_THAT(page, HasSubstr(kNewKeys));
  const auto json = nlohmann::json::parse(DescribeJson(*policy));
  EXPECT_EQ(json["rules"][0]["limits"][1]["algorithm"], "concurrency");
  EXPECT_EQ(json["rules"][0]["limits"][1]["lease_seconds"], 30);
  EXPECT_FALSE(json["rules"][0]["limits"][1].contains("window_seconds"));
  EXPECT_THAT(std::string(json["rules"][0]["ceilings"]), HasSubstr("/56"));
  EXPECT_FALSE(json["rules"][2].contains("ceilings"));
  EXPECT_EQ(json["rules"][1]["new_keys"], kNewKeys);
  EXPECT_FALSE(json["rules"][0].contains("new_keys"));
}

TEST(DescribeTest, BoundsOfBodiesAreToldAsPeopleReadThem) {
  const auto policy = Parse(
      "max_body: 10MiB\n"
      "rules:\n"
      "  - {name: api, key: [client], limits: [5/minute], max_body: 64KiB}\n"
      "  - {name: rest, key: [client], limits: [5/minute]}\n");
  ASSERT_NE(policy, nullptr);
  const std::string page = DescribeMarkdown(*policy);
  EXPECT_THAT(page, HasSubstr("# Rate limits\n\nNo request's body has more than 10.0 MiB.\n"));
  EXPECT_THAT(page, HasSubstr("counted by client. A request's body has at most 64.0 KiB.\n"));
  EXPECT_THAT(page, HasSubstr("counted by client.\n")) << "the rule without a bound of its own";
  const auto json = nlohmann::json::parse(DescribeJson(*policy));
  EXPECT_EQ(json["max_body_bytes"], 10 << 20);
  EXPECT_EQ(json["rules"][0]["max_body_bytes"], 64 << 10);
  EXPECT_FALSE(json["rules"][1].contains("max_body_bytes"));
}

TEST(DescribeTest, APenaltySaysWhatABanDoes) {
  const auto policy = Parse(
      "rules:\n"
      "  - {name: a, key: [client], limits: [5/minute], penalty: {violations: 3, within: 1m, "
      "ban: 5m, escalate: [2, 6], answer: drop}}\n"
      "  - {name: b, key: [client], limits: [5/minute], penalty: {violations: 3, within: 1m, "
      "ban: 5m}}\n");
  ASSERT_NE(policy, nullptr);
  const std::string page = DescribeMarkdown(*policy);
  EXPECT_THAT(page, HasSubstr("lead to a ban of 10m, longer when repeated. While it lasts, "
                              "connections are closed without an answer.\n"));
  EXPECT_THAT(page, HasSubstr("lead to a ban of 5m.\n"));
}

TEST(DescribeTest, MessagesOfMcpAreAnsweredOtherwise) {
  const auto policy =
      Parse("rules: [{name: a, match: {mcp_tool: b}, key: [client], limits: [5/s]}]");
  ASSERT_NE(policy, nullptr);
  const std::string page = DescribeMarkdown(*policy);
  EXPECT_THAT(page,
              HasSubstr("at `/mcp`, are denied otherwise: a call of a tool with status 200 and "
                        "a result whose `isError` is true, any other one with status 200 and a "
                        "JSON-RPC error of code 429."));
  EXPECT_THAT(page, HasSubstr("Applies to MCP method `initialize`; counted by"));
  const auto none = Parse("mcp: {paths: []}\nrules: [{name: a, key: [client], limits: [5/s]}]");
  ASSERT_NE(none, nullptr);
  EXPECT_THAT(DescribeMarkdown(*none), Not(HasSubstr("isError")));
}

TEST(DescribeTest, ASwitchedOffPolicyLimitsNothing) {
  const auto policy = Parse("enabled: false\n" + std::string(kYaml));
  ASSERT_NE(policy, nullptr);
  EXPECT_THAT(DescribeMarkdown(*policy), HasSubstr("Nothing is limited"));
  const auto bounded = Parse("enabled: false\nmax_body: 1KiB\n" + std::string(kYaml));
  ASSERT_NE(bounded, nullptr);
  EXPECT_THAT(DescribeMarkdown(*bounded), HasSubstr("more than 1.0 KiB.\n\nNothing else is"));
}

}  // namespace
}  // namespace sluicegate::app
