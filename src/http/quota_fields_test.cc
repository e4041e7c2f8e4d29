// Which limits the fields name, and that their numbers are those of the limit that binds.
#include "http/quota_fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "config/load.h"
#include "engine/engine.h"
#include "http/denial.h"

namespace sluicegate::http {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr Now kNow{.engine_ns = 1'000'000'000'000, .unix_ns = 1'800'000'000'000'000'000};

class QuotaFieldsTest : public testing::Test {
 protected:
  void Use(const std::string& rules, const std::string& headers = "draft11, x-ratelimit-epoch") {
    auto policy = config::ParsePolicy("headers: [" + headers + "]\nrules: " + rules);
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
    fields_.Append(*rules, {&request, 1}, decision_, kNow, lines);
    const auto violated = decision_.verdict == Verdict::kLimited
                              ? fields_.Violated(*rules, decision_)
                              : std::span<const std::string_view>();
    violated_.assign(violated.begin(), violated.end());
    return lines.lines + lines.draft03 + lines.x_ratelimit;
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

// What there is of the six forms, for a policy with two limits.
constexpr const char* kTwoLimits =
    "[{name: r, key: [user, method, client], limits: [3/minute, 100/hour]}]";

TEST_F(QuotaFieldsTest, EachFormHasItsOwnFields) {
  constexpr const char* kPolicy =
      "RateLimit-Policy: \"per-minute\";q=3;w=60, \"per-hour\";q=100;w=3600\r\n";
  const std::vector<std::pair<std::string, std::string>> forms = {
      {"draft11", std::string(kPolicy) + "RateLimit: \"per-minute\";r=1;t=64\r\n"},
      {"draft-next", std::string(kPolicy) +
                         "RateLimit-Partition: \"per-minute\";user_id;method;sluicegate-client, "
                         "\"per-hour\";user_id;method;sluicegate-client\r\n"
                         "RateLimit: \"per-minute\";a=1;w=64;c=2\r\n"},
      {"draft03",
       "RateLimit-Limit: 3, 3;w=60, 100;w=3600\r\nRateLimit-Remaining: 1\r\n"
       "RateLimit-Reset: 64\r\n"},
      {"x-ratelimit-epoch",
       "X-RateLimit-Limit: 3\r\nX-RateLimit-Remaining: 1\r\nX-RateLimit-Reset: 1800000064\r\n"},
      {"x-ratelimit-delta",
       "X-RateLimit-Limit: 3\r\nX-RateLimit-Remaining: 1\r\nX-RateLimit-Reset: 64\r\n"},
      {"off", ""},
      {"'false'", ""}};
  for (const auto& [form, fields] : forms) {
    Use(kTwoLimits, form);
    EXPECT_EQ(Ask("192.0.2.1", 2), fields) << form;
  }
}

TEST_F(QuotaFieldsTest, SeveralFormsAtOnceShareTheirLines) {
  Use(kTwoLimits, "x-ratelimit-delta, draft03, draft-next, draft11");
  const std::string fields = Ask("192.0.2.1", 2);
  EXPECT_EQ(fields.find("RateLimit-Policy: "), fields.rfind("RateLimit-Policy: ")) << fields;
  EXPECT_THAT(fields, HasSubstr("RateLimit-Partition: \"per-minute\";user_id;"));
  EXPECT_THAT(fields, HasSubstr("RateLimit: \"per-minute\";r=1;t=64;a=1;w=64;c=2\r\n"));
  EXPECT_THAT(fields, HasSubstr("\r\nRateLimit-Remaining: 1\r\n"));
  EXPECT_THAT(fields, HasSubstr("X-RateLimit-Reset: 64\r\n"));
}

TEST_F(QuotaFieldsTest, AReloadMayChangeTheForms) {
  Use(kTwoLimits, "draft03");
  EXPECT_THAT(Ask("192.0.2.1"), HasSubstr("RateLimit-Limit: "));
  Use(kTwoLimits, "x-ratelimit-delta");
  EXPECT_THAT(Ask("192.0.2.1"), Not(HasSubstr("\nRateLimit-")));
}

// Of every rule that applies, as RateLimit-Policy has them.
TEST_F(QuotaFieldsTest, Version03ListsTheWindowsOfAllRules) {
  Use("[{name: a, key: [client], limits: [3/minute, {concurrency: 9}], ceilings: {56: x2}}, "
      "{name: b, key: [], limits: [4/hour]}, "
      "{name: c, key: [client], match: {path: /other}, limits: [1/day]}]",
      "draft03");
  EXPECT_THAT(Ask("2001:db8::1"), HasSubstr("RateLimit-Limit: 3, 3;w=60, 6;w=60, 4;w=3600\r\n"));
  EXPECT_THAT(Ask("192.0.2.1"), HasSubstr(", 3;w=60, 4;w=3600\r\n"));
}

TEST_F(QuotaFieldsTest, PartitionsTellWhatAKeyIsMadeOf) {
  Use("[{name: a, key: [api_key, 'header:x-secret-tenant', 'header:x-other', path, host], "
      "limits: [3/minute]}, {name: b, key: [], limits: [4/hour]}]",
      "draft-next");
  const std::string fields = Ask("192.0.2.1");
  EXPECT_THAT(fields, HasSubstr("RateLimit-Partition: \"per-minute\";client_id;sluicegate-header;"
                                "sluicegate-path;sluicegate-host, \"per-hour\"\r\n"));
  Use("[{name: a, key: [client], limits: [3/minute], ceilings: {56: x2}}]", "draft-next");
  EXPECT_THAT(Ask("2001:db8::1"),
              HasSubstr("RateLimit-Partition: \"per-minute\";sluicegate-client, "
                        "\"per-minute/56\";sluicegate-network\r\n"));
}

TEST_F(QuotaFieldsTest, TheCostIsTheRulesWhereTheRequestHasNone) {
  Use("[{name: a, key: [client], limits: [9/minute], cost: {default: 4}}]", "draft-next");
  EXPECT_THAT(Ask("192.0.2.1", Request::kRuleCost), HasSubstr(";a=5;w=64;c=4\r\n"));
  EXPECT_THAT(Ask("192.0.2.1", 0), HasSubstr(";c=0\r\n")) << "a peek";
  EXPECT_THAT(Ask("192.0.2.1", 7), HasSubstr(";a=5;w=64;c=7\r\nRetry-After: ")) << "denied";
}

TEST_F(QuotaFieldsTest, TheCostOfSeveralRequestsIsNotTold) {
  Use("[{name: a, key: [client], limits: [9/minute]}]", "draft-next");
  Ask("192.0.2.1");
  QuotaLines lines;
  const Request request{.client = *IpAddress::Parse("192.0.2.1"), .method = "GET", .path = "/"};
  fields_.Append(*engine_->rulesets().Get(), std::array{request, request}, decision_, kNow, lines);
  EXPECT_THAT(lines.lines, HasSubstr("\"per-minute\";a=8;w=64\r\n"));
}

// The number behind `name`.
std::uint64_t NumberOf(const std::string& fields, const std::string& name) {
  const std::size_t at = fields.find(name);
  return at == std::string::npos ? 0 : std::stoull(fields.substr(at + name.size()));
}

TEST_F(QuotaFieldsTest, RetryAfterIsTrueAndTheSameInEachForm) {
  for (const std::string form :
       {"draft11", "draft-next", "draft03", "x-ratelimit-epoch", "x-ratelimit-delta", "off"}) {
    Use(kTwoLimits, form);
    std::set<std::uint64_t> told;
    for (unsigned i = 1; i <= 40; ++i) {
      const std::string client = "192.0.2." + std::to_string(i);
      Ask(client, 3);
      const std::string denied = Ask(client);
      const std::uint64_t seconds = NumberOf(denied, "Retry-After: ");
      EXPECT_GE(seconds, wire::CeilSeconds(decision_.retry_after_ns)) << form;
      EXPECT_GE(seconds, wire::CeilSeconds(decision_.hold_ns)) << form;
      EXPECT_GE(seconds, NumberOf(denied, ";t=")) << form;
      EXPECT_GE(seconds, NumberOf(denied, ";a=0;w=")) << form;
      EXPECT_GE(seconds, NumberOf(denied, "\nRateLimit-Reset: ")) << form;
      EXPECT_EQ(NumberOf(Ask(client), "Retry-After: "), seconds) << form << ", when it asks again";
      told.insert(seconds);
    }
    EXPECT_GT(told.size(), 3U) << form << ": clients come back apart";
  }
}

TEST_F(QuotaFieldsTest, RequestsInFlightMisleadInNoForm) {
  Use("[{name: r, key: [client], limits: [{concurrency: 1, lease: 30s}]}]",
      "draft-next, draft03, x-ratelimit-delta");
  const std::string allowed = Ask("192.0.2.1");
  EXPECT_THAT(allowed, HasSubstr("RateLimit: \"concurrency\";a=0;c=1\r\n"));
  EXPECT_THAT(allowed, Not(HasSubstr("Reset")));
  const std::string denied = Ask("192.0.2.1");
  EXPECT_THAT(denied, HasSubstr("RateLimit-Limit: 1\r\nRateLimit-Remaining: 0\r\n"));
  EXPECT_THAT(denied, HasSubstr("\nRateLimit-Reset: 32\r\n"));
  EXPECT_THAT(denied, HasSubstr("X-RateLimit-Reset: 32\r\n"));
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

// The body is kept from denial to denial, and is anew where another limit denies.
TEST_F(QuotaFieldsTest, TheBodyOfADenialIsThatOfItsLimits) {
  Use("[{name: r, key: [client], limits: [5/minute, 6/hour]}]");
  const auto body = [this] {
    const auto rules = engine_->rulesets().Get();
    const wire::Problem problem = ProblemOf(*rules, decision_, fields_);
    wire::Problem anew = problem;
    anew.body = {};
    std::string kept;
    std::string fresh;
    wire::AppendProblem(problem, kept);
    wire::AppendProblem(anew, fresh);
    EXPECT_EQ(kept, fresh);
    EXPECT_FALSE(problem.body.empty());
    return kept;
  };
  Ask("192.0.2.1", 5);
  Ask("192.0.2.1");
  const std::string one = body();
  EXPECT_EQ(body(), one);
  Ask("192.0.2.1", 2);
  const std::string two = body();
  EXPECT_NE(two, one);
  Ask("192.0.2.1", 100);  // Never fits, so the detail is another.
  EXPECT_NE(body(), two);
}

}  // namespace
}  // namespace sluicegate::http
