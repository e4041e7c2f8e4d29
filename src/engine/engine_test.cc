// The engine: all or nothing under threads, what it counts, what a reload keeps, and that deciding
// allocates nothing. What single decisions say is in tests/cases.
#include "engine/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "config/load.h"
#include "engine/allocations_for_test.h"

namespace sluicegate::engine {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr HashSecret kSecret{.k0 = 0x0706050403020100, .k1 = 0x0f0e0d0c0b0a0908};
constexpr Now kNow{.engine_ns = 1'000'000'000'000, .unix_ns = 1'767'225'600'000'000'000};

std::shared_ptr<const policy::Policy> PolicyOf(const std::string& yaml) {
  auto policy = config::ParsePolicy(yaml);
  if (policy) return std::move(*policy);
  for (const auto& mistake : policy.error()) ADD_FAILURE() << mistake.what << " " << mistake.mend;
  std::abort();
}

std::unique_ptr<Engine> MakeEngine(const std::string& yaml) {
  auto engine = Engine::Create(PolicyOf(yaml), kSecret);
  EXPECT_TRUE(engine.has_value());
  return std::move(*engine);
}

Request From(std::string_view address) {
  return {.client = *IpAddress::Parse(address), .method = "GET", .path = "/", .host = "a.test"};
}

IpAddress Numbered(std::uint32_t number) {
  return IpAddress::V4({10, static_cast<std::uint8_t>(number >> 16U),
                        static_cast<std::uint8_t>(number >> 8U),
                        static_cast<std::uint8_t>(number)});
}

Decision Decide(Engine& engine, const Request& request, Now now = kNow) {
  return *engine.Decide(*engine.rulesets().Get(), request, now);
}

constexpr const char* kTwoRules = R"(
state: {memory: 2MiB}
rules:
  - {name: first, key: [client], memory: 1MiB, limits: [600/hour]}
  - {name: second, key: [host], memory: 1MiB, limits: [500/hour]}
)";
constexpr const char* kTwoRulesTurnedRound = R"(
state: {memory: 2MiB}
rules:
  - {name: second, key: [host], memory: 1MiB, limits: [500/hour]}
  - {name: first, key: [client], memory: 1MiB, limits: [600/hour]}
)";

// Two threads race on the same two keys, one with the rules in one order and one in the other (as
// while a reload turns them round): nobody waits in a circle, nobody is admitted beyond either
// quota, and whoever one rule denies is charged on none.
TEST(Engine, ThreadsThatTakeTheSameTwoKeysInOppositeOrderAdmitExactlyTheQuota) {
  const auto engine = MakeEngine(kTwoRules);
  const auto before = engine->rulesets().Get();
  const auto afresh = engine->Publish(PolicyOf(kTwoRulesTurnedRound), kNow);
  ASSERT_TRUE(afresh.has_value());
  ASSERT_THAT(*afresh, IsEmpty());
  const auto after = engine->rulesets().Get();

  std::atomic<unsigned> admitted{0};
  {
    std::vector<std::jthread> threads;
    for (const auto& rules : {before, after, before, after}) {
      threads.emplace_back([&engine, &admitted, rules] {
        for (unsigned i = 0; i < 1000; ++i) {
          if (engine->Decide(*rules, From("192.0.2.1"), kNow)->allowed()) ++admitted;
        }
      });
    }
  }
  EXPECT_EQ(admitted.load(), 500U);
  // The first rule was charged for those and no others: 100 of its 600 are left for another host.
  Request other_host = From("192.0.2.1");
  other_host.host = "b.test";
  EXPECT_EQ(Decide(*engine, other_host).remaining, 99U);
}

TEST(Engine, ThreadsNeverAdmitMoreThanABucketHolds) {
  const auto engine =
      MakeEngine("rules: [{name: api, key: [], limits: [{burst: 700, refill: 1/h}]}]");
  std::atomic<unsigned> admitted{0};
  {
    std::vector<std::jthread> threads;
    for (unsigned t = 0; t < 4; ++t) {
      threads.emplace_back([&engine, &admitted] {
        const auto rules = engine->rulesets().Get();
        for (unsigned i = 0; i < 1000; ++i) {
          if (engine->Decide(*rules, From("192.0.2.1"), kNow)->allowed()) ++admitted;
        }
      });
    }
  }
  EXPECT_EQ(admitted.load(), 700U);
}

TEST(Engine, DecidingAllocatesNothing) {
#ifdef SG_ALLOCATIONS_NOT_COUNTED
  GTEST_SKIP() << "allocations cannot be counted under TSan";
#endif
  const auto engine = MakeEngine(R"(
rules:
  - {name: api, key: [client, path], limits: [5/minute, {burst: 3}], penalty: {violations: 5, within: 1m, ban: 1m}}
  - {name: watched, key: [user, host], mode: observe, limits: [2/minute]}
)");
  const auto rules = engine->rulesets().Get();
  Receipt receipt;
  const std::uint64_t before = AllocationsSoFar();
  for (std::uint32_t i = 0; i < 10'000; ++i) {
    Request request{.client = Numbered(i % 100), .method = "GET", .path = "/a", .host = "h"};
    request.user = "somebody with a name that is longer than any small string";
    (void)engine->Decide(*rules, request, kNow, &receipt);
  }
  EXPECT_EQ(AllocationsSoFar(), before);
}

