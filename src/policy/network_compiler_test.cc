// What a rule says of its clients' networks: ceilings, new keys, and who stands in for whom. The
// messages of files are in tests/config/bad.

#include "policy/network_compiler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "policy/capacity.h"
#include "policy/config_for_test.h"

namespace sluicegate::policy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class NetworkCompilerTest : public testing::Test {
 protected:
  const Rule& Compile(RuleConfig config) {
    const auto policy = Policy::Compile(WrittenRules({std::move(config)}));
    if (!policy) {
      for (const Mistake& mistake : policy.error()) ADD_FAILURE() << mistake.what;
    }
    policy_ = policy.value();
    return policy_->rules()[0];
  }
  static LimitConfig InFlight(std::string_view most) {
    LimitConfig limit;
    limit.concurrency = Written(most);
    return limit;
  }
  static LimitConfig Bucket(std::string_view burst, std::string_view refill) {
    LimitConfig limit;
    limit.burst = Written(burst);
    limit.refill = Written(refill);
    return limit;
  }
  static CeilingConfig WrittenCeiling(std::string_view prefix, std::string_view factor) {
    return {.prefix = Written(prefix), .factor = Written(factor)};
  }
  static OverrideConfig OverrideFor(std::string_view network, std::vector<LimitConfig> limits) {
    return {.at = {},
            .when = {.clients = WrittenList({network}), .users = {}, .api_keys = {}},
            .limits = std::move(limits)};
  }
  static PenaltyConfig WrittenPenalty() {
    return {.at = {},
            .violations = Written("3"),
            .within = Written("1m"),
            .ban = Written("5m"),
            .escalate = {},
            .answer = {}};
  }

  std::shared_ptr<const Policy> policy_;
};

