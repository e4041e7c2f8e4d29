// Promises 1 and 2 as numbers: offenders that no flood makes the engine forget, newcomers that are
// let in all the same, and memory that stands still. Each flood is of keys that were never seen.
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "base/manual_clock.h"
#include "config/load.h"
#include "engine/engine.h"
#include "sluicegate/limiter.h"

namespace sluicegate::sim {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)
constexpr bool kSanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool kSanitized = false;
#endif

constexpr HashSecret kSecret{.k0 = 0x0706050403020100, .k1 = 0x0f0e0d0c0b0a0908};
constexpr Now kNow{.engine_ns = 1'000'000'000'000, .unix_ns = 1'767'225'600'000'000'000};
constexpr std::uint32_t kOffenders = 1000;
constexpr std::uint32_t kFirstFresh = 1'000'000;
constexpr std::uint32_t kFirstHonest = 100'000'000;

// Each number is a client of its own: an IPv6 /64.
IpAddress Client(std::uint32_t number) {
  std::array<std::uint8_t, 16> bytes = {0x20, 0x01, 0x0d, 0xb8};
  for (unsigned i = 0; i < 4; ++i) {
    bytes[4 + i] = static_cast<std::uint8_t>(number >> (24 - 8 * i));
  }
  return IpAddress::V6(bytes);
}

// One rule that is called "api", and what it answers.
class Rule {
 public:
  Rule(const std::string& state, const std::string& rule) {
    const auto policy =
        config::ParsePolicy("state: {" + state + "}\nrules:\n  - {name: api, " + rule + "}\n");
    EXPECT_TRUE(policy.has_value()) << (policy ? "" : policy.error().front().what);
    if (!policy) return;
    auto engine = engine::Engine::Create(*policy, kSecret);
    EXPECT_TRUE(engine.has_value());
    engine_ = std::move(*engine);
    rules_ = engine_->rulesets().Get();
  }

  Decision Ask(const IpAddress& client, std::uint64_t cost = 1, Now now = kNow) {
    const Request request{
        .client = client, .method = "GET", .path = "/", .host = "a", .cost = cost};
    return *engine_->Decide(*rules_, request, now, &receipt_);
  }
  Decision Ask(std::uint32_t client, std::uint64_t cost = 1) { return Ask(Client(client), cost); }
  [[nodiscard]] engine::RuleReport Report() const { return engine_->Statistics(kNow).rules[0]; }
  [[nodiscard]] const table::BlockedSketch& sketch() const { return *rules_->state(0).sketch; }

 private:
  std::unique_ptr<engine::Engine> engine_;
  std::shared_ptr<const engine::Ruleset> rules_;
  engine::Receipt receipt_;
};

std::uint64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t all = 0;
  std::uint64_t resident = 0;
  statm >> all >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

struct Kind {
  const char* name;
  const char* limits;
  std::uint64_t cost;  // Of each request.
};

