#include "app/overrides.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluicegate::app {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

policy::Config FileConfig() {
  policy::Config config;
  config.listen.gateway = policy::Text{.value = "127.0.0.1:1", .at = {.line = 1, .column = 1}};
  config.upstream_url = policy::Text{.value = "http://file:1", .at = {.line = 2, .column = 1}};
  return config;
}

policy::Config Applied(const ServeOptions& options, policy::Config config = {}) {
  const auto overrides = Overrides::Read(options);
  EXPECT_TRUE(overrides);
  if (overrides) overrides->Apply(config);
  return config;
}

TEST(OverridesTest, AFlagWinsOverTheFile) {
  const policy::Config config =
      Applied({.upstream = "http://flag:2", .listen = "127.0.0.1:3"}, FileConfig());
  EXPECT_EQ(config.upstream_url->value, "http://flag:2");
  EXPECT_EQ(config.listen.gateway->value, "127.0.0.1:3");
}

TEST(OverridesTest, WithoutFlagsTheFileStays) {
  const policy::Config config = Applied({}, FileConfig());
  EXPECT_EQ(config.upstream_url->value, "http://file:1");
  EXPECT_EQ(config.listen.gateway->value, "127.0.0.1:1");
  EXPECT_FALSE(config.listen.admin) << "a door that is not named is not opened";
}

TEST(OverridesTest, TheGatewayCommandHasDefaults) {
  policy::Config config = Applied({.defaults = true}, FileConfig());
  EXPECT_EQ(config.listen.gateway->value, "127.0.0.1:1");
  EXPECT_EQ(config.listen.admin->value, Overrides::kAdmin);
  config = Applied({.admin = "off", .defaults = true});
  EXPECT_EQ(config.listen.gateway->value, Overrides::kGateway);
  EXPECT_FALSE(config.listen.admin);
}

TEST(OverridesTest, TheDemoIsUsedOnlyWhereNothingElseIsNamed) {
  auto overrides = Overrides::Read({.defaults = true});
  ASSERT_TRUE(overrides);
  overrides->demo_upstream = "http://127.0.0.1:9";
  policy::Config config;
  overrides->Apply(config);
  EXPECT_EQ(config.upstream_url->value, "http://127.0.0.1:9");
  config = FileConfig();
  overrides->Apply(config);
  EXPECT_EQ(config.upstream_url->value, "http://file:1");
}

TEST(OverridesTest, EveryFlagThatMakesNoSenseIsTold) {
  const auto overrides = Overrides::Read(
      {.upstream = "https://x", .listen = "localhost:80", .admin = "127.0.0.1:99999"});
  ASSERT_FALSE(overrides);
  EXPECT_THAT(overrides.error(), ElementsAre(HasSubstr("--listen: "), HasSubstr("--admin: "),
                                             HasSubstr("--upstream: ")));
}

}  // namespace
}  // namespace sluicegate::app
