#include "app/banner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "config/load.h"

namespace sluicegate::app {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const BannerFacts kFacts = {.gateway = "http://127.0.0.1:8080",
                            .admin = "http://127.0.0.1:9180",
                            .upstream = "http://127.0.0.1:8000",
                            .demo = false,
                            .policy = {},
                            .requests_to_limit = 15};

TEST(BannerTest, HasThreeLinesToPaste) {
  const std::string text = Banner(kFacts);
  EXPECT_THAT(text, HasSubstr("\n  curl -i http://127.0.0.1:8080/\n"));
  EXPECT_THAT(text, HasSubstr("\n  for i in $(seq 15); do curl -s -o /dev/null -w '%{http_code} ' "
                              "http://127.0.0.1:8080/; done; echo\n"));
  EXPECT_THAT(text, HasSubstr("\n  curl -s http://127.0.0.1:9180/metrics\n"));
  EXPECT_THAT(text, Not(HasSubstr("demo")));
}

TEST(BannerTest, SaysThatTheUpstreamIsADemo) {
  BannerFacts facts = kFacts;
  facts.demo = true;
  EXPECT_THAT(Banner(facts), HasSubstr("demo server"));
}

TEST(BannerTest, PromisesNothingThatIsNotThere) {
  BannerFacts facts = kFacts;
  facts.admin.clear();
  facts.requests_to_limit = 0;
  EXPECT_THAT(Banner(facts), Not(HasSubstr("metrics")));
  EXPECT_THAT(Banner(facts), Not(HasSubstr("for i in")));
}

TEST(BannerTest, ALoopMeetsRatesAlone) {
  const auto requests = [](const std::string& limits) {
    const auto policy =
        config::ParsePolicy("rules: [{name: a, key: [client], limits: " + limits + "}]");
    return policy ? RequestsToLimit(**policy) : 1;
  };
  EXPECT_EQ(requests("[10/minute]"), 20U);
  EXPECT_EQ(requests("[10/minute, {concurrency: 2}]"), 20U) << "it has one request in flight";
  EXPECT_EQ(requests("{concurrency: 2}"), 0U);
}

}  // namespace
}  // namespace sluicegate::app