TEST_F(NetworkCompilerTest, ACeilingHasTheRatesSoManyTimes) {
  RuleConfig config = WrittenRule("a", {"client"});
  LimitConfig fixed = WrittenLimit("1000/day");
  fixed.algorithm = Written("fixed_window");
  config.limits = {InFlight("3"), WrittenLimit("60/minute"), Bucket("10", "7/s"), fixed};
  config.ceilings = {WrittenCeiling("48", "x16"), WrittenCeiling("56", "x4")};
  const Rule& rule = Compile(config);
  ASSERT_THAT(rule.ceilings(), SizeIs(2));
  EXPECT_EQ(rule.ceilings()[0].prefix_bits, 56U) << "the longest first";
  EXPECT_EQ(rule.ceilings()[0].factor, 4U);
  EXPECT_EQ(rule.ceilings()[1].prefix_bits, 48U);
  const BoundLimits& limits = rule.ceilings()[1].layout.variants[0];
  ASSERT_THAT(limits, SizeIs(3)) << "requests in flight have no ceiling";
  EXPECT_EQ(limits[0].limit.quota(), 960U);
  EXPECT_EQ(limits[0].limit.window_ns(), 60'000'000'000U);
  EXPECT_EQ(limits[0].index, 1U);
  // A burst of 160 at 112/s: a unit each ceil(1 s / 112).
  EXPECT_EQ(limits[1].limit.quota(), 160U);
  EXPECT_EQ(limits[1].limit.window_ns(), 160U * 8'928'572U);
  EXPECT_EQ(limits[1].index, 2U);
  EXPECT_EQ(limits[2].limit.quota(), 16'000U);
  EXPECT_EQ(limits[2].limit.algorithm(), Algorithm::kFixedWindow);
  EXPECT_EQ(rule.rates().variants[0][0].limit.quota(), 60U) << "the client keeps its own";
  EXPECT_EQ(rule.parents().slot_bytes, 0U);
}

TEST_F(NetworkCompilerTest, AnOverrideHasCeilingsOfItsOwn) {
  RuleConfig config = WrittenRule("a", {"client"});
  config.overrides.push_back(
      OverrideFor("2001:db8::/32", {WrittenLimit("600/minute"), WrittenLimit("9/s")}));
  config.ceilings = {WrittenCeiling("56", "x4")};
  const Layout& layout = Compile(config).ceilings()[0].layout;
  ASSERT_THAT(layout.variants, SizeIs(2));
  EXPECT_EQ(layout.variants[0][0].limit.quota(), 240U);
  EXPECT_EQ(layout.variants[1][0].limit.quota(), 2400U);
  EXPECT_EQ(layout.variants[1][1].limit.quota(), 36U);
  EXPECT_EQ(layout.slot_bytes, 80U);
}

TEST_F(NetworkCompilerTest, MoreUnitsMayTakeMoreBytes) {
  RuleConfig config = WrittenRule("a", {"client"});
  config.ceilings = {WrittenCeiling("56", "x1092"), WrittenCeiling("48", "x1093")};
  config.memory = Written("1MiB");
  const Rule& rule = Compile(config);
  EXPECT_EQ(rule.ceilings()[0].layout.slot_bytes, 40U) << "65,520 units";
  EXPECT_EQ(rule.ceilings()[1].layout.slot_bytes, 72U) << "65,580 units";
  // 64 + 12 x 72 bytes in whole lines.
  EXPECT_EQ(PlanMemory(rule).ceiling % 960, 0U);
  EXPECT_NEAR(static_cast<double>(PlanMemory(rule).ceiling), 1U << 16U, 2 * 960);
  config.memory = Written("512");
  EXPECT_THAT(TellAll(WrittenRules({config})),
              HasSubstr("at least " + std::to_string(2 * 960 + 576)));
}

TEST_F(NetworkCompilerTest, TheExtremesAreTaken) {
  RuleConfig config = WrittenRule("a", {"client"});
  config.limits = {WrittenLimit("65535/minute"), Bucket("1000000000", "15/s")};
  config.ceilings = {WrittenCeiling("63", "x1"), WrittenCeiling("32", "x65536")};
  const Rule& rule = Compile(config);
  EXPECT_EQ(rule.ceilings()[1].layout.variants[0][0].limit.quota(), 4'294'901'760U);
  EXPECT_EQ(rule.ceilings()[0].layout.variants[0][0].limit.quota(), 65'535U);
  EXPECT_EQ(rule.ceilings()[1].layout.variants[0][1].limit.quota(), 65'536'000'000'000U);
}

TEST_F(NetworkCompilerTest, NewKeysLieBehindTheRatesOfEveryLimitSet) {
  RuleConfig config = WrittenRule("a", {"client"});
  config.overrides.push_back(
      OverrideFor("10.0.0.0/8", {WrittenLimit("9/s"), WrittenLimit("90/minute")}));
  config.new_keys = Written("1000/minute");
  const Rule& rule = Compile(config);
  ASSERT_TRUE(rule.new_keys());
  EXPECT_EQ(rule.new_keys()->limit.quota(), 1000U);
  EXPECT_EQ(rule.new_keys()->limit.algorithm(), Algorithm::kSlidingWindow);
  EXPECT_EQ(rule.new_keys()->offset, 80U);
  const Layout& parents = rule.parents();
  EXPECT_EQ(parents.slot_bytes, 120U);
  ASSERT_THAT(parents.variants, SizeIs(2));
  ASSERT_THAT(parents.variants[0], SizeIs(2));
  ASSERT_THAT(parents.variants[1], SizeIs(3));
  for (const BoundLimits& limits : parents.variants) {
    EXPECT_EQ(limits.back().offset, 80U);
    EXPECT_GE(limits.back().index, kMaxLimitsPerRule) << "it is none of the rule's limits";
  }
  EXPECT_EQ(rule.rates().slot_bytes, 80U);
}

TEST_F(NetworkCompilerTest, ParentsStandInForWhatAnybodyMayBeChargedOn) {
  RuleConfig config = WrittenRule("a", {"client"});
  EXPECT_EQ(Compile(config).parents().slot_bytes, 0U);
  config.penalty = WrittenPenalty();
  const Layout& parents = Compile(config).parents();
  EXPECT_EQ(parents.slot_bytes, 40U);
  EXPECT_THAT(parents.variants, ElementsAre(SizeIs(1)));
  config.limits = {InFlight("3")};
  const Rule& rule = Compile(config);
  EXPECT_EQ(rule.parents().slot_bytes, 0U) << "there are no rates";
  EXPECT_THAT(rule.parents().variants, IsEmpty());
}

TEST_F(NetworkCompilerTest, AnOverridesRatesAreEnough) {
  RuleConfig config = WrittenRule("a", {"client"});
  config.limits = {InFlight("3")};
  config.overrides.push_back(OverrideFor("2001:db8::/32", {WrittenLimit("600/minute")}));
  config.ceilings = {WrittenCeiling("56", "x4")};
  config.new_keys = Written("10/s");
  const Rule& rule = Compile(config);
  EXPECT_THAT(rule.ceilings()[0].layout.variants, ElementsAre(IsEmpty(), SizeIs(1)));
  EXPECT_EQ(rule.parents().slot_bytes, 80U);
}

}  // namespace
}  // namespace sluicegate::policy
