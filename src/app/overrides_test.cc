#include "app/overrides.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluicegate::app {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

policy::Config FileConfig() {
  policy::Config config;
  config.listen.gateway.emplace_back().address =
      policy::Text{.value = "127.0.0.1:1", .at = {.line = 1, .column = 1}};
  config.upstream.urls = {{.value = "http://file:1", .at = {.line = 2, .column = 1}}};
  return config;
}

policy::Config Applied(const ServeOptions& options, policy::Config config = {}) {
  const auto overrides = Overrides::Read(options);
  EXPECT_TRUE(overrides);
  if (overrides) overrides->Apply(config);
  return config;
}

std::vector<std::string> Urls(const policy::Config& config) {
  std::vector<std::string> urls;
  for (const policy::Text& url : config.upstream.urls.value_or(std::vector<policy::Text>())) {
    urls.push_back(url.value);
  }
  return urls;
}

std::vector<std::string> Addresses(const policy::Config& config) {
  std::vector<std::string> addresses;
  for (const policy::GatewayListenerConfig& listener : config.listen.gateway) {
    addresses.push_back(listener.address ? listener.address->value : "");
  }
  return addresses;
}

TEST(OverridesTest, AFlagWinsOverTheFile) {
  const policy::Config config =
      Applied({.upstream = "http://flag:2", .listen = "127.0.0.1:3"}, FileConfig());
  EXPECT_THAT(Urls(config), ElementsAre("http://flag:2"));
  EXPECT_THAT(Addresses(config), ElementsAre("127.0.0.1:3"));
}

TEST(OverridesTest, AnotherAddressLosesNoTls) {
  policy::Config config = FileConfig();
  config.listen.gateway.front().tls.emplace();
  config.listen.gateway.emplace_back().address = policy::Text{.value = "127.0.0.1:2", .at = {}};
  config = Applied({.listen = "127.0.0.1:3"}, config);
  EXPECT_THAT(Addresses(config), ElementsAre("127.0.0.1:3"));
  EXPECT_TRUE(config.listen.gateway.front().tls);
}

TEST(OverridesTest, AnotherServerStandsInForAll) {
  policy::Config file = FileConfig();
  file.upstream.urls->push_back({.value = "https://file:2", .at = {}});
  file.upstream.tls.emplace();
  const policy::Config plain = Applied({.upstream = "unix:/run/app.sock"}, file);
  EXPECT_THAT(Urls(plain), ElementsAre("unix:/run/app.sock"));
  EXPECT_FALSE(plain.upstream.tls) << "it was for the servers of the file";
  const policy::Config secured = Applied({.upstream = "https://flag:2"}, file);
  EXPECT_THAT(Urls(secured), ElementsAre("https://flag:2"));
  EXPECT_TRUE(secured.upstream.tls);
}

TEST(OverridesTest, WithoutFlagsTheFileStays) {
  const policy::Config config = Applied({}, FileConfig());
  EXPECT_THAT(Urls(config), ElementsAre("http://file:1"));
  EXPECT_THAT(Addresses(config), ElementsAre("127.0.0.1:1"));
  EXPECT_FALSE(config.listen.admin) << "a door that is not named is not opened";
}

TEST(OverridesTest, TheGatewayCommandHasDefaults) {
  policy::Config config = Applied({.defaults = true}, FileConfig());
  EXPECT_THAT(Addresses(config), ElementsAre("127.0.0.1:1"));
  EXPECT_EQ(config.listen.admin->value, Overrides::kAdmin);
  config = Applied({.admin = "off", .defaults = true});
  EXPECT_THAT(Addresses(config), ElementsAre(Overrides::kGateway));
  EXPECT_FALSE(config.listen.admin);
}

TEST(OverridesTest, TheDemoIsUsedOnlyWhereNothingElseIsNamed) {
  auto overrides = Overrides::Read({.defaults = true});
  ASSERT_TRUE(overrides);
  overrides->demo_upstream = "http://127.0.0.1:9";
  policy::Config config;
  overrides->Apply(config);
  EXPECT_THAT(Urls(config), ElementsAre("http://127.0.0.1:9"));
  config = FileConfig();
  overrides->Apply(config);
  EXPECT_THAT(Urls(config), ElementsAre("http://file:1"));
}

TEST(OverridesTest, EveryFlagThatMakesNoSenseIsTold) {
  const auto overrides = Overrides::Read(
      {.upstream = "ftp://x", .listen = "localhost:80", .admin = "127.0.0.1:99999"});
  ASSERT_FALSE(overrides);
  EXPECT_THAT(overrides.error(), ElementsAre(HasSubstr("--listen: "), HasSubstr("--admin: "),
                                             HasSubstr("--upstream: ")));
}

}  // namespace
}  // namespace sluicegate::app
