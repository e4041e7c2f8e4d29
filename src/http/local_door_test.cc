// The local doors: who the client is, and that a server in the same process gets the gateway's
// fields and answers.
#include "http/local_door.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/manual_clock.h"
#include "base/temporary_folder_for_test.h"
#include "config/load.h"

namespace sluicegate::http {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

std::shared_ptr<const policy::Policy> PolicyOf(const std::string& yaml) {
  auto policy = config::ParsePolicy(yaml);
  EXPECT_TRUE(policy.has_value()) << (policy ? ""
                                             : config::FormatMistake("policy",
                                                                     policy.error().front()));
  return policy ? *policy : nullptr;
}

const IpPrefix kEverywhere = {.address = IpAddress::V4({0, 0, 0, 0}), .bits = 0};

class LocalDoors : public testing::Test {
 protected:
  [[nodiscard]] std::unique_ptr<PolicyDoor> Door(const std::string& yaml) {
    auto door = PolicyDoor::Create(
        {.policy = PolicyOf(yaml), .identities = {}, .file = {}, .clock = clock_}, lines_);
    EXPECT_TRUE(door.has_value()) << door.error();
    return std::move(*door);
  }
  [[nodiscard]] LimiterDoor DoorOf(Limiter& limiter, const std::string& headers = "") {
    return LimiterDoor(
        limiter, {.clients = PolicyOf("clients: {trusted_proxies: [10.0.0.0/8], identity: {header: "
                                      "x-user-id}}\n" +
                                      headers + "rules: []"),
                  .exempt_clients = exempt_,
                  .exempt_users = {"root"},
                  .clock = clock_,
                  .on_decision = {}});
  }
  [[nodiscard]] Limiter MakeLimiter(std::initializer_list<LimitLike> limits) const {
    auto limiter = Limiter::Create(
        limits, {.memory_bytes = 1 << 20, .clock = clock_.get(), .penalty = Penalty{}});
    EXPECT_TRUE(limiter.has_value()) << limiter.error();
    return std::move(*limiter);
  }
  static LocalAnswer Ask(LocalDoor& door, std::string_view peer,
                         const std::vector<wire::Field>& fields = {}, std::string_view path = "/") {
    return door.Ask({.peer = peer, .method = "GET", .path = path, .fields = fields});
  }

