// listen, upstream and connections: what good ones become. The messages of bad ones are in
// tests/config/bad.

#include "policy/door_compiler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "policy/config_for_test.h"

namespace sluicegate::policy {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Settings Listening(const Config& config) {
  Mistakes mistakes;
  Settings settings;
  CompileListeners(config, mistakes, settings);
  for (const Mistake& mistake : mistakes.TakeMistakes()) ADD_FAILURE() << mistake.what;
  return settings;
}

std::optional<Upstream> Compiled(const UpstreamConfig& config, std::size_t warnings = 0) {
  Mistakes mistakes;
  auto upstream = CompileUpstream(config, mistakes);
  for (const Mistake& mistake : mistakes.TakeMistakes()) ADD_FAILURE() << mistake.what;
  EXPECT_EQ(mistakes.TakeWarnings().size(), warnings);
  return upstream;
}

TEST(ListenersTest, StandInTheirOrder) {
  Config config;
  config.clients.trusted_proxies = WrittenList({"10.0.0.1"});
  config.listen.gateway.emplace_back().address = Written("127.0.0.1:8080");
  GatewayListenerConfig& second = config.listen.gateway.emplace_back();
  second.address = Written("[::]:8443");
  second.tls = {.at = {}, .certificate = Written("cert.pem"), .key = Written("/etc/key.pem")};
  second.proxy_protocol = Written("true");
  const GatewayListener plain{
      .endpoint = {.address = IpAddress::Parse("127.0.0.1").value(), .port = 8080}};
  const GatewayListener secured{
      .endpoint = {.address = IpAddress(), .port = 8443},
      .tls = ServerTls{.certificate_file = "cert.pem", .key_file = "/etc/key.pem"},
      .proxy_protocol = true};
  EXPECT_THAT(Listening(config).gateway, ElementsAre(plain, secured));
}

TEST(ListenersTest, PortsThatTheSystemChoosesNeverCollide) {
  Config config;
  config.listen.gateway.emplace_back().address = Written("127.0.0.1:0");
  config.listen.gateway.emplace_back().address = Written("127.0.0.1:0");
  config.listen.admin = Written("127.0.0.1:0");
  EXPECT_EQ(Listening(config).gateway.size(), 2U);
}

TEST(ListenersTest, AnAddressHasOneListener) {
  Config config;
  config.listen.gateway.emplace_back().address = Written("127.0.0.1:80");
  config.listen.gateway.emplace_back().address = Written("127.0.0.1:81");
  config.listen.gateway.emplace_back().address = Written("127.0.0.2:80");
  EXPECT_EQ(Listening(config).gateway.size(), 3U);
  config.listen.gateway.emplace_back().address = Written("127.0.0.1:81");
  EXPECT_THAT(TellAll(config), HasSubstr("Two listeners of the gateway have this address."));
}

TEST(ListenersTest, AreAtMostSixteen) {
  Config config;
  for (std::size_t i = 0; i < kMaxListeners; ++i) {
    config.listen.gateway.emplace_back().address = Written("127.0.0.1:0");
  }
  EXPECT_EQ(Listening(config).gateway.size(), kMaxListeners);
  config.listen.gateway.emplace_back().address = Written("127.0.0.1:0");
  EXPECT_THAT(TellAll(config), HasSubstr("at most 16 listeners"));
}

TEST(UpstreamTest, HasServersOfThreeKinds) {
  const auto upstream = Compiled(
      {.urls = WrittenList({"http://a.internal", "https://b.internal/", "https://[::1]:8443",
                            "unix:/run/app.sock"}),
       .tls =
           UpstreamTlsConfig{
               .at = {}, .ca = Written("ca.pem"), .name = Written("b.example"), .verify = {}},
       .rest = Written("3s")});
  ASSERT_TRUE(upstream);
  EXPECT_THAT(upstream->servers,
              ElementsAre(UpstreamServer{.host = "a.internal", .port = 80},
                          UpstreamServer{.host = "b.internal", .port = 443, .tls = true},
                          UpstreamServer{.host = "::1", .port = 8443, .tls = true},
                          UpstreamServer{.port = 0, .socket_path = "/run/app.sock"}));
  EXPECT_EQ(upstream->tls.ca_file, "ca.pem");
  EXPECT_EQ(upstream->tls.name, "b.example");
  EXPECT_TRUE(upstream->tls.verify);
  EXPECT_EQ(upstream->rest, seconds(3));
}

TEST(UpstreamTest, NotToVerifyIsAWarning) {
  const auto upstream = Compiled(
      {.urls = WrittenList({"https://a"}),
       .tls = UpstreamTlsConfig{.at = {}, .ca = {}, .name = {}, .verify = Written("false")},
       .rest = {}},
      1);
  ASSERT_TRUE(upstream);
  EXPECT_FALSE(upstream->tls.verify);
  EXPECT_EQ(upstream->rest, seconds(10));
}

TEST(UpstreamTest, WithoutServersThereIsNone) {
  EXPECT_FALSE(Compiled({.urls = {}, .tls = {}, .rest = Written("3s")}));
  EXPECT_FALSE(Compiled({.urls = WrittenList({}), .tls = {}, .rest = {}}));
}

TEST(UpstreamTest, ASocketsPathIsAsLongAsTheSystemTakes) {
  const std::string longest = "unix:/" + std::string(106, 'a');
  const auto upstream = Compiled({.urls = WrittenList({longest}), .tls = {}, .rest = {}});
  ASSERT_TRUE(upstream);
  EXPECT_EQ(upstream->servers[0].socket_path.size(), 107U);
  Config config;
  config.upstream.urls = WrittenList({longest + "a"});
  EXPECT_THAT(TellAll(config), HasSubstr("at most 107 bytes"));
}

TEST(ConnectionsTest, HaveBounds) {
  Mistakes mistakes;
  Connections connections = CompileConnections({}, mistakes);
  EXPECT_EQ(connections.most, 0U);
  EXPECT_EQ(connections.per_client, 64U);
  EXPECT_EQ(connections.new_per_second, 50U);
  EXPECT_EQ(connections.body_rate, 500U);
  EXPECT_EQ(connections.drain_rate, 500U);
  connections = CompileConnections({.most = Written("10000"),
                                    .per_client = Written("1"),
                                    .new_per_second = Written("1000000"),
                                    .body_rate = Written("off"),
                                    .drain_rate = Written("1000000000")},
                                   mistakes);
  EXPECT_EQ(connections.most, 10'000U);
  EXPECT_EQ(connections.per_client, 1U);
  EXPECT_EQ(connections.new_per_second, 1'000'000U);
  EXPECT_EQ(connections.body_rate, 0U);
  EXPECT_EQ(connections.drain_rate, 1'000'000'000U);
  EXPECT_THAT(mistakes.TakeMistakes(), IsEmpty());
}

}  // namespace
}  // namespace sluicegate::policy
