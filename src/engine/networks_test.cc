// Parent networks that stand in for clients, and the overflow: where a client can have no place of
// its own. What single decisions say is in tests/cases.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "config/load.h"
#include "engine/engine.h"

namespace sluicegate::engine {
namespace {

constexpr HashSecret kSecret{.k0 = 0x0706050403020100, .k1 = 0x0f0e0d0c0b0a0908};
constexpr Now kNow{.engine_ns = 1'000'000'000'000, .unix_ns = 1'767'225'600'000'000'000};

class Networks : public ::testing::Test {
 protected:
  static std::shared_ptr<const policy::Policy> PolicyOf(const std::string& yaml) {
    auto policy = config::ParsePolicy(yaml);
    if (policy) return std::move(*policy);
    for (const auto& mistake : policy.error()) ADD_FAILURE() << mistake.what << mistake.mend;
    std::abort();
  }
  void Start(const std::string& yaml) {
    auto engine = Engine::Create(PolicyOf(yaml), kSecret);
    ASSERT_TRUE(engine.has_value());
    engine_ = std::move(*engine);
  }
  Decision Ask(IpAddress client, std::string_view user = {}) {
    const Request request{.client = client, .method = "GET", .path = "/", .user = user};
    return *engine_->Decide(*engine_->rulesets().Get(), request, kNow);
  }
  static IpAddress In(unsigned network, unsigned host) {
    return IpAddress::V4({10, static_cast<std::uint8_t>(network >> 8U),
                          static_cast<std::uint8_t>(network), static_cast<std::uint8_t>(host)});
  }
  [[nodiscard]] RuleReport Report() const { return engine_->Statistics(kNow).rules[0]; }

  std::unique_ptr<Engine> engine_;
};

// The network's budget and its own bucket are used up; other networks push both out of the table.
TEST_F(Networks, AnEvictedNetworkAtItsLimitsComesInByNobodysKey) {
  Start(
      "{state: {memory: 256KiB}, rules: [{name: api, key: [client], limits: [5/hour], "
      "new_keys: 2/hour}]}");
  unsigned admitted = 0;
  for (unsigned host = 0; host < 40; ++host) admitted += Ask(In(0, host)).allowed() ? 1U : 0U;
  EXPECT_EQ(admitted, 7U) << "two clients of their own, five units of the network";
  for (unsigned network = 1; network < 800; ++network) {
    for (unsigned host = 0; host < 3; ++host) (void)Ask(In(network, host));
  }
  ASSERT_EQ(Report().forgotten, 0U);
  for (unsigned host = 40; host < 200; ++host) {
    EXPECT_FALSE(Ask(In(0, host)).allowed()) << host;
  }
}

TEST_F(Networks, WhoFindsNoPlaceForABanIsLimitedWithItsNetworkAndNeverBanned) {
  Start(
      "{state: {memory: 4KiB, sketch: 0}, rules: [{name: api, key: [client], limits: [2/hour], "
      "penalty: {violations: 1, within: 1m, ban: 1h}}]}");
  // Everybody offends, network by network.
  for (unsigned network = 0; network < 40; ++network) {
    for (unsigned i = 0; i < 4; ++i) (void)Ask(In(network, 1));
  }
  const RuleReport report = Report();
  EXPECT_GT(report.bans, 10U);
  EXPECT_GT(report.network_for_ban, 0U);
  // Of a network whose clients find no place all together get its two units.
  unsigned admitted = 0;
  for (unsigned host = 0; host < 50; ++host) {
    const Decision decision = Ask(In(50'000, host));
    admitted += decision.allowed() ? 1U : 0U;
    if (!decision.allowed()) {
      EXPECT_EQ(decision.verdict, Verdict::kLimited);
      EXPECT_EQ(decision.shared_bits, 24U);
    }
  }
  EXPECT_LT(admitted, 50U);
}

TEST_F(Networks, LeasesThatFindNoPlaceShareTheirNetworksThenOneForAll) {
  Start("{state: {memory: 2KiB}, rules: [{name: api, key: [client], limits: [{concurrency: 1}]}]}");
  unsigned own = 0;
  unsigned network = 0;
  unsigned all = 0;
  std::vector<Stamp> stamps;
  for (unsigned i = 0; i < 200; ++i) {
    const Decision decision = Ask(In(i, 1));
    if (!decision.allowed()) continue;
    stamps.push_back(decision.stamp);
    ASSERT_TRUE(decision.stamp.lease);
    own += decision.shared_bits == 0 ? 1U : 0U;
    network += decision.shared_bits == 24 ? 1U : 0U;
  }
  all = static_cast<unsigned>(stamps.size()) - own - network;
  EXPECT_LE(stamps.size(), Report().lease_capacity + 1);
  EXPECT_EQ(all, 1U);
  unsigned denied_for_all = 0;
  for (unsigned i = 0; i < 200; ++i) {
    const Decision decision = Ask(In(i, 1));
    EXPECT_FALSE(decision.allowed());
    denied_for_all += decision.shared_bits == Decision::kSharedByAll ? 1U : 0U;
  }
  EXPECT_GT(denied_for_all, 0U);
  for (const Stamp& stamp : stamps) {
    engine_->GiveBack(*engine_->rulesets().Get(), stamp, kNow);
  }
  EXPECT_TRUE(Ask(In(7, 1)).allowed());
  EXPECT_EQ(Report().keys_in_flight, 1U);
}

// The overflow's limits are those of the first set that has any; a reload may change which it is.
TEST_F(Networks, TheOverflowOfOneSetIsNotReadAsAnothers) {
  const std::string head =
      "{state: {memory: 8KiB, sketch: 0}, clients: {identity: {header: "
      "x-user-id}, trusted_proxies: [192.0.2.0/24]}, rules: [{name: api, "
      "key: [client], limits: [600/minute";
  const std::string tail =
      "], overrides: [{when: {user: acme}, limits: [600/minute, "
      "{concurrency: 3, lease: 10s}]}]}]}";
  Start(head + tail);
  for (unsigned i = 0; i < 400; ++i) (void)Ask(In(i, 1), "acme");
  EXPECT_GT(Report().network_for_lease, 0U);
  ASSERT_TRUE(engine_->Publish(PolicyOf(head + ", {concurrency: 3, lease: 20min}" + tail), kNow));
  constexpr Now kLater{.engine_ns = kNow.engine_ns + 3'600'000'000'000, .unix_ns = kNow.unix_ns};
  unsigned admitted = 0;
  for (unsigned i = 0; i < 400; ++i) {
    const Request request{.client = In(i, 2), .method = "GET", .path = "/"};
    admitted += engine_->Decide(*engine_->rulesets().Get(), request, kLater)->allowed() ? 1U : 0U;
  }
  EXPECT_GE(admitted, Report().lease_capacity + 3);
}

}  // namespace
}  // namespace sluicegate::engine
