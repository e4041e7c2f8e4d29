// Which limits the fields name, and that their numbers are those of the limit that binds.
#include "http/quota_fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "config/load.h"
#include "engine/engine.h"

namespace sluicegate::http {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr Now kNow{.engine_ns = 1'000'000'000'000, .unix_ns = 1'800'000'000'000'000'000};

class QuotaFieldsTest : public testing::Test {
 protected:
  void Use(const std::string& rules) {
    auto policy = config::ParsePolicy("headers: [draft11, x-ratelimit-epoch]\nrules: " + rules);
    ASSERT_TRUE(policy) << config::FormatMistake("policy", policy.error().front());
    auto engine = engine::Engine::Create(std::move(*policy), HashSecret{});
    ASSERT_TRUE(engine) << engine.error();
    engine_ = std::move(*engine);
  }
  /// Decides a request and returns its fields.
  std::string Ask(const std::string& client, std::uint64_t cost = 1) {
    const auto rules = engine_->rulesets().Get();
    const Request request{.client = *IpAddress::Parse(client),
                          .method = "GET",
                          .path = "/",
                          .host = "t",
                          .cost = cost};
    engine::Receipt receipt;
    decision_ = *engine_->Decide(*rules, request, kNow, &receipt);
    QuotaLines lines;
    fields_.Append(*rules, request, decision_, kNow, lines);
    const auto violated = decision_.verdict == Verdict::kLimited
                              ? fields_.Violated(*rules, decision_)
                              : std::span<const std::string_view>();
    violated_.assign(violated.begin(), violated.end());
    return lines.lines + lines.epoch;
  }

  std::unique_ptr<engine::Engine> engine_;
  QuotaFields fields_;
  Decision decision_;
  std::vector<std::string_view> violated_;
};

TEST_F(QuotaFieldsTest, AnIpv6ClientIsToldItsCeilings) {
  Use("[{name: r, key: [client], limits: [3/minute], ceilings: {56: x2, 48: x3}}]");
  EXPECT_THAT(Ask("2001:db8::1"), HasSubstr("RateLimit-Policy: \"per-minute\";q=3;w=60, "
                                            "\"per-minute/56\";q=6;w=60, "
                                            "\"per-minute/48\";q=9;w=60\r\n"
                                            "RateLimit: \"per-minute\";r=2;t="));
  EXPECT_THAT(Ask("192.0.2.1"), HasSubstr("RateLimit-Policy: \"per-minute\";q=3;w=60\r\n"));
}

TEST_F(QuotaFieldsTest, ACeilingThatBindsTellsItsOwnNumbers) {
  Use("[{name: r, key: [client], limits: [3/minute], ceilings: {56: x2}}]");
  Ask("2001:db8::1", 3);
  EXPECT_THAT(Ask("2001:db8:0:1::1", 1), HasSubstr("RateLimit: \"per-minute\";r=2;t=")) << "a tie";
  const std::string shared = Ask("2001:db8:0:2::1", 1);
  EXPECT_EQ(decision_.shared_bits, 56U);
  EXPECT_THAT(shared, HasSubstr("RateLimit: \"per-minute/56\";r=1;t="));
  EXPECT_THAT(shared, HasSubstr("X-RateLimit-Limit: 6\r\nX-RateLimit-Remaining: 1\r\n"));
  const std::string denied = Ask("2001:db8:0:3::1", 2);
  EXPECT_THAT(denied, HasSubstr("RateLimit: \"per-minute/56\";r=1;t="));
  EXPECT_THAT(denied, HasSubstr("X-RateLimit-Limit: 6\r\n"));
  EXPECT_THAT(violated_, ElementsAre("per-minute/56"));
}

TEST_F(QuotaFieldsTest, ANetworkThatStandsInHasTheLimitsOfOneClient) {
  Use("[{name: r, key: [client], limits: [3/minute], ceilings: {48: x9}, new_keys: 1/minute}]");
  Ask("2001:db8::1");
  const std::string shared = Ask("2001:db8:0:1::1");
  EXPECT_EQ(decision_.shared_bits, 48U);
  EXPECT_EQ(decision_.quota, 3U);
  EXPECT_THAT(shared, HasSubstr("RateLimit: \"per-minute\";r=2;t="));
  EXPECT_THAT(shared, HasSubstr("X-RateLimit-Limit: 3\r\nX-RateLimit-Remaining: 2\r\n"));
  Ask("192.0.2.1");
  EXPECT_THAT(Ask("192.0.2.2"), HasSubstr("RateLimit: \"per-minute\";r=2;t="));
  EXPECT_EQ(decision_.shared_bits, 24U);
}

TEST_F(QuotaFieldsTest, NamesThatTwoRulesHaveAreTold) {
  Use("[{name: a, key: [client], limits: [3/minute, {concurrency: 9}], ceilings: {56: x2}}, "
      "{name: b, key: [], limits: [4/minute]}]");
  const std::string fields = Ask("2001:db8::1", 3);
  EXPECT_THAT(fields, HasSubstr("\"a/per-minute\";q=3;w=60, "
                                "\"concurrency\";q=9;qu=\"concurrent-requests\", "
                                "\"a/per-minute/56\";q=6;w=60, \"b/per-minute\";q=4;w=60\r\n"));
  EXPECT_THAT(fields, HasSubstr("RateLimit: \"a/per-minute\";r=0;t="));
  Ask("2001:db8::1");
  EXPECT_THAT(violated_, ElementsAre("a/per-minute"));
}

TEST_F(QuotaFieldsTest, RequestsInFlightHaveNoWindow) {
  Use("[{name: r, key: [client], limits: [{concurrency: 1, lease: 30s}]}]");
  const std::string allowed = Ask("192.0.2.1");
  EXPECT_THAT(allowed, HasSubstr("RateLimit: \"concurrency\";r=0\r\n"));
  EXPECT_THAT(allowed, Not(HasSubstr("X-RateLimit"))) << "a client would wait for the lease's end";
  const std::string denied = Ask("192.0.2.1");
  EXPECT_THAT(denied, HasSubstr("RateLimit: \"concurrency\";r=0\r\nRetry-After: 3"));
  EXPECT_THAT(denied, HasSubstr("X-RateLimit-Reset: 1800000032\r\n"));
  EXPECT_THAT(violated_, ElementsAre("concurrency"));
}

}  // namespace
}  // namespace sluicegate::http