// The promise in its first form: a key at its limit outlives a flood of fresh keys, as long as its
// bucket does not hold twelve of them.
TEST(Engine, AnOffenderAtItsLimitOutlivesAFloodOfFreshKeys) {
  const auto engine =
      MakeEngine("{state: {memory: 64KiB}, rules: [{name: api, key: [client], limits: [3/hour]}]}");
  for (unsigned i = 0; i < 3; ++i) EXPECT_TRUE(Decide(*engine, From("192.0.2.1")).allowed());
  const std::uint64_t capacity = engine->Statistics(kNow).rules[0].capacity;
  for (std::uint32_t i = 0; i < 10 * capacity; ++i) {
    Request fresh = From("192.0.2.2");
    fresh.client = Numbered(i);
    EXPECT_TRUE(Decide(*engine, fresh).allowed());
  }
  EXPECT_FALSE(Decide(*engine, From("192.0.2.1")).allowed());
  const RuleReport report = engine->Statistics(kNow).rules[0];
  EXPECT_GT(report.evictions, 8 * capacity);
  EXPECT_EQ(report.evictions_at_limit, 0U);
}

TEST(Engine, AFloodOnOneRuleTouchesNoOther) {
  const auto engine = MakeEngine(R"(
state: {memory: 128KiB}
rules:
  - {name: flooded, key: [client], match: {path: "/flood"}, limits: [3/hour]}
  - {name: quiet, key: [client], match: {path: "/quiet"}, limits: [3/hour]}
)");
  Request quiet = From("192.0.2.1");
  quiet.path = "/quiet";
  EXPECT_EQ(Decide(*engine, quiet).remaining, 2U);
  for (std::uint32_t i = 0; i < 20'000; ++i) {
    Request flood = From("192.0.2.2");
    flood.client = Numbered(i);
    flood.path = "/flood";
    (void)Decide(*engine, flood);
  }
  EXPECT_EQ(Decide(*engine, quiet).remaining, 1U);
  EXPECT_EQ(engine->Statistics(kNow).rules[1].evictions, 0U);
}

TEST(Engine, CountsWhatBecameOfEachRequestRuleByRule) {
  const auto engine = MakeEngine(R"(
rules:
  - name: strict
    key: [client]
    match: {path: "/api/**"}
    exempt: {clients: [192.0.2.9]}
    limits: [2/hour]
    penalty: {violations: 2, within: 1m, ban: 5m}
  - {name: watched, key: [client], match: {path: "/api/**"}, mode: observe, limits: [1/hour]}
  - {name: asleep, key: [client], mode: "off", limits: [1/hour]}
)");
  Request api = From("192.0.2.1");
  api.path = "/api/x";
  for (unsigned i = 0; i < 7; ++i) (void)Decide(*engine, api);  // 2 pass, 2 limited, 3 banned.
  Request exempt = api;
  exempt.client = *IpAddress::Parse("192.0.2.9");
  (void)Decide(*engine, exempt);
  (void)Decide(*engine, From("192.0.2.1"));  // Matches nothing.
  Request peek = api;
  peek.client = *IpAddress::Parse("192.0.2.5");
  peek.cost = 0;
  (void)Decide(*engine, peek);

  const Report report = engine->Statistics(kNow);
  ASSERT_EQ(report.rules.size(), 2U);
  const RuleReport& strict = report.rules[0];
  EXPECT_EQ(strict.rule, "strict");
  EXPECT_EQ(strict.admitted, 2U);
  EXPECT_EQ(strict.limited, 2U);
  EXPECT_EQ(strict.violations, 2U);
  EXPECT_EQ(strict.bans, 1U);
  EXPECT_EQ(strict.banned, 3U);
  EXPECT_EQ(strict.exempt, 1U);
  EXPECT_EQ(strict.observed, 0U);
  EXPECT_GT(strict.capacity, 0U);
  EXPECT_GT(strict.bytes, 0U);
  const RuleReport& watched = report.rules[1];
  EXPECT_EQ(watched.admitted, 0U);
  EXPECT_EQ(watched.observed, 3U);  // Two admitted by the strict rule and the exempt one.
  EXPECT_EQ(watched.observed_denials, 1U);
  EXPECT_EQ(report.unmatched, 1U);
}

TEST(Engine, EstimatesTheTrackedKeys) {
  const auto engine =
      MakeEngine("{state: {memory: 8MiB}, rules: [{name: api, key: [client], limits: [3/hour]}]}");
  for (std::uint32_t i = 0; i < 20'000; ++i) {
    Request request = From("192.0.2.1");
    request.client = Numbered(i);
    (void)Decide(*engine, request);
  }
  const auto tracked = static_cast<double>(engine->Statistics(kNow).rules[0].tracked_keys);
  EXPECT_NEAR(tracked, 20'000, 2'000);
  Now later = kNow;
  later.engine_ns += 3'900'000'000'000;  // 65 minutes: 16 slices of 4 minutes are past.
  EXPECT_EQ(engine->Statistics(later).rules[0].tracked_keys, 0U);
}

