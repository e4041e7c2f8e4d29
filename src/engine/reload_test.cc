// What a reload keeps: each limit whose algorithm and window did not change, whatever else did; and
// that no decision falls between the tables.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "config/load.h"
#include "engine/engine.h"

namespace sluicegate::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr HashSecret kSecret{.k0 = 0x0706050403020100, .k1 = 0x0f0e0d0c0b0a0908};
constexpr Now kNow{.engine_ns = 1'000'000'000'000, .unix_ns = 1'767'225'600'000'000'000};

Now After(std::uint64_t seconds) {
  return {.engine_ns = kNow.engine_ns + seconds * 1'000'000'000,
          .unix_ns = kNow.unix_ns + static_cast<std::int64_t>(seconds * 1'000'000'000)};
}

std::shared_ptr<const policy::Policy> PolicyOf(const std::string& yaml) {
  auto policy = config::ParsePolicy(yaml);
  if (policy) return std::move(*policy);
  for (const auto& mistake : policy.error()) ADD_FAILURE() << mistake.what << " " << mistake.mend;
  std::abort();
}

// One rule named api with `words` after its key; `memory` for all.
std::string Api(const std::string& words, const std::string& memory = "1MiB") {
  return "{state: {memory: " + memory + "}, clients: {identity: {header: x-user-id}, " +
         "trusted_proxies: [10.0.0.0/8]}, rules: [{name: api, key: [client], " + words + "}]}";
}

class Reload : public ::testing::Test {
 protected:
  void Start(const std::string& yaml) {
    auto engine = Engine::Create(PolicyOf(yaml), kSecret);
    ASSERT_TRUE(engine.has_value());
    engine_ = std::move(*engine);
  }
  std::vector<std::string> Publish(const std::string& yaml, Now now = kNow) {
    auto afresh = engine_->Publish(PolicyOf(yaml), now);
    EXPECT_TRUE(afresh.has_value());
    return afresh.value_or(std::vector<std::string>());
  }
  Decision Ask(std::uint64_t cost = 1, Now now = kNow, std::uint8_t client = 1,
               std::string_view user = {}) {
    Request request{.client = IpAddress::V4({192, 0, 2, client}),
                    .method = "GET",
                    .path = "/",
                    .host = "a.test",
                    .user = user,
                    .cost = cost};
    return *engine_->Decide(*engine_->rulesets().Get(), request, now);
  }
  std::uint64_t Remaining(Now now = kNow) { return Ask(0, now).remaining; }

  std::unique_ptr<Engine> engine_;
};

TEST_F(Reload, TighteningAWindowForgivesNothing) {
  Start(Api("limits: [9/hour]"));
  (void)Ask(7);
  EXPECT_THAT(Publish(Api("limits: [5/hour]")), IsEmpty());
  EXPECT_FALSE(Ask().allowed());
  EXPECT_THAT(Publish(Api("limits: [10/hour]")), IsEmpty());
  EXPECT_EQ(Remaining(), 3U);
}

// 8 of 10 are owed. At 10 a second that is paid in 0.8 s, at 10 an hour in 48 minutes.
TEST_F(Reload, ABucketOwesItsUnitsAtAnyRate) {
  Start(Api("limits: [{burst: 10, refill: 10/s}]"));
  (void)Ask(8);
  EXPECT_THAT(Publish(Api("limits: [{burst: 10, refill: 10/hour}]")), IsEmpty());
  EXPECT_EQ(Remaining(), 2U);
  EXPECT_EQ(Remaining(After(10)), 2U) << "a slower refill forgave the debt";
  EXPECT_THAT(Publish(Api("limits: [{burst: 10, refill: 10/s}]"), After(10)), IsEmpty());
  EXPECT_EQ(Remaining(After(10)), 2U);
  EXPECT_EQ(Remaining(After(11)), 10U) << "a faster refill locks nobody out";
}

TEST_F(Reload, ALimitKeepsItsCountsWhenOthersComeGoOrMove) {
  Start(Api("limits: [100/minute, 1000/hour]"));
  (void)Ask(40);
  EXPECT_THAT(Publish(Api("limits: [1000/hour, {burst: 5, refill: 1/s}, 100/minute]")),
              ElementsAre("rule api: limit burst counts afresh: no limit of its algorithm and "
                          "window was there before"));
  (void)Ask(2);
  EXPECT_THAT(Publish(Api("limits: [100/minute]")), IsEmpty());
  EXPECT_EQ(Remaining(), 58U);
}

TEST_F(Reload, ARenamedLimitIsKnownByItsWindow) {
  Start(Api("limits: [{limit: 100/minute, name: old}]"));
  (void)Ask(40);
  EXPECT_THAT(Publish(Api("limits: [{limit: 100/minute, name: new}, {burst: 999, refill: 1/s}]")),
              ::testing::SizeIs(1));
  EXPECT_EQ(Remaining(), 60U);
}

TEST_F(Reload, AnotherWindowCountsAfreshAndSaysSo) {
  Start(Api("limits: [3/hour]"));
  (void)Ask(3);
  EXPECT_THAT(Publish(Api("limits: [3/minute]")),
              ElementsAre("rule api: limit per-minute counts afresh: no limit of its algorithm and "
                          "window was there before"));
  EXPECT_EQ(Remaining(), 3U);
}

TEST_F(Reload, CountersWidenWithTheQuota) {
  Start(Api("limits: [60000/hour]"));
  (void)Ask(50'000);
  EXPECT_THAT(Publish(Api("limits: [70000/hour]")), IsEmpty());
  EXPECT_EQ(Remaining(), 20'000U);
  (void)Ask(15'000);
  EXPECT_THAT(Publish(Api("limits: [60000/hour]")), IsEmpty());
  EXPECT_FALSE(Ask().allowed());
}

TEST_F(Reload, MemoryMayChangeBothWays) {
  Start(Api("limits: [9/hour]"));
  for (std::uint8_t client = 1; client <= 100; ++client) (void)Ask(client % 9 + 1, kNow, client);
  for (const char* memory : {"1300KiB", "3MiB", "777KiB", "64KiB", "1MiB"}) {
    EXPECT_THAT(Publish(Api("limits: [9/hour]", memory)), IsEmpty());
    for (std::uint8_t client = 1; client <= 100; ++client) {
      EXPECT_EQ(Ask(0, kNow, client).remaining, 8U - client % 9) << memory;
    }
  }
}

TEST_F(Reload, AnOverrideIsKnownByItsWhenAndTheOthersKeepTheirs) {
  const std::string one = "{when: {user: acme}, limits: [20/hour]}";
  const std::string two = "{when: {user: blue}, limits: [30/hour, 5/minute]}";
  Start(Api("limits: [9/hour], overrides: [" + one + "]"));
  (void)Ask(4);
  (void)Ask(7, kNow, 1, "acme");
  EXPECT_THAT(Publish(Api("limits: [9/hour], overrides: [" + two + ", " + one + "]")), IsEmpty());
  EXPECT_EQ(Remaining(), 5U);
  EXPECT_EQ(Ask(0, kNow, 1, "acme").remaining, 13U);
  EXPECT_EQ(Ask(0, kNow, 1, "blue").remaining, 5U);
  EXPECT_THAT(Publish(Api("limits: [9/hour]")), IsEmpty());
  EXPECT_EQ(Remaining(), 5U);
}

TEST_F(Reload, ABanOutlivesAnythingButItsPenalty) {
  const std::string penalty = "penalty: {violations: 2, within: 1m, ban: 5m}";
  Start(Api("limits: [1/hour], " + penalty));
  for (unsigned i = 0; i < 3; ++i) (void)Ask();
  ASSERT_EQ(Ask().verdict, Verdict::kBanned);
  (void)Publish(Api("limits: [1/hour, 5/day], " + penalty, "3MiB"));
  EXPECT_EQ(Ask().verdict, Verdict::kBanned);
  (void)Publish(Api("limits: [1/hour], penalty: {violations: 9, within: 2m, ban: 5m}"));
  EXPECT_EQ(Ask().verdict, Verdict::kBanned);
  (void)Publish(Api("limits: [1/hour]"));
  EXPECT_EQ(Ask().verdict, Verdict::kLimited);
}

TEST_F(Reload, ViolationsAreAsManyUnderAnotherPenalty) {
  Start(Api("limits: [1/day], penalty: {violations: 4, within: 1m, ban: 5m}"));
  for (unsigned i = 0; i < 3; ++i) (void)Ask();  // One passes, two violate.
  (void)Publish(Api("limits: [1/day], penalty: {violations: 4, within: 10m, ban: 5m}"));
  (void)Ask(1, After(40));  // At 1m both would be forgiven.
  EXPECT_EQ(Ask(1, After(40)).verdict, Verdict::kLimited);
  EXPECT_EQ(Ask(1, After(40)).verdict, Verdict::kBanned);
}

TEST_F(Reload, EvictedOffendersStayBlocked) {
  Start(Api("limits: [1/hour]", "16KiB"));
  for (std::uint8_t client = 1; client < 255; ++client) (void)Ask(1, kNow, client);
  const auto blocked = [this](Now now) {
    unsigned count = 0;
    for (std::uint8_t client = 1; client < 255; ++client) {
      count += Ask(1, now, client).allowed() ? 0U : 1U;
    }
    return count;
  };
  ASSERT_EQ(blocked(kNow), 254U);
  (void)Publish(Api("limits: [1/hour]", "64KiB"));
  EXPECT_EQ(blocked(kNow), 254U);
  (void)Publish(Api("limits: [1/hour, 9/day]", "64KiB"));
  EXPECT_EQ(blocked(After(3599)), 254U);
}

// At 100 a second an offender that was evicted is clear in 10 ms; at one an hour it has an hour.
TEST_F(Reload, EvictedOffendersOweTheSameUnitsToASlowerBucket) {
  Start(Api("limits: [{burst: 1, refill: 1/10s}]", "16KiB"));
  for (std::uint8_t client = 1; client < 255; ++client) (void)Ask(1, kNow, client);
  (void)Publish(Api("limits: [{burst: 1, refill: 1/hour}]", "16KiB"));
  for (std::uint8_t client = 1; client < 255; ++client) {
    EXPECT_FALSE(Ask(1, After(3500), client).allowed());
  }
}

TEST_F(Reload, AChargeOfBeforeCanBeGivenBack) {
  Start(Api("limits: [5/hour]"));
  (void)Ask(1);
  const Decision charged = Ask(3);
  (void)Publish(Api("limits: [5/hour]", "3MiB"));
  engine_->GiveBack(*engine_->rulesets().Get(), charged.stamp, kNow);
  EXPECT_EQ(Remaining(), 4U);
}

// Each of 20 reloads moves everything.
TEST_F(Reload, NothingIsLostHoweverOftenMemoryChanges) {
  Start(Api("limits: [9/day]"));
  for (std::uint8_t client = 1; client < 250; ++client) (void)Ask(client % 9 + 1, kNow, client);
  for (unsigned i = 0; i < 20; ++i) {
    EXPECT_THAT(Publish(Api("limits: [9/day]", i % 2 == 0 ? "1300KiB" : "1MiB")), IsEmpty());
  }
  for (std::uint8_t client = 1; client < 250; ++client) {
    EXPECT_EQ(Ask(0, kNow, client).remaining, 8U - client % 9);
  }
  EXPECT_EQ(engine_->Statistics(kNow).rules[0].tracked_keys, 249U);
}

TEST_F(Reload, AChargeIsNotGivenBackToALimitThatCountsAfresh) {
  Start(Api("limits: [100/hour]"));
  const Decision charged = Ask(40);
  (void)Publish(Api("limits: [100/hour, 5/minute]"));
  (void)Ask(5);
  engine_->GiveBack(*engine_->rulesets().Get(), charged.stamp, kNow);
  EXPECT_FALSE(Ask().allowed());
}

TEST_F(Reload, WhatIsInFlightStaysSoUnderLeasesOfAnotherLength) {
  Start(Api("limits: [{concurrency: 2, lease: 60s}]"));
  const Decision old = Ask();
  EXPECT_THAT(Publish(Api("limits: [{concurrency: 2, lease: 120s}]")), IsEmpty());
  EXPECT_TRUE(Ask().allowed());
  EXPECT_FALSE(Ask().allowed());
  engine_->GiveBack(*engine_->rulesets().Get(), old.stamp, kNow);
  EXPECT_TRUE(Ask().allowed());
  EXPECT_FALSE(Ask().allowed());
}

// The one of the same lease counts most truly, whatever their names.
TEST_F(Reload, ALimitOfRequestsInFlightTakesOverFromOneOfItsLease) {
  Start(Api("limits: [{concurrency: 9, lease: 10s}, {concurrency: 2, lease: 1h, name: long}]"));
  (void)Ask();
  (void)Ask();
  (void)Publish(Api("limits: [{concurrency: 2, lease: 1h, name: renamed}]"), After(60));
  EXPECT_FALSE(Ask(1, After(60)).allowed());
}

// The first request outlived its lease before the reload, so its end frees nothing.
TEST_F(Reload, ARequestThatOutlivedItsLeaseFreesNoPlaceOfALongerOne) {
  Start(Api("limits: [{concurrency: 2, lease: 10s}]"));
  const Decision outlived = Ask();
  (void)Ask(1, After(30));
  (void)Publish(Api("limits: [{concurrency: 2, lease: 10min}]"), After(31));
  EXPECT_TRUE(Ask(1, After(31)).allowed());
  EXPECT_FALSE(Ask(1, After(31)).allowed());
  engine_->GiveBack(*engine_->rulesets().Get(), outlived.stamp, After(32));
  EXPECT_FALSE(Ask(1, After(32)).allowed());
}

TEST_F(Reload, ARequestOfALongLeaseFreesItsPlaceUnderAShorterOne) {
  Start(Api("limits: [{concurrency: 1, lease: 1h}]"));
  const Decision held = Ask();
  (void)Publish(Api("limits: [{concurrency: 1, lease: 10min}]"), After(60));
  EXPECT_FALSE(Ask(1, After(60)).allowed());
  engine_->GiveBack(*engine_->rulesets().Get(), held.stamp, After(61));
  EXPECT_TRUE(Ask(1, After(61)).allowed());
}

// To a slice of the longer lease.
TEST_F(Reload, ALeaseOfAnotherLengthCountsFromItsBeginning) {
  for (const std::string_view lease : {"10min", "3h"}) {
    Start(Api("limits: [{concurrency: 1, lease: 1h}]"));
    (void)Ask();
    (void)Publish(Api("limits: [{concurrency: 1, lease: " + std::string(lease) + "}]"), After(300));
    const std::uint64_t length_s = lease == "3h" ? 3 * 3600 : 600;
    EXPECT_FALSE(Ask(1, After(length_s - 1)).allowed()) << lease;
    EXPECT_TRUE(Ask(1, After(length_s + 2 * std::max(length_s, 3600UL) / 15)).allowed()) << lease;
  }
}

TEST_F(Reload, RequestsAboveATightenedQuotaStayInFlightUnderAnotherLease) {
  Start(Api("limits: [{concurrency: 3, lease: 60s}]"));
  const Decision first = Ask();
  const Decision second = Ask();
  (void)Ask();
  (void)Publish(Api("limits: [{concurrency: 1, lease: 60s}]"));
  (void)Publish(Api("limits: [{concurrency: 1, lease: 90s}]"));
  for (const Decision& ended : {first, second}) {
    engine_->GiveBack(*engine_->rulesets().Get(), ended.stamp, kNow);
    EXPECT_FALSE(Ask().allowed());
  }
}

// The request outlives the lease that stays as it is, also where another one changes.
TEST_F(Reload, ALateEndFreesNoPlaceOfALeaseThatStayed) {
  const std::string stays = "{concurrency: 2, lease: 10s, name: short}";
  Start(Api("limits: [" + stays + ", {concurrency: 9, lease: 60s, name: long}]"));
  const Decision late = Ask();
  (void)Publish(Api("limits: [" + stays + ", {concurrency: 9, lease: 90s, name: long}]"), After(5));
  (void)Ask(1, After(12));
  (void)Ask(1, After(12));
  engine_->GiveBack(*engine_->rulesets().Get(), late.stamp, After(13));
  EXPECT_FALSE(Ask(1, After(13)).allowed());
}

TEST_F(Reload, ALeaseOfOneSetEndsThoughAnotherSetGainsALimit) {
  const std::string acme =
      ", overrides: [{when: {user: acme}, limits: [{concurrency: 1, lease: 1h}]}]";
  Start(Api("limits: [600/minute]" + acme));
  const Decision held = Ask(1, kNow, 1, "acme");
  (void)Publish(Api("limits: [600/minute, {concurrency: 20}]" + acme));
  engine_->GiveBack(*engine_->rulesets().Get(), held.stamp, kNow);
  EXPECT_TRUE(Ask(1, kNow, 1, "acme").allowed());
}

// Their bytes would fit each other's.
TEST_F(Reload, LimitsOfOneWindowThatChangeTheirPlacesKeepTheirOwnCounts) {
  const std::string a = "{limit: 60/minute, name: a}";
  const std::string b = "{limit: 100/minute, name: b}";
  Start(Api("limits: [" + a + "]"));
  (void)Ask(50);
  (void)Publish(Api("limits: [" + a + ", " + b + "]"));
  EXPECT_TRUE(Ask(10).allowed());
  for (const std::string& limits : {b + ", " + a, a + ", " + b}) {
    EXPECT_THAT(Publish(Api("limits: [" + limits + "]")), IsEmpty());
    EXPECT_FALSE(Ask().allowed());
  }
}

TEST_F(Reload, ASecondLimitOfRequestsInFlightCountsThoseThatAre) {
  Start(Api("limits: [{concurrency: 2}]"));
  const Decision first = Ask();
  (void)Ask();
  EXPECT_THAT(Publish(Api("limits: [{concurrency: 3, name: more, lease: 1h}, {concurrency: 2}]")),
              IsEmpty());
  EXPECT_FALSE(Ask().allowed());
  engine_->GiveBack(*engine_->rulesets().Get(), first.stamp, kNow);
  EXPECT_TRUE(Ask().allowed());
  EXPECT_FALSE(Ask().allowed());
}

TEST_F(Reload, ALeaseEndsThoughItsOverrideHasAnotherNumber) {
  const std::string a = "{when: {user: a}, limits: [{concurrency: 3}]}";
  const std::string b = "{when: {user: b}, limits: [{concurrency: 2, lease: 1h}]}";
  Start(Api("limits: [9/hour], overrides: [" + a + ", " + b + "]"));
  const Decision first = Ask(1, kNow, 1, "b");
  (void)Ask(1, kNow, 1, "b");
  for (const std::string& overrides : {b, b + ", " + a}) {
    (void)Publish(Api("limits: [9/hour], overrides: [" + overrides + "]"));
    EXPECT_FALSE(Ask(1, kNow, 1, "b").allowed());
  }
  engine_->GiveBack(*engine_->rulesets().Get(), first.stamp, kNow);
  EXPECT_TRUE(Ask(1, kNow, 1, "b").allowed());
}

TEST_F(Reload, LeasesOutliveOtherLimitsAndMemory) {
  Start(Api("limits: [{concurrency: 2, lease: 60s}]"));
  const Decision first = Ask();
  (void)Ask();
  (void)Publish(Api("limits: [100/hour, {concurrency: 2, lease: 60s}]", "2MiB"));
  EXPECT_FALSE(Ask().allowed());
  engine_->GiveBack(*engine_->rulesets().Get(), first.stamp, kNow);
  EXPECT_TRUE(Ask().allowed());
}

TEST_F(Reload, WhatHasNoPlaceInASmallerMemoryIsToldInTheLog) {
  Start(Api("limits: [1/day], penalty: {violations: 1, within: 1m, ban: 1h}"));
  for (std::uint8_t client = 1; client < 250; ++client) {
    for (unsigned i = 0; i < 3; ++i) (void)Ask(1, kNow, client);
  }
  EXPECT_THAT(
      Publish(Api("limits: [1/day], penalty: {violations: 1, within: 1m, ban: 1h}", "8KiB")),
      ElementsAre(::testing::MatchesRegex("rule api: [0-9]+ running bans have no place in "
                                          "the smaller memory and are forgotten")));
}

TEST_F(Reload, WhoHoldsTheOldRulesIsToldToTakeTheNewest) {
  Start(Api("limits: [5/hour]"));
  const auto old = engine_->rulesets().Get();
  (void)Publish(Api("limits: [6/hour]"));
  const Request request{.client = IpAddress::V4({192, 0, 2, 1}), .method = "GET", .path = "/"};
  EXPECT_TRUE(engine_->Decide(*old, request, kNow).has_value()) << "the table is the same";
  (void)Publish(Api("limits: [6/hour, 9/day]"));
  EXPECT_FALSE(engine_->Decide(*old, request, kNow).has_value());
}

// Tables that move again and again under four threads: every unit is counted once.
TEST_F(Reload, NoDecisionFallsBetweenTheTables) {
  constexpr std::uint64_t kQuota = 20'000;
  const std::vector<std::string> shapes = {
      Api("limits: [20000/day]", "256KiB"), Api("limits: [20000/day, 900000/hour]", "300KiB"),
      Api("limits: [20000/day, {burst: 500000, refill: 1/s}]", "200KiB"),
      Api("limits: [20000/day], penalty: {violations: 1000000, within: 1m, ban: 1s}", "256KiB")};
  Start(shapes[0]);
  std::atomic<std::uint64_t> admitted{0};
  std::atomic<bool> done{false};
  {
    std::vector<std::jthread> threads;
    for (unsigned t = 0; t < 4; ++t) {
      threads.emplace_back([this, &admitted] {
        Engine::Rulesets::Reader rules(engine_->rulesets());
        const Request request{
            .client = IpAddress::V4({192, 0, 2, 1}), .method = "GET", .path = "/"};
        for (std::uint64_t i = 0; i < kQuota;) {
          const auto decision = engine_->Decide(*rules, request, kNow);
          if (!decision) {
            rules.Refresh();
            continue;
          }
          if (decision->allowed()) ++admitted;
          ++i;
        }
      });
    }
    threads.emplace_back([this, &shapes, &done] {
      for (std::size_t i = 1; !done.load(); ++i) (void)Publish(shapes[i % shapes.size()]);
    });
    for (unsigned t = 0; t < 4; ++t) threads[t].join();
    done.store(true);
  }
  EXPECT_EQ(admitted.load(), kQuota);
}

}  // namespace
}  // namespace sluicegate::engine