constexpr Kind kKinds[] = {
    {"a sliding window", "limits: [3/hour]", 1},
    {"a wide sliding window", "limits: [90000/hour]", 30'000},
    {"a token bucket", "limits: [{burst: 5, refill: 1/h}]", 1},
    {"a fixed window", "limits: [{limit: 3/day, algorithm: fixed_window}]", 1},
    {"the four defaults", "limits: [60/minute, 1000/hour, 10000/day, {burst: 10}]", 1},
    {"windows and a bucket", "limits: [{burst: 2, refill: 1/s}, 4/minute, 9/30s]", 1},
};

class Flood : public ::testing::TestWithParam<Kind> {};

// 1,000 keys at their limits, and ten times as many fresh ones as the table holds, each of which
// asks once: nobody of the 1,000 gets in again, and none is evicted.
TEST_P(Flood, OffendersOutliveTenTimesTheTablesCapacity) {
  const Kind& kind = GetParam();
  Rule rule("memory: 4MiB", std::string("key: [client], ") + kind.limits);
  for (std::uint32_t i = 0; i < kOffenders; ++i) {
    unsigned times = 0;
    while (rule.Ask(i, kind.cost).allowed()) ASSERT_LT(++times, 100U);
  }
  const std::uint64_t capacity = rule.Report().capacity;
  std::uint64_t extra = 0;
  std::uint32_t fresh = kFirstFresh;
  for (unsigned part = 0; part < 10; ++part) {
    for (std::uint64_t i = 0; i < capacity; ++i) {
      ASSERT_TRUE(rule.Ask(fresh++, kind.cost).allowed());
    }
    for (std::uint32_t i = 0; i < kOffenders; ++i) {
      if (rule.Ask(i, kind.cost).allowed()) ++extra;
    }
  }
  EXPECT_EQ(extra, 0U) << kind.name;
  const engine::RuleReport report = rule.Report();
  EXPECT_EQ(report.evictions_at_limit, 0U);
  EXPECT_EQ(report.forgotten, 0U);
  std::cout << kind.name << ": " << fresh - kFirstFresh << " fresh keys over " << capacity
            << " slots, " << report.evictions << " evicted, " << extra << " extra admissions\n";
}

INSTANTIATE_TEST_SUITE_P(EveryAlgorithm, Flood, ::testing::ValuesIn(kKinds));

// With a quota of one every key is at its limit at once. What table and sketch hold stays denied;
// the rest is forgotten, and each of these is counted.
TEST(FloodOfOffenders, WhatIsForgottenIsCounted) {
  Rule rule("memory: 2MiB", "key: [client], limits: [1/hour]");
  const std::uint64_t capacity = rule.Report().capacity;
  const auto keys = static_cast<std::uint32_t>(10 * capacity);
  std::uint64_t refused = 0;
  for (std::uint32_t i = 0; i < keys; ++i) {
    if (!rule.Ask(kFirstFresh + i).allowed()) ++refused;
  }
  const engine::RuleReport report = rule.Report();
  const table::BlockedCounts counts = rule.sketch().counts();
  EXPECT_GT(report.forgotten, 0U);
  EXPECT_EQ(report.evictions, 0U);
  EXPECT_EQ(report.evictions_at_limit, counts.folded + report.forgotten);
  EXPECT_EQ(report.evictions_at_limit, keys - refused - capacity) << "the table is full";
  EXPECT_LE(static_cast<double>(refused), 0.01 * keys + 5 * std::sqrt(0.01 * keys));
  // Who asks again and is let in was forgotten, or was refused above. Peeks, as a charge would
  // evict others.
  std::uint64_t lost = 0;
  for (std::uint32_t i = 0; i < keys; ++i) {
    if (rule.Ask(kFirstFresh + i, 0).remaining > 0) ++lost;
  }
  EXPECT_LE(lost, report.forgotten + refused);
  // Some of those are held back with others, by cells that they share.
  EXPECT_GE(static_cast<double>(lost), 0.98 * static_cast<double>(report.forgotten));
}

// The same where the rule protects: nobody is forgotten.
TEST(FloodOfOffenders, ARuleThatProtectsForgetsNobody) {
  Rule rule("memory: 2MiB", "key: [client], limits: [1/hour], saturated: protect");
  for (std::uint32_t i = 0; i < kOffenders; ++i) EXPECT_TRUE(rule.Ask(i).allowed());
  const auto keys = static_cast<std::uint32_t>(10 * rule.Report().capacity);
  std::uint64_t refused = 0;
  for (std::uint32_t i = 0; i < keys; ++i) {
    if (!rule.Ask(kFirstFresh + i).allowed()) ++refused;
  }
  std::uint64_t extra = 0;
  for (std::uint32_t i = 0; i < kOffenders; ++i) {
    if (rule.Ask(i).allowed()) ++extra;
  }
  EXPECT_EQ(extra, 0U);
  EXPECT_EQ(rule.Report().forgotten, 0U);
  std::cout << "ten times the capacity in offenders: 0 forgotten, "
            << 100.0 * static_cast<double>(refused) / keys << " % of the newcomers refused\n";
}

// Offenders beyond table and sketch, and then honest newcomers: of these at most 1 % are refused.
TEST(FloodOfOffenders, HonestNewcomersAreLetIn) {
  Rule rule("memory: 2MiB", "key: [client], limits: [2/hour]");
  const auto offenders = static_cast<std::uint32_t>(8 * rule.Report().capacity);
  for (std::uint32_t i = 0; i < offenders; ++i) {
    (void)rule.Ask(kFirstFresh + i);
    (void)rule.Ask(kFirstFresh + i);
  }
  EXPECT_GT(rule.Report().forgotten, 0U) << "the sketch is not full";
  constexpr std::uint32_t kHonest = 100'000;
  std::uint64_t refused = 0;
  for (std::uint32_t i = 0; i < kHonest; ++i) {
    if (!rule.Ask(kFirstHonest + i).allowed()) ++refused;
  }
  EXPECT_LE(static_cast<double>(refused), 0.01 * kHonest + 5 * std::sqrt(0.01 * kHonest));
  std::cout << "a full sketch refuses " << refused << " of " << kHonest << " honest newcomers\n";
}

// A key below its limit may lose its place. It starts afresh, and in no life it has more than its
// quota.
TEST(FloodOfOffenders, AKeyBelowItsLimitStartsAfreshAndNoMore) {
  Rule rule("memory: 64KiB", "key: [client], limits: [5/hour]");
  std::uint32_t fresh = kFirstFresh;
  unsigned lives = 0;
  unsigned admitted = 0;
  for (unsigned step = 0; step < 2000; ++step) {
    const std::uint64_t before = rule.Ask(0, 0).remaining;
    if (before == 5) {
      lives += admitted > 0 ? 1 : 0;
      EXPECT_LT(admitted, 5U) << "it was at its limit";
      admitted = 0;
    }
    ASSERT_EQ(before, 5U - admitted);
    // Never its last unit, so it is never at its limit.
    if (before > 1) {
      ASSERT_TRUE(rule.Ask(0).allowed());
      ++admitted;
    }
    for (unsigned i = 0; i < 50; ++i, ++fresh) (void)rule.Ask(fresh, 5);
  }
  EXPECT_GT(lives, 10U) << "nothing evicted it";
}

// 32 MiB of sketch: how many newcomers are refused after so many evicted offenders. Peeks, which
// change nothing, show a blocked key without its one unit.
// What a victim had used of a limit that it was not at starts afresh: the price of a sketch that
// remembers the limits that a victim was at, and no others. It stays within these, always.
TEST(FloodOfOffenders, AVictimAtItsMinuteGetsItsDayAfreshAndNoMoreThanItsMinutes) {
  Rule rule("memory: 1MiB, sketch: 512KiB", "key: [client], limits: [10/minute, 30/day]");
  constexpr unsigned kRounds = 20;
  constexpr std::uint64_t kRoundNs = 65'000'000'000;
  const std::uint64_t capacity = rule.Report().capacity;
  std::uint64_t admitted = 0;
  std::uint32_t fresh = kFirstFresh;
  Now now = kNow;
  for (unsigned round = 0; round < kRounds; ++round) {
    std::uint64_t in_a_round = 0;
    for (unsigned i = 0; i < 12; ++i) {
      if (rule.Ask(Client(7), 1, now).allowed()) ++in_a_round;
    }
    EXPECT_LE(in_a_round, 10U) << round;
    admitted += in_a_round;
    // More than the table holds, each to its own limit: every bucket is full of offenders.
    for (std::uint64_t key = 0; key < 2 * capacity; ++key, ++fresh) {
      for (unsigned i = 0; i < 10; ++i) (void)rule.Ask(Client(fresh), 1, now);
    }
    for (unsigned i = 0; i < 12; ++i) EXPECT_FALSE(rule.Ask(Client(7), 1, now).allowed());
    now.engine_ns += kRoundNs;
    now.unix_ns += static_cast<std::int64_t>(kRoundNs);
  }
  EXPECT_LE(admitted, kRounds * 10U);
  EXPECT_EQ(rule.Report().forgotten, 0U);
  std::cout << "beside a flood of offenders a key at 10/minute got " << admitted
            << " of its 30/day in " << kRounds << " minutes\n";
}

TEST(FloodOfOffenders, TheCurveOfA32MiBSketch) {
  constexpr std::uint32_t kPart = kSanitized ? 16 : 1;
  const std::string sketch =
      kSanitized ? "memory: 4MiB, sketch: 2MiB" : "memory: 64MiB, sketch: 32MiB";
  Rule rule(sketch, "key: [client], limits: [1/hour]");
  constexpr std::uint32_t kPeeks = kSanitized ? 100'000 : 1'000'000;
  std::cout << "     evicted      folded   forgotten     refused\n" << std::fixed;
  std::uint32_t fresh = kFirstFresh;
  for (const std::uint64_t evicted :
       {10'000U, 30'000U, 100'000U, 200'000U, 400'000U, 800'000U, 1'600'000U}) {
    const auto so_many = [&] {
      const table::BlockedCounts counts = rule.sketch().counts();
      return counts.folded + counts.forgotten;
    };
    while (so_many() < evicted / kPart) {
      for (unsigned i = 0; i < 64; ++i) (void)rule.Ask(fresh++);
    }
    std::uint64_t refused = 0;
    for (std::uint32_t i = 0; i < kPeeks; ++i) {
      if (rule.Ask(kFirstHonest + i, 0).remaining == 0) ++refused;
    }
    const double share = static_cast<double>(refused) / kPeeks;
    const table::BlockedCounts counts = rule.sketch().counts();
    std::cout << std::setw(12) << so_many() << std::setw(12) << counts.folded << std::setw(12)
              << counts.forgotten << std::setw(10) << std::setprecision(4) << 100 * share << " %\n";
    EXPECT_LE(share, 0.011);
    if (evicted <= 100'000) {
      EXPECT_LE(share, 0.0001);
      EXPECT_EQ(counts.forgotten, 0U);
    }
  }
}

// Ten million clients through tables of 64 MiB.
constexpr const char* kShadow = "a sanitizer's own memory grows with what is touched";

TEST(MemoryStandsStill, UnderTenMillionKeysOfAnEngine) {
  if (kSanitized) GTEST_SKIP() << kShadow;
  Rule rule("memory: 64MiB",
            "key: [client], limits: [60/minute, 1000/hour, 10000/day, {burst: 10}]");
  for (std::uint32_t i = 0; i < 1000; ++i) (void)rule.Ask(i);
  const std::uint64_t before = ResidentBytes();
  constexpr std::uint32_t kKeys = 10'000'000;
  for (std::uint32_t i = 0; i < kKeys; ++i) (void)rule.Ask(i);
  const double moved = static_cast<double>(ResidentBytes()) / static_cast<double>(before) - 1;
  std::cout << kKeys << " clients moved resident memory by " << 100 * moved << " %\n";
  EXPECT_LT(moved, 0.05);
}

TEST(MemoryStandsStill, UnderTenMillionKeysOfALimiter) {
  if (kSanitized) GTEST_SKIP() << kShadow;
  ManualClock clock(kNow);
  auto limiter = Limiter::Create({"60/minute", "1000/hour"},
                                 {.memory_bytes = std::size_t{64} << 20U, .clock = &clock});
  ASSERT_TRUE(limiter.has_value());
  std::array<char, 4> key{};
  const auto check = [&](std::uint32_t number) {
    for (unsigned i = 0; i < 4; ++i) key[i] = static_cast<char>(number >> (8 * i) & 0xFFU);
    (void)limiter->Check({key.data(), key.size()});
  };
  for (std::uint32_t i = 0; i < 1000; ++i) check(i);
  const std::uint64_t before = ResidentBytes();
  constexpr std::uint32_t kKeys = 10'000'000;
  for (std::uint32_t i = 0; i < kKeys; ++i) check(i);
  const double moved = static_cast<double>(ResidentBytes()) / static_cast<double>(before) - 1;
  std::cout << kKeys << " keys moved resident memory by " << 100 * moved << " %\n";
  EXPECT_LT(moved, 0.05);
}

// Clients for whose requests in flight there is no place share what their network has, and at last
// what all have; whoever is refused for that is not banned.
TEST(FullTables, LeasesWithoutAPlaceAreTheNetworks) {
  Rule rule("memory: 32KiB",
            "key: [client], limits: [1000/hour, {concurrency: 1, lease: 1h}], "
            "penalty: {violations: 1, within: 1h, ban: 1h}");
  for (std::uint32_t i = 0; rule.Report().network_for_lease == 0; ++i) {
    ASSERT_TRUE(rule.Ask(kFirstFresh + i).allowed());
  }
  // Some find a place of their own, some are the first of their network, and others are too many.
  unsigned on_the_network = 0;
  for (unsigned i = 0; i < 2500; ++i) {
    const auto network = static_cast<std::uint8_t>(i / 250);
    const auto host = static_cast<std::uint8_t>(i % 250);
    const Decision decision = rule.Ask(IpAddress::V4({10, 0, network, host}));
    EXPECT_NE(decision.verdict, Verdict::kBanned);
    if (!decision.allowed() && decision.shared_bits == 24) ++on_the_network;
  }
  const engine::RuleReport report = rule.Report();
  EXPECT_GT(on_the_network, 0U);
  EXPECT_GT(report.network_for_lease, on_the_network);
  EXPECT_EQ(report.violations, 0U) << "others used it up";
  EXPECT_EQ(report.bans, 0U);
}

// Offenders for whom there is no place among the banned are charged on their network beside their
// own: it is denied, and never banned.
TEST(FullTables, OffendersWithoutAPlaceAreCountedOnTheirNetwork) {
  Rule rule("memory: 8KiB",
            "key: [client], limits: [2/hour], penalty: {violations: 1, within: 1h, ban: 1h}");
  for (std::uint32_t i = 0; i < 500; ++i) (void)rule.Ask(Client(kFirstFresh + i), 3);
  const std::uint64_t bans = rule.Report().bans;
  EXPECT_GT(bans, 0U);
  EXPECT_GT(rule.Report().bans_refused, 0U);
  // All places are taken now. The network has two units, whoever of it asks.
  unsigned admitted = 0;
  unsigned shared = 0;
  for (unsigned i = 0; i < 200; ++i) {
    const Decision decision = rule.Ask(IpAddress::V4({10, 0, 0, static_cast<std::uint8_t>(i)}));
    EXPECT_NE(decision.verdict, Verdict::kBanned) << i;
    if (decision.allowed()) ++admitted;
    if (!decision.allowed() && decision.shared_bits == 24) ++shared;
  }
  EXPECT_EQ(admitted, 2U);
  EXPECT_EQ(shared, 198U);
  EXPECT_EQ(rule.Report().bans, bans) << "nobody is banned for others";
}

}  // namespace
}  // namespace sluicegate::sim
