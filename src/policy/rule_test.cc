// What a rule asks of a request: match, exemptions, overrides, cost.

#include "policy/rule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <memory>

#include "policy/config_for_test.h"

namespace sluicegate::policy {
namespace {

class RuleTest : public testing::Test {
 protected:
  const Rule& Compile(RuleConfig config) {
    const auto policy = Policy::Compile(WrittenRules({std::move(config)}));
    if (!policy) {
      for (const Mistake& mistake : policy.error()) ADD_FAILURE() << mistake.what;
    }
    policy_ = policy.value();
    return policy_->rules()[0];
  }
  static RuleConfig Base() { return WrittenRule("a", {"client"}); }
  static Request From(std::string_view client) {
    Request request;
    request.client = IpAddress::Parse(client).value();
    request.method = "GET";
    request.path = "/x";
    request.host = "api.example.com";
    return request;
  }
  std::shared_ptr<const Policy> policy_;
};

TEST_F(RuleTest, WithoutAMatchItMatchesAll) {
  EXPECT_TRUE(Compile(Base()).Matches(From("192.0.2.1")));
  EXPECT_TRUE(policy_->rules()[0].Matches({}));
}

TEST_F(RuleTest, EveryConditionMustHoldAndOfEachListOne) {
  RuleConfig config = Base();
  config.match.path = WrittenList({"/x", "/y/**"});
  config.match.method = WrittenList({"GET", "PUT"});
  config.match.host = WrittenList({"*.Example.com"});
  const Rule& rule = Compile(config);
  EXPECT_TRUE(rule.Matches(From("192.0.2.1")));
  Request request = From("192.0.2.1");
  request.path = "/y/z";
  EXPECT_TRUE(rule.Matches(request));
  request.path = "/z";
  EXPECT_FALSE(rule.Matches(request));
  request = From("192.0.2.1");
  request.method = "POST";
  EXPECT_FALSE(rule.Matches(request));
  request.method = "get";
  EXPECT_FALSE(rule.Matches(request)) << "methods are case-sensitive (RFC 9110)";
  request = From("192.0.2.1");
  request.host = "example.com";
  EXPECT_FALSE(rule.Matches(request));
}

TEST_F(RuleTest, AHeaderMatchesByValueAndNeverWhenAbsent) {
  RuleConfig config = Base();
  config.match.header = {{.name = Written("X-Plan"), .values = WrittenList({"free", "trial*"})}};
  const Rule& rule = Compile(config);
  ASSERT_EQ(policy_->asked_headers()[0], "x-plan");
  const auto matches = [&rule](std::string_view value) {
    const std::array<std::string_view, 1> values = {value};
    Request request = From("192.0.2.1");
    request.headers = values;
    return rule.Matches(request);
  };
  EXPECT_TRUE(matches("free"));
  EXPECT_TRUE(matches("trial-2"));
  EXPECT_TRUE(matches("trial/2")) << "only paths have segments";
  EXPECT_FALSE(matches("paid"));
  EXPECT_FALSE(matches(""));
  EXPECT_FALSE(rule.Matches(From("192.0.2.1")));
}

TEST_F(RuleTest, AnMcpConditionNeverHoldsForPlainHttp) {
  RuleConfig config = Base();
  config.match.mcp_tool = WrittenList({"*"});
  const Rule& rule = Compile(config);
  EXPECT_FALSE(rule.Matches(From("192.0.2.1")));
  Request request = From("192.0.2.1");
  request.mcp_tool = "search";
  EXPECT_TRUE(rule.Matches(request));
}

TEST_F(RuleTest, AStarCrossesTheSlashEverywhereButInPaths) {
  RuleConfig config = Base();
  config.match.mcp_method = WrittenList({"tools*"});
  config.match.mcp_tool = WrittenList({"files*"});
  const Rule& rule = Compile(config);
  Request request = From("192.0.2.1");
  request.mcp_method = "tools/call";
  request.mcp_tool = "files/read";
  EXPECT_TRUE(rule.Matches(request));
  config = Base();
  config.match.path = WrittenList({"/x*"});
  Compile(config);
  request.path = "/xy";
  EXPECT_TRUE(policy_->rules()[0].Matches(request));
  request.path = "/x/y";
  EXPECT_FALSE(policy_->rules()[0].Matches(request));
}

TEST_F(RuleTest, ExemptionsByNetworkUserAndKey) {
  RuleConfig config = Base();
  config.exempt.clients = WrittenList({"192.168.1.0/24", "2001:db8::/32", "198.51.100.7"});
  config.exempt.users = WrittenList({"admin"});
  config.exempt.api_keys = WrittenList({"ci"});
  const Rule& rule = Compile(config);
  EXPECT_TRUE(rule.Exempts(From("192.168.1.255")));
  EXPECT_TRUE(rule.Exempts(From("::ffff:192.168.1.1"))) << "a mapped address is its IPv4 form";
  EXPECT_FALSE(rule.Exempts(From("192.168.2.0")));
  EXPECT_TRUE(rule.Exempts(From("2001:db8:ffff::1")));
  EXPECT_FALSE(rule.Exempts(From("2001:db9::1")));
  EXPECT_TRUE(rule.Exempts(From("198.51.100.7")));
  Request request = From("192.0.2.1");
  EXPECT_FALSE(rule.Exempts(request));
  request.user = "admin";
  EXPECT_TRUE(rule.Exempts(request));
  request.user = "Admin";
  EXPECT_FALSE(rule.Exempts(request));
  request.user = {};
  request.api_key_id = "ci";
  EXPECT_TRUE(rule.Exempts(request));
}

TEST_F(RuleTest, WithoutExemptionsNobodyIsExempt) {
  const Rule& rule = Compile(Base());
  EXPECT_FALSE(rule.Exempts(From("192.0.2.1")));
  EXPECT_FALSE(rule.Exempts({}));
}

TEST_F(RuleTest, TheFirstOverrideThatHoldsApplies) {
  RuleConfig config = Base();
  const auto add = [&config](WhoConfig when, std::string_view limit) {
    config.overrides.push_back(
        {.at = {}, .when = std::move(when), .limits = {WrittenLimit(limit)}});
  };
  add({.clients = WrittenList({"10.0.0.0/8"}), .users = WrittenList({"acme"}), .api_keys = {}},
      "1/s");
  add({.clients = {}, .users = WrittenList({"acme", "zen"}), .api_keys = {}}, "2/s");
  add({.clients = WrittenList({"10.0.0.0/8"}), .users = {}, .api_keys = {}}, "3/s");
  const Rule& rule = Compile(config);
  ASSERT_EQ(rule.variants().size(), 4U);
  const auto variant = [&rule](std::string_view client, std::string_view user) {
    Request request = From(client);
    request.user = user;
    return int{rule.VariantOf(request)};
  };
  EXPECT_EQ(variant("10.1.1.1", "acme"), 1) << "both conditions hold";
  EXPECT_EQ(variant("192.0.2.1", "acme"), 2);
  EXPECT_EQ(variant("10.1.1.1", "zen"), 2);
  EXPECT_EQ(variant("10.1.1.1", ""), 3);
  EXPECT_EQ(variant("192.0.2.1", "other"), 0);
  EXPECT_EQ(rule.variants()[2].limits[0].limit.quota(), 2U);
}

TEST_F(RuleTest, ACostFromAnArgumentIsBounded) {
  RuleConfig config = Base();
  config.cost = {.fallback = Written("2"), .argument = Written("limit"), .max = Written("50")};
  const Rule& rule = Compile(config);
  const auto cost = [&rule](std::string_view argument) {
    const std::array<std::string_view, 1> arguments = {argument};
    Request request;
    request.mcp_arguments = arguments;
    return rule.CostOf(request);
  };
  EXPECT_EQ(cost("7"), 7U);
  EXPECT_EQ(cost("0"), 1U) << "a client cannot make its request free";
  EXPECT_EQ(cost("51"), 50U);
  EXPECT_EQ(cost("99999999999999999999999"), 50U);
  EXPECT_EQ(cost(""), 2U) << "absent";
  EXPECT_EQ(rule.CostOf({}), 2U);
  for (const std::string_view odd :
       {"-1", "+7", "1.5", "50.0", "5e1", "\"7\"", "50 ", " 7", "0x7", "null", "[7]", "x"}) {
    EXPECT_EQ(cost(odd), 50U) << odd << ": a client cannot choose its cost by its spelling";
  }
  Request peek;
  peek.cost = 0;
  EXPECT_EQ(rule.CostOf(peek), 0U);
}

}  // namespace
}  // namespace sluicegate::policy