  const std::shared_ptr<ManualClock> clock_ = std::make_shared<ManualClock>(
      Now{.engine_ns = 1'000'000'000, .unix_ns = 1'796'000'000'250'000'000});
  PrefixSet exempt_;
  std::vector<std::string> lines_;
};

TEST_F(LocalDoors, APolicysAnswersAreTheGateways) {
  const auto door = Door("rules: [{name: api, key: [client], limits: [1/minute]}]");
  const LocalAnswer passed = Ask(*door, "192.0.2.1");
  EXPECT_EQ(passed.status, 0U);
  EXPECT_THAT(passed.fields, HasSubstr("RateLimit-Policy: \"per-minute\";q=1;w=60\r\n"));
  EXPECT_THAT(passed.fields, HasSubstr("RateLimit: \"per-minute\";r=0;t=63\r\n"));
  EXPECT_THAT(passed.fields, HasSubstr("X-RateLimit-Remaining: 0\r\n"));
  EXPECT_THAT(passed.fields, Not(HasSubstr("Content-Type")));
  const LocalAnswer denied = Ask(*door, "192.0.2.1");
  EXPECT_EQ(denied.status, 429U);
  EXPECT_THAT(denied.fields, HasSubstr("Retry-After: "));
  EXPECT_THAT(denied.fields, HasSubstr("Content-Type: application/problem+json\r\n"
                                       "Cache-Control: no-store\r\n"));
  EXPECT_THAT(denied.body, HasSubstr("\"type\":\"https://iana.org/assignments/http-problem-types"
                                     "#quota-exceeded\""));
  EXPECT_THAT(denied.body, HasSubstr("\"violated-policies\":[\"per-minute\"],\"error\":\"Rate "
                                     "limit exceeded\",\"retry_after\":6"));
  EXPECT_THAT(denied.body, EndsWith(",\"reset_time\":1796000063.249}"));
  EXPECT_EQ(Ask(*door, "192.0.2.2").status, 0U);
}

TEST_F(LocalDoors, PathsAreThoseThatTheServerSees) {
  const auto door =
      Door("rules: [{name: a, match: {path: /a%20b/**}, key: [], limits: [1/minute]}]");
  EXPECT_THAT(Ask(*door, "192.0.2.1", {}, "/other").fields, IsEmpty());
  EXPECT_EQ(Ask(*door, "192.0.2.1", {}, "/a b/c%d").status, 0U);
  EXPECT_EQ(Ask(*door, "192.0.2.1", {}, "//a b/./c").status, 429U);
  EXPECT_EQ(Ask(*door, "192.0.2.1", {}, "/a\\b").status, 400U);
  EXPECT_EQ(Ask(*door, "192.0.2.1", {}, std::string_view("/a\0", 3)).status, 400U);
}

TEST_F(LocalDoors, OnlyATrustedProxySaysWhoTheClientIs) {
  const auto door = Door(
      "clients: {trusted_proxies: [10.0.0.0/8], identity: {header: x-user-id}}\n"
      "rules: [{name: api, key: [user], limits: [1/minute]}]");
  const std::vector<wire::Field> spoofed = {{.name = "X-Forwarded-For", .value = "203.0.113.9"},
                                            {.name = "x-user-id", .value = "ada"}};
  EXPECT_EQ(Ask(*door, "192.0.2.1", spoofed).status, 0U);
  EXPECT_EQ(Ask(*door, "192.0.2.1").status, 429U) << "the fields changed nothing";
  EXPECT_EQ(Ask(*door, "10.1.1.1", spoofed).status, 0U);
  EXPECT_EQ(Ask(*door, "10.9.9.9", spoofed).status, 429U) << "the same user";
}

TEST_F(LocalDoors, WhatIsInFlightEnds) {
  const auto door = Door("rules: [{name: api, key: [client], limits: [{concurrency: 1}]}]");
  const LocalAnswer first = Ask(*door, "192.0.2.1");
  EXPECT_EQ(first.status, 0U);
  EXPECT_EQ(Ask(*door, "192.0.2.1").status, 429U);
  door->End(first);
  EXPECT_EQ(Ask(*door, "192.0.2.1").status, 0U);
}

TEST_F(LocalDoors, CallsOfToolsAreDecidedByTheirRules) {
  const auto door = Door(
      "clients: {trusted_proxies: [10.0.0.0/8], identity: {header: x-user-id}}\n"
      "rules: [{name: search, match: {mcp_tool: search}, key: [user], limits: [1/minute]}]");
  Binding binding;
  const Request call{.user = "ada", .mcp_method = "tools/call", .mcp_tool = "search"};
  EXPECT_TRUE(
      door->Decide({.request = call, .arguments = {}, .fields = {}}, binding).decision.allowed());
  EXPECT_FALSE(
      door->Decide({.request = call, .arguments = {}, .fields = {}}, binding).decision.allowed());
  EXPECT_EQ(binding.rule, "search");
  EXPECT_EQ(door->Counts()[0].limited, 1U);
}

TEST_F(LocalDoors, WhoCallsAToolIsSaidByTheRequestThatBringsIt) {
  const auto door = Door(
      "clients: {trusted_proxies: [10.0.0.0/8], identity: {header: x-user-id}}\n"
      "rules: [{name: a, match: {mcp_tool: a}, key: [user], limits: [{concurrency: 1}]}]");
  const std::vector<wire::Field> spoofed = {{.name = "x-user-id", .value = "ada"}};
  const auto allows = [&](const char* peer, std::string_view user) {
    Binding binding;
    const Request call{
        .client = *IpAddress::Parse(peer), .user = user, .mcp_method = {}, .mcp_tool = "a"};
    return door->Decide({.request = call, .arguments = {}, .fields = spoofed}, binding)
        .decision.allowed();
  };
  EXPECT_TRUE(allows("192.0.2.1", ""));
  EXPECT_FALSE(allows("192.0.2.1", "")) << "the field changed nothing";
  EXPECT_TRUE(allows("10.1.1.1", ""));
  EXPECT_FALSE(allows("192.0.2.2", "ada")) << "the same user, by a token";
  EXPECT_TRUE(allows("10.1.1.1", "bob")) << "a token says more than a field";
}

TEST_F(LocalDoors, HandshakesAndListsHaveTheirOwnBudgets) {
  const auto door = Door(
      "rules: [{name: api, key: [client], limits: [1/minute]},"
      "{name: a, match: {mcp_tool: a}, key: [client], limits: [9/minute]}]");
  const auto decide = [&](const char* method, const char* tool) {
    Binding binding;
    const Request call{.mcp_method = method, .mcp_tool = tool, .mcp_class = McpClass::kSetup};
    return door->Decide({.request = call, .arguments = {}, .fields = {}}, binding)
        .decision.allowed();
  };
  EXPECT_TRUE(decide("tools/call", "a")) << "the class is what the policy says";
  EXPECT_FALSE(decide("tools/call", "a"));
  EXPECT_FALSE(decide("", "")) << "no message of MCP";
  for (const char* method : {"initialize", "tools/list", "notifications/initialized"}) {
    EXPECT_TRUE(decide(method, "")) << method;
  }
  int listed = 1;
  while (decide("tools/list", "")) ++listed;
  EXPECT_EQ(listed, 600 - 2);
  Binding binding;
  EXPECT_FALSE(
      door->Decide({.request = {.mcp_method = "ping"}, .arguments = {}, .fields = {}}, binding)
          .decision.allowed());
  EXPECT_EQ(binding.rule, "mcp-setup");
}

TEST_F(LocalDoors, ADeniedCallIsToldAsTheGatewayTellsIt) {
  const auto door =
      Door("rules: [{name: search, match: {mcp_tool: search}, key: [], limits: [1/minute]}]");
  const LocalCall call{
      .request = {.mcp_method = "tools/call", .mcp_tool = "search"}, .arguments = {}, .fields = {}};
  Binding binding;
  EXPECT_TRUE(door->Decide(call, binding).decision.allowed());
  EXPECT_THAT(binding.text, IsEmpty());
  EXPECT_FALSE(door->Decide(call, binding).decision.allowed());
  EXPECT_EQ(binding.text,
            "Rate limit exceeded for tool search: 1 per minute. Retry after 63 seconds.");
  EXPECT_EQ(binding.numbers,
            R"({"retryAfterSeconds":63,"limit":1,"remaining":0,"window":60,"policy":"search"})");
  const auto tool = door->tools().Read("search");
  ASSERT_TRUE(tool.has_value());
  EXPECT_EQ(tool->total_calls, 2U);
  EXPECT_EQ(tool->limited_calls, 1U);
  EXPECT_EQ(tool->last_limited_unix_ns, clock_->Read().unix_ns);
}

TEST_F(LocalDoors, AllArgumentsMayBeAKey) {
  const auto door = Door("rules: [{name: a, key: [mcp_tool, mcp_args], limits: [1/minute]}]");
  EXPECT_TRUE(door->policy()->AsksArgumentsText());
  const auto allows = [&](std::string_view arguments) {
    Binding binding;
    const Request call{
        .mcp_method = "tools/call", .mcp_tool = "a", .mcp_arguments_text = arguments};
    return door->Decide({.request = call, .arguments = {}, .fields = {}}, binding)
        .decision.allowed();
  };
  EXPECT_TRUE(allows(R"({"q":1})"));
  EXPECT_TRUE(allows(R"({"q":2})"));
  EXPECT_FALSE(allows(R"({"q":1})"));
  EXPECT_FALSE(
      Door("rules: [{name: a, key: [mcp_tool], limits: [1/s]}]")->policy()->AsksArgumentsText());
}

TEST_F(LocalDoors, AReloadKeepsWhatWasCounted) {
  const auto door = Door("rules: [{name: api, key: [client], limits: [2/minute]}]");
  (void)Ask(*door, "192.0.2.1");
  ASSERT_TRUE(
      door->Publish(PolicyOf("rules: [{name: api, key: [client], limits: [1/minute]}]"), {}));
  EXPECT_EQ(Ask(*door, "192.0.2.1").status, 429U);
}

TEST_F(LocalDoors, AReloadBringsTheKeysOfItsPolicy) {
  const std::string yaml =
      "clients: {identity: {api_keys: /keys}}\n"
      "rules: [{name: api, key: [api_key], limits: [1/minute]}]";
  const auto keys = [](std::string_view of_one) {  // The SHA-256 of "one" and "two".
    auto parsed = identity::ApiKeys::Parse("sha256:" + std::string(of_one) + " a\n");
    return std::make_shared<const identity::Identities>(
        identity::Identities{.api_keys = std::move(*parsed), .tokens = std::nullopt});
  };
  constexpr std::string_view kOne =
      "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
  constexpr std::string_view kTwo =
      "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3";
  const auto door = Door(yaml);
  const std::vector<wire::Field> one = {{.name = "X-API-Key", .value = "one"}};
  const std::vector<wire::Field> two = {{.name = "X-API-Key", .value = "two"}};
  ASSERT_TRUE(door->Publish(PolicyOf(yaml), keys(kOne)));
  EXPECT_EQ(Ask(*door, "192.0.2.1").status, 0U);
  EXPECT_EQ(Ask(*door, "192.0.2.1", two).status, 429U) << "known to nobody, as is no key";
  EXPECT_EQ(Ask(*door, "192.0.2.1", one).status, 0U);
  ASSERT_TRUE(door->Publish(PolicyOf(yaml), keys(kTwo)));
  EXPECT_EQ(Ask(*door, "192.0.2.1", one).status, 429U) << "it is nobody's any more";
  EXPECT_EQ(Ask(*door, "192.0.2.1", two).status, 429U) << "the key of a, which went on counting";
  EXPECT_NE(door->CallerOf({.request = {}, .arguments = {}, .fields = two}),
            door->CallerOf({.request = {}, .arguments = {}, .fields = one}));
}

TEST_F(LocalDoors, ArgumentsGoByTheirNames) {
  const auto door = Door(
      "rules: [{name: a, match: {mcp_tool: a}, key: [user], limits: [100/hour], cost: {arg: n, "
      "max: 90}},\n"
      "{name: b, match: {mcp_tool: b}, key: [user], limits: [9/hour], cost: {arg: m, max: 9}}]");
  const std::vector<Argument> arguments = {{.name = "n", .json = "60"}, {.name = "m", .json = "1"}};
  const LocalCall call{.request = {.mcp_tool = "a"}, .arguments = arguments, .fields = {}};
  Binding binding;
  EXPECT_EQ(door->Decide(call, binding).decision.remaining, 40U);
  const LocalCall none{.request = {.mcp_tool = "a"}, .arguments = {}, .fields = {}};
  EXPECT_EQ(door->Decide(none, binding).decision.remaining, 39U);
}

TEST_F(LocalDoors, TheSameCallersAreTheSameByThePolicy) {
  const auto door =
      Door("clients: {trusted_proxies: [10.0.0.0/8], identity: {header: x-user-id}}\nrules: []");
  const auto caller = [&](const char* peer, std::string_view forwarded, std::string_view user) {
    const std::vector<wire::Field> fields = {{.name = "X-Forwarded-For", .value = forwarded},
                                             {.name = "x-user-id", .value = user}};
    return door->CallerOf(
        {.request = {.client = *IpAddress::Parse(peer)}, .arguments = {}, .fields = fields});
  };
  EXPECT_NE(caller("10.0.0.1", "203.0.113.1", ""), caller("10.0.0.1", "203.0.113.2", ""));
  EXPECT_EQ(caller("10.0.0.1", "203.0.113.1", ""), caller("10.0.0.2", "203.0.113.1", ""));
  EXPECT_NE(caller("10.0.0.1", "203.0.113.1", "ada"), caller("10.0.0.1", "203.0.113.1", "bob"));
  EXPECT_EQ(caller("192.0.2.1", "203.0.113.1", "ada"), caller("192.0.2.1", "203.0.113.2", "bob"));
  EXPECT_EQ(caller("2001:db8::1", "", ""), caller("2001:db8::2", "", "")) << "a client is a /64";
}

TEST_F(LocalDoors, DoorsOnOneFileCountTogether) {
  const TemporaryFolder folder;
  const auto attach = [&] {
    auto file = table::StateFile::Open(folder / "state");
    EXPECT_TRUE(file.has_value());
    auto door = PolicyDoor::Create(
        {.policy = PolicyOf("rules: [{name: api, key: [client], limits: [1/minute]}]"),
         .identities = {},
         .file = std::move(*file),
         .clock = clock_},
        lines_);
    EXPECT_TRUE(door.has_value()) << door.error();
    return std::move(*door);
  };
  const auto one = attach();
  const auto other = attach();
  EXPECT_EQ(Ask(*one, "192.0.2.1").status, 0U);
  EXPECT_EQ(Ask(*other, "192.0.2.1").status, 429U);
}

TEST_F(LocalDoors, ALimitersAnswersSayTheSame) {
  Limiter limiter = MakeLimiter({"1/minute", Limit::Burst(5)});
  LimiterDoor door = DoorOf(limiter);
  const LocalAnswer passed = Ask(door, "192.0.2.1");
  EXPECT_THAT(passed.fields,
              HasSubstr("RateLimit-Policy: \"per-minute\";q=1;w=60, \"burst\";q=5;w=300\r\n"));
  EXPECT_THAT(passed.fields, HasSubstr("X-RateLimit-Limit: 1\r\n"));
  const LocalAnswer denied = Ask(door, "192.0.2.1");
  EXPECT_EQ(denied.status, 429U);
  EXPECT_THAT(denied.fields, HasSubstr("X-RateLimit-Remaining: 0\r\n"));
  EXPECT_THAT(denied.fields, HasSubstr("Retry-After: 6"));
  EXPECT_THAT(denied.body, HasSubstr("\"violated-policies\":[\"per-minute\"]"));
}

TEST_F(LocalDoors, ALimitersFieldsHaveTheFormsThatItsSettingsName) {
  Limiter limiter = MakeLimiter({"1/minute", Limit::Burst(5)});
  LimiterDoor door = DoorOf(limiter, "headers: [draft-next, draft03, x-ratelimit-delta]\n");
  const LocalAnswer passed = Ask(door, "192.0.2.1");
  EXPECT_EQ(passed.fields,
            "RateLimit-Policy: \"per-minute\";q=1;w=60, \"burst\";q=5;w=300\r\n"
            "RateLimit-Partition: \"per-minute\";sluicegate-client, "
            "\"burst\";sluicegate-client\r\n"
            "RateLimit: \"per-minute\";a=0;w=63;c=1\r\n"
            "RateLimit-Limit: 1, 1;w=60, 5;w=300\r\n"
            "RateLimit-Remaining: 0\r\nRateLimit-Reset: 63\r\n"
            "X-RateLimit-Limit: 1\r\nX-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 63\r\n");
  EXPECT_THAT(Ask(door, "192.0.2.1").fields, HasSubstr("\r\nRetry-After: 6"));
  LimiterDoor silent = DoorOf(limiter, "headers: off\n");
  EXPECT_EQ(Ask(silent, "192.0.2.2").fields, "");
  EXPECT_THAT(Ask(silent, "192.0.2.2").fields, StartsWith("Retry-After: 6"));
}

// A policy could not have these names; a program may.
TEST_F(LocalDoors, AnyNameOfALimitIsToldAsAString) {
  Limiter limiter = MakeLimiter(
      {Limit{.quota = 1, .window = std::chrono::minutes(1), .name = "t\xC3\xA4glich \"a\"\r\n"}});
  LimiterDoor door = DoorOf(limiter);
  EXPECT_THAT(Ask(door, "192.0.2.1").fields,
              HasSubstr("RateLimit: \"t%c3%a4glich \\\"a\\\"%0d%0a\";r=0;"));
  EXPECT_THAT(Ask(door, "192.0.2.1").body,
              HasSubstr("\"violated-policies\":[\"t%c3%a4glich \\\"a\\\"%0d%0a\"]"));
}

TEST_F(LocalDoors, ALimitersDenialsAreViolations) {
  Limiter limiter = MakeLimiter({"1/minute"});
  LimiterDoor door = DoorOf(limiter);
  for (unsigned i = 0; i < 6; ++i) (void)Ask(door, "192.0.2.1");
  const LocalAnswer banned = Ask(door, "192.0.2.1");
  EXPECT_EQ(banned.decision.verdict, Verdict::kBanned);
  EXPECT_EQ(banned.status, 429U);
  EXPECT_THAT(banned.body, HasSubstr("#abnormal-usage-detected"));
  EXPECT_THAT(banned.fields, HasSubstr("X-RateLimit-Remaining: 0\r\n"));
  EXPECT_THAT(banned.fields, HasSubstr("Retry-After: 3"));
  EXPECT_EQ(limiter.Look("192.0.2.1").violations, 5U) << "by the key that the door uses";
}

TEST_F(LocalDoors, ALimitersKeysAreAddressesAndUsers) {
  Limiter limiter = MakeLimiter({"1/minute"});
  LimiterDoor door = DoorOf(limiter);
  EXPECT_EQ(Ask(door, "2001:db8::1").status, 0U);
  EXPECT_EQ(Ask(door, "2001:db8::2").status, 429U) << "a network of 64 bits is one client";
  EXPECT_EQ(LimiterDoor::KeyOf("2001:db8::7"), "2001:db8::/64");
  EXPECT_EQ(limiter.Look("2001:db8::/64").used[0], 1U);
  const std::vector<wire::Field> user = {{.name = "X-User-ID", .value = "192.0.2.1"}};
  EXPECT_EQ(Ask(door, "10.0.0.1", user).status, 0U);
  EXPECT_EQ(Ask(door, "192.0.2.1").status, 0U) << "a user's name is no address";
  EXPECT_EQ(limiter.Look("user:192.0.2.1").used[0], 1U);
  EXPECT_EQ(Ask(door, "testclient").status, 0U);
  EXPECT_EQ(Ask(door, "").status, 429U) << "who has no address is one client";
  EXPECT_EQ(limiter.Look("unknown").used[0], 1U);
}

TEST_F(LocalDoors, AProxysRealIpCountsWhereItForwardsNothingElse) {
  Limiter limiter = MakeLimiter({"9/minute"});
  LimiterDoor door = DoorOf(limiter);
  const wire::Field real = {.name = "X-Real-IP", .value = " 203.0.113.7 "};
  const wire::Field forwarded = {.name = "X-Forwarded-For", .value = "203.0.113.8"};
  const auto key_of = [&](std::string_view peer, const std::vector<wire::Field>& fields) {
    return door.KeyFor({.peer = peer, .method = {}, .path = {}, .fields = fields});
  };
  EXPECT_EQ(key_of("10.0.0.1", {real}), "203.0.113.7");
  EXPECT_EQ(key_of("192.0.2.1", {real}), "192.0.2.1") << "a stranger says so";
  EXPECT_EQ(key_of("10.0.0.1", {real, forwarded}), "203.0.113.8");
  EXPECT_EQ(key_of("10.0.0.1", {real, real}), "10.0.0.1") << "which of them?";
  EXPECT_EQ(key_of("10.0.0.1", {{.name = "x-real-ip", .value = "203.0.113.7:80"}}), "10.0.0.1");
  EXPECT_EQ(key_of("10.0.0.1", {real, {.name = "x-user-id", .value = "ada"}}), "user:ada");
  (void)Ask(door, "10.0.0.1", {real});
  EXPECT_EQ(limiter.Look("203.0.113.7").used[0], 1U) << "whom it asks for, it charges";
}

TEST_F(LocalDoors, APeersZoneIsNoPartOfItsAddress) {
  EXPECT_EQ(ParsePeer("fe80::1%eth0"), *IpAddress::Parse("fe80::1"));
  EXPECT_EQ(ParsePeer("192.0.2.1"), *IpAddress::Parse("192.0.2.1"));
  EXPECT_EQ(ParsePeer("%eth0"), IpAddress());
  EXPECT_EQ(LimiterDoor::KeyOf("fe80::1%eth0"), "fe80::/64");
  const auto policy = Door("rules: [{name: api, key: [client], limits: [1/minute]}]");
  EXPECT_EQ(Ask(*policy, "fe80::1%eth0").status, 0U);
  EXPECT_EQ(Ask(*policy, "").status, 0U) << "another client";
  EXPECT_EQ(Ask(*policy, "fe80::2%eth1").status, 429U);
}

TEST_F(LocalDoors, AListenerHearsOfEachDecision) {
  Limiter limiter = MakeLimiter({"1/minute"});
  std::vector<Verdict> heard;
  LimiterDoor door(limiter, {.clients = PolicyOf("rules: []"),
                             .exempt_clients = PrefixSet(),
                             .exempt_users = {},
                             .clock = clock_,
                             .on_decision = [&](const Decision& decision) {
                               heard.push_back(decision.verdict);
                             }});
  (void)Ask(door, "192.0.2.1");
  (void)Ask(door, "192.0.2.1");
  EXPECT_THAT(heard, ElementsAre(Verdict::kAllowed, Verdict::kLimited));
  exempt_ = PrefixSet({&kEverywhere, 1});
  LimiterDoor open(limiter, {.clients = PolicyOf("rules: []"),
                             .exempt_clients = exempt_,
                             .exempt_users = {},
                             .clock = clock_,
                             .on_decision = [&](const Decision&) { FAIL() << "it is exempt"; }});
  (void)Ask(open, "192.0.2.1");
}

TEST_F(LocalDoors, WhomALimiterExempts) {
  IpPrefix prefix;
  ASSERT_EQ(IpPrefix::Parse("192.0.2.0/24", prefix), IpPrefix::Fault::kNone);
  exempt_ = PrefixSet({&prefix, 1});
  Limiter limiter = MakeLimiter({"1/minute"});
  LimiterDoor door = DoorOf(limiter);
  const std::vector<wire::Field> root = {{.name = "X-User-ID", .value = "root"}};
  for (unsigned i = 0; i < 3; ++i) {
    EXPECT_EQ(Ask(door, "192.0.2.7").status, 0U);
    EXPECT_EQ(Ask(door, "10.0.0.1", root).status, 0U);
  }
  EXPECT_EQ(Ask(door, "203.0.113.1", root).status, 0U);
  EXPECT_EQ(Ask(door, "203.0.113.1", root).status, 429U) << "a stranger says so";
}

}  // namespace
}  // namespace sluicegate::http
