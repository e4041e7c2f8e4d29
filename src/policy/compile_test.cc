// Policy::Compile: settings, memory, limits, and a few mistakes of programs that fill a Config by
// hand. The messages of files are in tests/config/bad.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "policy/capacity.h"
#include "policy/config_for_test.h"

namespace sluicegate::policy {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::shared_ptr<const Policy> Compiled(const Config& config) {
  const auto policy = Policy::Compile(config);
  if (policy) return *policy;
  ADD_FAILURE() << TellAll(config);
  return nullptr;
}

TEST(CompileTest, Defaults) {
  const auto policy = Compiled(WrittenRules({WrittenRule("a", {"client"})}));
  ASSERT_NE(policy, nullptr);
  EXPECT_TRUE(policy->enabled());
  EXPECT_THAT(policy->warnings(), IsEmpty());
  const Settings& settings = policy->settings();
  EXPECT_FALSE(settings.admin || settings.upstream);
  EXPECT_THAT(settings.gateway, IsEmpty());
  EXPECT_EQ(settings.memory, 64U << 20U);
  EXPECT_EQ(settings.max_body, 0U);
  EXPECT_EQ(settings.timeouts.header, seconds(10));
  EXPECT_EQ(settings.timeouts.idle, seconds(60));
  EXPECT_EQ(settings.timeouts.upstream, seconds(30));
  EXPECT_EQ(settings.timeouts.tunnel, std::chrono::hours(1));
  EXPECT_EQ(settings.timeouts.half_closed, seconds(1));
  EXPECT_EQ(settings.access_log, "");
  EXPECT_EQ(settings.request_id, "x-request-id");
  EXPECT_EQ(settings.clients.forwarded, ForwardedSource::kXForwardedFor);
  EXPECT_TRUE(settings.clients.trusted_proxies.empty());
  EXPECT_THAT(settings.headers, ElementsAre(HeaderMode::kDraft11, HeaderMode::kXRateLimitEpoch));
  const Rule& rule = policy->rules()[0];
  EXPECT_EQ(rule.mode(), Mode::kEnforce);
  EXPECT_EQ(rule.cost().fallback, 1U);
  EXPECT_FALSE(rule.penalty());
  EXPECT_EQ(rule.max_body(), 0U);
}

TEST(CompileTest, EverySettingIsRead) {
  Config config = WrittenRules({WrittenRule("a", {"client"})});
  config.enabled = Written("false");
  config.listen.gateway.emplace_back().address = Written("0.0.0.0:8080");
  config.listen.admin = Written("[::1]:0");
  config.upstream.urls = WrittenList({"http://[2001:db8::1]:81/"});
  config.clients.trusted_proxies = WrittenList({"10.0.0.0/8", "::1"});
  config.clients.trusted_hops = Written("2");
  config.clients.forwarded = Written("forwarded");
  config.clients.identity_header = Written("X-User-ID");
  config.state_memory = Written("10MB");
  config.timeouts = {.header = Written("1s"),
                     .idle = Written("2s"),
                     .upstream = Written("3s"),
                     .connect = Written("4s"),
                     .drain = Written("5s"),
                     .tunnel = Written("6s"),
                     .half_closed = Written("off")};
  config.max_body = Written("1MiB");
  config.admin_token_file = Written("/run/token");
  config.access_log = Written("-");
  config.request_id = Written("X-Trace");
  config.headers = WrittenList({"x-ratelimit-epoch"});
  const auto policy = Compiled(config);
  ASSERT_NE(policy, nullptr);
  EXPECT_FALSE(policy->enabled());
  const Settings& settings = policy->settings();
  ASSERT_EQ(settings.gateway.size(), 1U);
  EXPECT_EQ(settings.gateway[0].endpoint.port, 8080);
  EXPECT_EQ(settings.admin->address.ToString(), "::1");
  EXPECT_THAT(settings.upstream->servers,
              ElementsAre(UpstreamServer{.host = "2001:db8::1", .port = 81}));
  EXPECT_TRUE(settings.clients.trusted_proxies.Contains(IpAddress::Parse("10.9.9.9").value()));
  EXPECT_EQ(settings.clients.trusted_hops, 2U);
  EXPECT_EQ(settings.clients.forwarded, ForwardedSource::kForwarded);
  EXPECT_EQ(settings.clients.identity.header, "x-user-id");
  EXPECT_EQ(settings.memory, 10'000'000U);
  EXPECT_EQ(settings.timeouts.header, seconds(1));
  EXPECT_EQ(settings.timeouts.idle, seconds(2));
  EXPECT_EQ(settings.timeouts.upstream, seconds(3));
  EXPECT_EQ(settings.timeouts.connect, seconds(4));
  EXPECT_EQ(settings.timeouts.drain, seconds(5));
  EXPECT_EQ(settings.timeouts.tunnel, seconds(6));
  EXPECT_EQ(settings.timeouts.half_closed, seconds(0));
  EXPECT_EQ(settings.max_body, 1U << 20U);
  EXPECT_EQ(settings.admin_token_file, "/run/token");
  EXPECT_EQ(settings.access_log, "-");
  EXPECT_EQ(settings.request_id, "x-trace");
  EXPECT_THAT(settings.headers, ElementsAre(HeaderMode::kXRateLimitEpoch));
}

TEST(CompileTest, FormsOfTheFieldsStandInAnyOrder) {
  Config config = WrittenRules({WrittenRule("a", {"client"})});
  config.headers = WrittenList({"x-ratelimit-delta", "draft03", "draft-next", "draft11"});
  EXPECT_THAT(Compiled(config)->settings().headers,
              ElementsAre(HeaderMode::kXRateLimitDelta, HeaderMode::kDraft03,
                          HeaderMode::kDraftNext, HeaderMode::kDraft11));
}

TEST(CompileTest, ABareOffIsWhatYamlMakesOfIt) {
  for (const std::string_view off : {"off", "false"}) {
    RuleConfig rule = WrittenRule("a", {"client"});
    rule.mode = Written(off);
    Config config = WrittenRules({rule});
    config.headers = WrittenList({off});
    config.access_log = Written(off);
    config.request_id = Written(off);
    config.connections.per_client = Written(off);
    const auto policy = Compiled(config);
    ASSERT_NE(policy, nullptr);
    EXPECT_EQ(policy->rules()[0].mode(), Mode::kOff);
    EXPECT_THAT(policy->settings().headers, IsEmpty());
    EXPECT_EQ(policy->settings().access_log, "");
    EXPECT_EQ(policy->settings().request_id, "");
    EXPECT_EQ(policy->settings().connections.per_client, 0U);
  }
}

TEST(CompileTest, RulesWithoutMemoryShareWhatIsLeft) {
  RuleConfig own = WrittenRule("own", {"client"});
  own.memory = Written("1MiB");
  RuleConfig off = WrittenRule("off", {"client"});
  off.mode = Written("off");
  Config config = WrittenRules({WrittenRule("a", {"client"}), own, off, WrittenRule("b", {})});
  config.state_memory = Written("3MiB");
  const auto policy = Compiled(config);
  ASSERT_NE(policy, nullptr);
  const auto rules = policy->rules();
  EXPECT_EQ(rules[0].memory(), 1U << 20U);
  EXPECT_EQ(rules[1].memory(), 1U << 20U);
  EXPECT_EQ(rules[2].memory(), 0U);
  EXPECT_EQ(rules[3].memory(), 1U << 20U);
}

TEST(CompileTest, MemoryThatHoldsNobodyIsRefused) {
  Config config = WrittenRules({WrittenRule("a", {"client"}), WrittenRule("b", {"client"})});
  // A bucket of a window is 64 + 12 x 40 = 544 bytes, in whole lines 576.
  config.state_memory = Written("1152");
  const auto policy = Compiled(config);
  ASSERT_NE(policy, nullptr);
  EXPECT_EQ(LiveKeys(policy->rules()[1]), 12U);
  config.state_memory = Written("1150");
  EXPECT_THAT(TellAll(config), HasSubstr("The memory of rule 'a' (575 bytes) holds no key."));
  config.rules[0].memory = Written("2KiB");
  EXPECT_THAT(TellAll(config), HasSubstr("together is more than state.memory"));
}

TEST(CompileTest, ABurstWithoutRefillTakesTheShortestWindowsRate) {
  RuleConfig rule = WrittenRule("a", {"client"});
  rule.limits.push_back(WrittenLimit("1000/hour"));
  rule.limits.emplace_back().burst = Written("10");
  const auto policy = Compiled(WrittenRules({rule}));
  ASSERT_NE(policy, nullptr);
  const LimitSet& set = policy->rules()[0].variants()[0];
  ASSERT_EQ(set.limits.size(), 3U);
  EXPECT_EQ(set.limits[2].name, "burst");
  EXPECT_EQ(set.limits[2].written.refill, 60U);
  EXPECT_EQ(set.limits[2].written.window, std::chrono::minutes(1));
  const Layout& rates = policy->rules()[0].rates();
  EXPECT_EQ(rates.variants[0][1].offset, 40U);
  EXPECT_EQ(rates.variants[0][1].index, 1U);
  EXPECT_EQ(rates.slot_bytes, 88U);
}

TEST(CompileTest, AlgorithmsAndNames) {
  RuleConfig rule = WrittenRule("a", {"client"});
  LimitConfig fixed = WrittenLimit("5/month");
  fixed.algorithm = Written("fixed_window");
  LimitConfig bucket = WrittenLimit("6/minute");
  bucket.algorithm = Written("token_bucket");
  bucket.name = Written("smooth");
  rule.limits = {fixed, bucket};
  const auto policy = Compiled(WrittenRules({rule}));
  ASSERT_NE(policy, nullptr);
  const auto& limits = policy->rules()[0].variants()[0].limits;
  EXPECT_EQ(limits[0].limit.algorithm(), Algorithm::kFixedWindow);
  EXPECT_EQ(limits[0].name, "per-month");
  EXPECT_EQ(limits[1].limit.algorithm(), Algorithm::kTokenBucket);
  EXPECT_EQ(limits[1].name, "smooth");
  EXPECT_EQ(limits[1].limit.quota(), 6U);
}

TEST(CompileTest, RequestsInFlightLieApartFromRates) {
  RuleConfig rule = WrittenRule("a", {"client"});
  LimitConfig few;
  few.concurrency = Written("3");
  LimitConfig many;
  many.concurrency = Written("70000");
  many.lease = Written("5min");
  many.name = Written("many");
  rule.limits = {few, WrittenLimit("60/minute"), many};
  rule.limits.emplace_back().burst = Written("10");
  const auto policy = Compiled(WrittenRules({rule}));
  ASSERT_NE(policy, nullptr);
  const Rule& compiled = policy->rules()[0];
  const auto& limits = compiled.variants()[0].limits;
  EXPECT_EQ(limits[0].name, "concurrency");
  EXPECT_EQ(limits[0].written.window, seconds(60));
  EXPECT_EQ(limits[2].name, "many");
  EXPECT_EQ(limits[2].limit.quota(), 70000U);
  EXPECT_EQ(limits[2].written.window, std::chrono::minutes(5));
  EXPECT_EQ(limits[3].written.refill, 60U) << "the rate of the window, not of a lease";
  const auto indices = [](const BoundLimits& bound) {
    std::vector<std::uint32_t> all;
    for (const BoundLimit& limit : bound) all.push_back(limit.index);
    return all;
  };
  EXPECT_THAT(indices(compiled.rates().variants[0]), ElementsAre(1U, 3U));
  EXPECT_THAT(indices(compiled.leases().variants[0]), ElementsAre(0U, 2U));
  EXPECT_EQ(compiled.rates().slot_bytes, 48U);
  EXPECT_EQ(compiled.leases().slot_bytes, 112U);
}

TEST(CompileTest, TheSketchIsAPartOfEachRulesMemory) {
  RuleConfig own = WrittenRule("own", {"client"});
  own.memory = Written("1MiB");
  own.saturated = Written("protect");
  Config config = WrittenRules({WrittenRule("rest", {"client"}), own});
  config.state_memory = Written("4MiB");
  const auto sketches = [&config] {
    const auto policy = Compiled(config);
    std::vector<std::size_t> bytes;
    for (const Rule& rule : policy->rules()) bytes.push_back(PlanMemory(rule).sketch);
    return bytes;
  };
  EXPECT_THAT(sketches(), ElementsAre(768U << 10U, 256U << 10U)) << "a quarter";
  config.state_sketch = Written("2MiB");
  EXPECT_THAT(sketches(), ElementsAre(1536U << 10U, 512U << 10U));
  config.state_sketch = Written("0");
  EXPECT_THAT(sketches(), ElementsAre(0U, 0U));
  const auto policy = Compiled(config);
  EXPECT_FALSE(policy->rules()[0].protect());
  EXPECT_TRUE(policy->rules()[1].protect());
  config.state_memory.reset();
  config.state_sketch = Written("16MiB");
  EXPECT_EQ(Compiled(config)->rules()[0].sketch_ppm(), kDefaultSketchPpm)
      << "of the memory that the policy has by default";
}

TEST(CompileTest, APenaltyWithoutLevelsKeepsItsBan) {
  RuleConfig rule = WrittenRule("a", {"client"});
  rule.penalty = {.at = {},
                  .violations = Written("3"),
                  .within = Written("1m"),
                  .ban = Written("5m"),
                  .escalate = {},
                  .answer = {}};
  const auto policy = Compiled(WrittenRules({rule}));
  ASSERT_NE(policy, nullptr);
  EXPECT_THAT(policy->rules()[0].penalty()->escalate, ElementsAre(1U));
  EXPECT_EQ(policy->rules()[0].penalty()->ban, std::chrono::minutes(5));
  EXPECT_FALSE(policy->rules()[0].penalty()->drop);
}

TEST(CompileTest, WhatABannedClientGets) {
  for (const std::string_view answer : {"429", "drop"}) {
    RuleConfig rule = WrittenRule("a", {"client"});
    rule.penalty = {.at = {},
                    .violations = Written("3"),
                    .within = Written("1m"),
                    .ban = Written("5m"),
                    .escalate = {},
                    .answer = Written(answer)};
    const auto policy = Compiled(WrittenRules({rule}));
    ASSERT_NE(policy, nullptr);
    EXPECT_EQ(policy->rules()[0].penalty()->drop, answer == "drop");
  }
}

TEST(CompileTest, NamesThatCouldBreakALabelAreRefused) {
  for (const std::string_view name :
       {"", "A", "-a", "a b", "a.b", "a\"b", "a\nb", "\xC3\xBC",
        "a2345678901234567890123456789012345678901234567890123456789012345"}) {
    EXPECT_THAT(TellAll(WrittenRules({WrittenRule(name, {"client"})})),
                HasSubstr("The rule's name is "))
        << name;
  }
  EXPECT_THAT(TellAll(WrittenRules({WrittenRule("9a_b-c", {"client"})})), IsEmpty());
}

TEST(CompileTest, SizesOfEveryUnit) {
  const auto memory = [](std::string_view text) -> std::size_t {
    Config config = WrittenRules({WrittenRule("a", {"client"})});
    config.state_memory = Written(text);
    const auto policy = Policy::Compile(config);
    return policy ? (*policy)->settings().memory : 0;
  };
  EXPECT_EQ(memory("4096"), 4096U);
  EXPECT_EQ(memory("4096B"), 4096U);
  EXPECT_EQ(memory("64KiB"), 65536U);
  EXPECT_EQ(memory("64 kB"), 64000U);
  EXPECT_EQ(memory("2MiB"), 2U << 20U);
  EXPECT_EQ(memory("2MB"), 2'000'000U);
  EXPECT_EQ(memory("1GiB"), 1U << 30U);
  for (const std::string_view bad : {"", "-1", "1.5MiB", "64mib", "MiB", "64MiB!",
                                     "99999999999999999999", "18446744073709551615GiB"}) {
    EXPECT_EQ(memory(bad), 0U) << bad;
  }
}

TEST(CompileTest, TooMuchOfAnythingIsRefusedWithTheBound) {
  std::vector<RuleConfig> rules;
  for (std::size_t i = 0; i <= kMaxRules; ++i) {
    rules.push_back(WrittenRule("r" + std::to_string(i), {"client"}));
  }
  EXPECT_THAT(TellAll(WrittenRules(rules)), HasSubstr("A policy has at most 32 rules."));
  rules.pop_back();
  EXPECT_THAT(TellAll(WrittenRules(rules)), IsEmpty());
}

TEST(CompileTest, MistakesWithoutAFileHaveNoPlace) {
  const auto policy = Policy::Compile(WrittenRules({WrittenRule("a", {"clinet"})}));
  ASSERT_FALSE(policy);
  EXPECT_EQ(policy.error()[0].at.line, 0U);
  EXPECT_EQ(policy.error()[0].mend, "Write client.");
}

// Whatever a rule has, its parts fit into its memory and leave a bucket of keys.
TEST(Capacity, ThePartsNeverExceedTheMemoryAndLeaveAPlaceForKeys) {
  for (const std::size_t rates : {0U, 8U, 40U, 128U, 576U}) {
    for (unsigned shape = 0; shape < 32; ++shape) {
      const bool more = rates > 0;  // Without rates only leases count anything.
      MemoryNeeds needs{.tagged = (shape & 1U) != 0,
                        .rates_bytes = rates,
                        .leases_bytes = !more || (shape & 2U) != 0 ? 72U : 0U,
                        .parents_bytes = more && (shape & 4U) != 0 ? rates + 72 : 0U,
                        .ceilings = more ? shape >> 3U : 0,
                        .ceiling_bytes = rates,
                        .bans = (shape & 4U) != 0,
                        .sketch_ppm = kDefaultSketchPpm};
      if (needs.ceilings > kMaxCeilings) continue;
      const std::size_t least = LeastMemory(needs);
      for (std::size_t memory = least; memory < least * 9; memory += 64) {
        needs.memory = memory;
        const MemoryPlan plan = PlanMemory(needs);
        const std::size_t sum = plan.table + plan.sketch + plan.leases + plan.overflow + plan.bans +
                                plan.parents + plan.ceiling * needs.ceilings;
        ASSERT_LE(sum, memory);
        const std::size_t bucket = 64 + 12 * (more ? rates : 72);
        ASSERT_GE(more ? plan.table : plan.leases, bucket) << memory << " " << shape;
      }
    }
  }
}

}  // namespace
}  // namespace sluicegate::policy
