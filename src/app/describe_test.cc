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

TEST(DescribeTest, ASwitchedOffPolicyLimitsNothing) {
  const auto policy = Parse("enabled: false\n" + std::string(kYaml));
  ASSERT_NE(policy, nullptr);
  EXPECT_THAT(DescribeMarkdown(*policy), HasSubstr("Nothing is limited"));
}

}  // namespace
}  // namespace sluicegate::app