TEST(Engine, SamplesOfLatencyAreCumulative) {
  const auto engine = MakeEngine("rules: [{name: api, key: [client], limits: [3/hour]}]");
  for (const std::uint64_t ns : {40U, 60U, 60U, 2'000'000U}) engine->ObserveLatency(ns);
  const LatencyReport latency = engine->Statistics(kNow).latency;
  EXPECT_EQ(latency.counts[0], 1U);
  EXPECT_EQ(latency.counts[1], 3U);
  EXPECT_EQ(latency.counts.back(), 4U);
  EXPECT_EQ(latency.sum_ns, 2'000'160U);
}

TEST(Engine, AChargeThatWasEvictedIsNotGivenBackToWhoeverIsThereNow) {
  const auto engine =
      MakeEngine("{state: {memory: 1KiB}, rules: [{name: api, key: [client], limits: [3/hour]}]}");
  const auto rules = engine->rulesets().Get();
  const Decision first = Decide(*engine, From("192.0.2.1"));
  ASSERT_TRUE(first.allowed());
  for (std::uint32_t i = 0; i < 200; ++i) {  // Each at two of three, so the first key is lightest.
    Request fresh = From("192.0.2.2");
    fresh.client = Numbered(i);
    fresh.cost = 2;
    (void)Decide(*engine, fresh);
  }
  ASSERT_EQ(Decide(*engine, From("192.0.2.1")).remaining, 2U) << "it was not evicted";
  engine->GiveBack(*rules, first.stamp, kNow);
  EXPECT_EQ(Decide(*engine, From("192.0.2.1")).remaining, 1U);
}

TEST(Engine, ARequestOfPlacesAloneTakesNoUnits) {
  const auto engine = MakeEngine(
      "rules: [{name: api, key: [client], limits: [1/hour, {concurrency: 2}]},"
      "{name: rates, key: [client], limits: [1/hour]}]");
  Request later = From("192.0.2.1");
  later.places_only = true;
  const auto rules = engine->rulesets().Get();
  Receipt first;
  ASSERT_TRUE(engine->Decide(*rules, later, kNow, &first)->allowed());
  ASSERT_EQ(first.size, 1U) << "the place";
  EXPECT_TRUE(Decide(*engine, From("192.0.2.1")).allowed()) << "the hour's unit is still there";
  EXPECT_EQ(Decide(*engine, later).verdict, Verdict::kLimited) << "both places are taken";
  engine->GiveBack(*rules, first.charges[0], kNow);
  EXPECT_TRUE(Decide(*engine, later).allowed());
}

TEST(Engine, ARequestOfPlacesAloneIsBannedAsOthers) {
  const auto engine = MakeEngine(
      "rules: [{name: api, key: [client], limits: [1/hour], penalty: {violations: 1, within: 1m, "
      "ban: 5m}}]");
  Request later = From("192.0.2.1");
  later.places_only = true;
  EXPECT_TRUE(Decide(*engine, later).allowed());
  (void)Decide(*engine, From("192.0.2.1"));
  (void)Decide(*engine, From("192.0.2.1"));
  EXPECT_EQ(Decide(*engine, later).verdict, Verdict::kBanned);
}

TEST(Engine, AGivenBackChargeIsRoomForAnother) {
  const auto engine = MakeEngine("rules: [{name: api, key: [client], limits: [1/hour]}]");
  const Decision first = Decide(*engine, From("192.0.2.1"));
  EXPECT_FALSE(Decide(*engine, From("192.0.2.1")).allowed());
  engine->GiveBack(*engine->rulesets().Get(), first.stamp, kNow);
  EXPECT_TRUE(Decide(*engine, From("192.0.2.1")).allowed());
}

TEST(Engine, AReloadSaysWhichRulesCountAfresh) {
  const auto engine = MakeEngine("rules: [{name: api, key: [client], limits: [3/hour]}]");
  const auto same =
      engine->Publish(PolicyOf("rules: [{name: api, key: [client], limits: [9/hour]}]"), kNow);
  ASSERT_TRUE(same.has_value());
  EXPECT_THAT(*same, IsEmpty());
  const auto other =
      engine->Publish(PolicyOf("rules: [{name: api, key: [client], limits: [9/minute]}]"), kNow);
  ASSERT_TRUE(other.has_value());
  EXPECT_THAT(*other, ElementsAre(AllOf(HasSubstr("rule api"), HasSubstr("counts afresh"))));
}

TEST(Engine, AReloadKeepsTheCounters) {
  const auto engine = MakeEngine("rules: [{name: api, key: [client], limits: [3/hour]}]");
  (void)Decide(*engine, From("192.0.2.1"));
  ASSERT_TRUE(
      engine->Publish(PolicyOf("rules: [{name: api, key: [client], limits: [3/day]}]"), kNow));
  EXPECT_EQ(engine->Statistics(kNow).rules[0].admitted, 1U);
}

}  // namespace
}  // namespace sluicegate::engine
