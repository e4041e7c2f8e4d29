// What a policy says of a request beside its rules: how large its body may be.

#include "policy/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "policy/config_for_test.h"

namespace sluicegate::policy {
namespace {

class MaxBodyTest : public testing::Test {
 protected:
  static RuleConfig Bounded(std::string_view name, std::string_view path, std::string_view bytes) {
    RuleConfig rule = WrittenRule(name, {"client"});
    rule.match.path = WrittenList({path});
    rule.max_body = Written(bytes);
    return rule;
  }
  static std::shared_ptr<const Policy> Compile(std::vector<RuleConfig> rules,
                                               std::string_view global = "0") {
    Config config = WrittenRules(std::move(rules));
    config.max_body = Written(global);
    const auto policy = Policy::Compile(config);
    if (!policy) {
      for (const Mistake& mistake : policy.error()) ADD_FAILURE() << mistake.what;
    }
    return policy.value();
  }
  static std::uint64_t Of(const std::shared_ptr<const Policy>& policy, std::string_view path,
                          std::string_view client = "192.0.2.1") {
    Request request;
    request.client = IpAddress::Parse(client).value();
    request.path = path;
    return policy->MaxBody(request);
  }
};

TEST_F(MaxBodyTest, WithoutAnyItHasNoBound) {
  EXPECT_EQ(Of(Compile({}), "/x"), 0U);
  EXPECT_EQ(Of(Compile({WrittenRule("a", {"client"})}), "/x"), 0U);
  EXPECT_EQ(Of(Compile({WrittenRule("a", {"client"})}, "1KiB"), "/x"), 1024U);
}

TEST_F(MaxBodyTest, ARuleBoundsWhatItMatches) {
  const auto policy = Compile({Bounded("a", "/a/**", "1MiB")});
  EXPECT_EQ(policy->rules()[0].max_body(), 1U << 20U);
  EXPECT_EQ(Of(policy, "/a/b"), 1U << 20U);
  EXPECT_EQ(Of(policy, "/b"), 0U);
}

TEST_F(MaxBodyTest, TheSmallestOfAllBoundsHolds) {
  const auto policy = Compile({Bounded("a", "/a/**", "300"), Bounded("b", "/a/b", "200"),
                               Bounded("c", "/a/b/**", "250"), Bounded("big", "/big", "5000")},
                              "1000");
  EXPECT_EQ(Of(policy, "/x"), 1000U);
  EXPECT_EQ(Of(policy, "/a"), 300U);
  EXPECT_EQ(Of(policy, "/a/b"), 200U);
  EXPECT_EQ(Of(policy, "/a/b/c"), 250U);
  EXPECT_EQ(Of(policy, "/big"), 1000U) << "a rule never lifts the policy's own";
}

TEST_F(MaxBodyTest, ZeroIsNoBoundOfTheRulesOwn) {
  EXPECT_EQ(Of(Compile({Bounded("a", "/**", "0")}), "/x"), 0U);
  EXPECT_EQ(Of(Compile({Bounded("a", "/**", "0")}, "7"), "/x"), 7U);
  EXPECT_EQ(Of(Compile({Bounded("a", "/**", "0"), Bounded("b", "/**", "9")}), "/x"), 9U);
}

TEST_F(MaxBodyTest, WhomARuleExemptsItDoesNotBound) {
  RuleConfig small = Bounded("small", "/**", "10");
  small.exempt.clients = WrittenList({"10.0.0.0/8"});
  const auto policy = Compile({small, Bounded("large", "/**", "20")});
  EXPECT_EQ(Of(policy, "/x"), 10U);
  EXPECT_EQ(Of(policy, "/x", "10.1.1.1"), 20U) << "the other rule's bound stays";
}

TEST_F(MaxBodyTest, OnlyEnforcedRulesBound) {
  for (const std::string_view mode : {"off", "observe"}) {
    RuleConfig rule = Bounded("a", "/**", "10");
    rule.mode = Written(mode);
    EXPECT_EQ(Of(Compile({rule}), "/x"), 0U) << mode;
    EXPECT_EQ(Of(Compile({rule, Bounded("b", "/**", "20")}, "30"), "/x"), 20U) << mode;
  }
}

TEST_F(MaxBodyTest, APolicyThatIsNotEnabledHasItsOwnAlone) {
  Config config = WrittenRules({Bounded("a", "/**", "10")});
  config.enabled = Written("false");
  config.max_body = Written("30");
  EXPECT_EQ(Of(Policy::Compile(config).value(), "/x"), 30U);
}

}  // namespace
}  // namespace sluicegate::policy
