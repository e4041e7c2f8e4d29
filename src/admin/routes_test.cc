#include "admin/routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "admin/status.h"

namespace sluicegate::admin {
namespace {

using ::testing::HasSubstr;

class FakeHost final : public Host {
 public:
  Readings Read() override { return readings; }
  std::expected<void, std::string> Ready() override { return ready; }
  std::expected<std::vector<std::string>, std::vector<std::string>> Reload() override {
    ++reloads;
    return reload_result;
  }
  engine::ToolStatistics& Tools() override { return tools; }
  const AdminToken* Token() override { return token ? &*token : nullptr; }

  Readings readings;
  std::expected<void, std::string> ready;
  std::expected<std::vector<std::string>, std::vector<std::string>> reload_result;
  engine::ToolStatistics tools;
  std::optional<AdminToken> token;
  int reloads = 0;
};

AdminToken MakeToken(const std::string& text) {
  const auto path = std::filesystem::path(::testing::TempDir()) /
                    ("sg-routes-token-" + std::to_string(::getpid()));
  std::ofstream(path) << text;
  chmod(path.c_str(), 0600);
  auto token = AdminToken::Load(path.string());
  std::filesystem::remove(path);
  return token.value();
}

constexpr char kToken[] = "correct-horse-battery-staple";

class RoutesTest : public ::testing::Test {
 protected:
  Answer Get(std::string_view path) { return routes_.Handle({"GET", path, std::nullopt}); }
  Answer PostReload(std::optional<std::string_view> authorization) {
    return routes_.Handle({"POST", "/api/v1/reload", authorization});
  }
  Answer Delete(std::string_view path, std::optional<std::string_view> authorization) {
    return routes_.Handle({"DELETE", path, authorization});
  }
  FakeHost host_;
  Routes routes_{host_};
};

TEST_F(RoutesTest, HealthIsOkEvenWhileDraining) {
  host_.ready = std::unexpected("draining");
  EXPECT_EQ(Get("/healthz").status, 200U);
  const Answer ready = Get("/readyz");
  EXPECT_EQ(ready.status, 503U);
  EXPECT_THAT(ready.body, HasSubstr("draining"));
}

TEST_F(RoutesTest, ReadyWhenTheHostIs) { EXPECT_EQ(Get("/readyz").status, 200U); }

TEST_F(RoutesTest, UnknownPathsAre404AndNeverEchoed) {
  for (const std::string_view path :
       {"/", "", "/metrics/", "/METRICS", "/api/v1/reload/x", "/<script>alert(1)</script>"}) {
    const Answer answer = Get(path);
    EXPECT_EQ(answer.status, 404U) << path;
    EXPECT_EQ(answer.content_type, "application/problem+json");
    EXPECT_EQ(answer.body.find("script"), std::string::npos);
  }
}

TEST_F(RoutesTest, OtherMethodsAre405WithAllow) {
  const Answer write = Get("/api/v1/reload");
  EXPECT_EQ(write.status, 405U);
  EXPECT_EQ(write.fields, "Allow: POST\r\n");
  for (const std::string_view method : {"POST", "PUT", "DELETE", "OPTIONS", "get", ""}) {
    const Answer answer = routes_.Handle({method, "/metrics", std::nullopt});
    EXPECT_EQ(answer.status, 405U) << method;
    EXPECT_EQ(answer.fields, "Allow: GET, HEAD\r\n");
  }
  EXPECT_EQ(host_.reloads, 0);
}

TEST_F(RoutesTest, WithoutATokenConfiguredWritesAreForbidden) {
  const Answer answer = PostReload("Bearer anything-at-all-here");
  EXPECT_EQ(answer.status, 403U);
  EXPECT_THAT(answer.body, HasSubstr("token_file"));
  EXPECT_EQ(host_.reloads, 0);
}

TEST_F(RoutesTest, AWrongTokenIsUnauthorized) {
  host_.token = MakeToken(kToken);
  const std::optional<std::string_view> wrong[] = {
      std::nullopt,
      "",
      "Bearer",
      "Bearer ",
      "Bearer correct-horse-battery-stapl",
      "Bearer correct-horse-battery-staple2",
      "Basic correct-horse-battery-staple",
      "correct-horse-battery-staple",
      "Bearer correct-horse-battery-staple ",
  };
  for (const auto& authorization : wrong) {
    const Answer answer = PostReload(authorization);
    EXPECT_EQ(answer.status, 401U) << authorization.value_or("(none)");
    EXPECT_THAT(answer.fields, HasSubstr("WWW-Authenticate: Bearer"));
    EXPECT_EQ(answer.body.find("horse"), std::string::npos) << "echoes what was sent";
  }
  EXPECT_EQ(host_.reloads, 0);
  EXPECT_EQ(routes_.unauthorized(), std::size(wrong));
}

TEST_F(RoutesTest, TheRightTokenReloads) {
  host_.token = MakeToken(kToken);
  host_.reload_result = {{"rule 'a' counts afresh"}};
  for (const char* authorization :
       {"Bearer correct-horse-battery-staple", "bearer  correct-horse-battery-staple"}) {
    const Answer answer = PostReload(authorization);
    EXPECT_EQ(answer.status, 200U);
    EXPECT_THAT(answer.body, HasSubstr("rule 'a' counts afresh"));
  }
  EXPECT_EQ(host_.reloads, 2);
}

TEST_F(RoutesTest, ABadFileIs422WithEveryMistake) {
  host_.token = MakeToken(kToken);
  host_.reload_result = std::unexpected(std::vector<std::string>{"f.yaml:1:2: a", "f.yaml:3:4: b"});
  const Answer answer = PostReload("Bearer correct-horse-battery-staple");
  EXPECT_EQ(answer.status, 422U);
  const auto json = nlohmann::json::parse(answer.body);
  EXPECT_EQ(json["errors"].size(), 2U);
  EXPECT_EQ(json["status"], 422);
}

constexpr Now kNow{.engine_ns = 1, .unix_ns = 1'795'696'415'900'000'000};

TEST_F(RoutesTest, ToolsAreListedByName) {
  EXPECT_EQ(nlohmann::json::parse(Get("/api/v1/tools").body),
            nlohmann::json::parse(R"({"tools":[]})"));
  host_.tools.Count("search", false, kNow);
  host_.tools.Count("search", true, kNow);
  host_.tools.Count("fetch", false, kNow);
  const Answer answer = Get("/api/v1/tools");
  EXPECT_EQ(answer.status, 200U);
  EXPECT_EQ(answer.content_type, "application/json");
  EXPECT_EQ(nlohmann::json::parse(answer.body), nlohmann::json::parse(R"({"tools": [
    {"tool": "fetch", "total_calls": 1, "limited_calls": 0, "last_limited": null,
     "limited_rate": 0.0},
    {"tool": "search", "total_calls": 2, "limited_calls": 1,
     "last_limited": "2026-11-26T12:33:35Z", "limited_rate": 0.5}]})"));
  EXPECT_EQ(routes_.Handle({"HEAD", "/api/v1/tools", std::nullopt}).status, 200U);
}

TEST_F(RoutesTest, OneToolIsFoundByItsName) {
  const std::string odd = "a/b%\"\n<\xC3\xA9>";
  host_.tools.Count(odd, true, kNow);
  host_.tools.Count("", false, kNow);
  for (const char* path :
       {"/api/v1/tools/a%2Fb%25%22%0a%3C%c3%A9%3e", "/api/v1/tools/a/b%25\"\n<\xC3\xA9>"}) {
    const Answer answer = Get(path);
    EXPECT_EQ(answer.status, 200U) << path;
    EXPECT_EQ(nlohmann::json::parse(answer.body)["tool"], odd);
  }
  EXPECT_EQ(nlohmann::json::parse(Get("/api/v1/tools/").body)["tool"], "");
  for (const char* path : {"/api/v1/tools/script", "/api/v1/tools/a", "/api/v1/tools/A%2FB"}) {
    const Answer answer = Get(path);
    EXPECT_EQ(answer.status, 404U) << path;
    EXPECT_EQ(answer.content_type, "application/problem+json");
    EXPECT_EQ(answer.body.find("script"), std::string::npos) << "echoes what was sent";
  }
  for (const char* path : {"/api/v1/tools/%", "/api/v1/tools/a%2", "/api/v1/tools/%zz"}) {
    EXPECT_EQ(Get(path).status, 400U) << path;
  }
}

TEST_F(RoutesTest, TheTokenResetsToolsAndNothingElseDoes) {
  host_.tools.Count("search", true, kNow);
  host_.tools.Count("fetch", false, kNow);
  host_.tools.Count("write", false, kNow);
  EXPECT_EQ(Delete("/api/v1/tools", "Bearer " + std::string(kToken)).status, 403U);
  host_.token = MakeToken(kToken);
  EXPECT_EQ(Delete("/api/v1/tools", std::nullopt).status, 401U);
  EXPECT_EQ(Delete("/api/v1/tools/search", "Bearer wrong").status, 401U);
  EXPECT_EQ(Delete("/api/v1/tools/nobody", std::nullopt).status, 401U) << "tells what there is";
  EXPECT_EQ(host_.tools.Read().size(), 3U);
  const std::string right = "Bearer " + std::string(kToken);
  EXPECT_EQ(Delete("/api/v1/tools/search", right).body, "{\"result\":\"reset\"}\n");
  EXPECT_EQ(Delete("/api/v1/tools/search", right).status, 404U);
  EXPECT_EQ(host_.tools.Read().size(), 2U);
  EXPECT_EQ(Delete("/api/v1/tools/", right).status, 404U) << "the tool without a name, not all";
  EXPECT_EQ(Delete("/api/v1/tools", right).status, 200U);
  EXPECT_TRUE(host_.tools.Read().empty());
}

TEST_F(RoutesTest, ToolsTakeNoOtherMethods) {
  host_.token = MakeToken(kToken);
  for (const char* path : {"/api/v1/tools", "/api/v1/tools/search"}) {
    for (const char* method : {"POST", "PUT", "HEAD, DELETE", "delete", ""}) {
      const Answer answer = routes_.Handle({method, path, std::nullopt});
      EXPECT_EQ(answer.status, 405U) << method;
      EXPECT_EQ(answer.fields, "Allow: GET, HEAD, DELETE\r\n");
    }
  }
}

TEST(StatusTest, IsJsonWithRulesAndCounters) {
  Readings readings;
  readings.version = "1.2.3";
  readings.draining = true;
  engine::RuleReport rule;
  rule.rule = "per-client";
  rule.limited = 5;
  readings.engine.rules = {rule};
  readings.rules = {{.name = "per-client",
                     .mode = "enforce",
                     .limits = {{.name = "per-minute",
                                 .algorithm = "sliding_window",
                                 .quota = 60,
                                 .window_seconds = 60}}}};
  readings.families = {{.name = "x_total",
                        .help = "X.",
                        .type = Family::Type::kCounter,
                        .samples = {{{{"reason", "a"}}, 3}}}};
  readings.state_file = {
      .path = "/dev/shm/state", .bytes = 106'496, .processes = 4, .takeovers = 1, .stuck = 2};
  const auto json = nlohmann::json::parse(RenderStatus(readings));
  EXPECT_EQ(json["state"], "draining");
  EXPECT_EQ(json["state_file"].dump(), R"({"bytes":106496,"path":"/dev/shm/state","processes":4,)"
                                       R"("stuck":2,"takeovers":1})");
  EXPECT_EQ(json["rules"][0]["requests"]["limited"], 5);
  EXPECT_EQ(json["rules"][0]["limits"][0]["quota"], 60);
  EXPECT_EQ(json["gateway"]["x_total"]["a"], 3);
}

TEST(StatusTest, AStrayByteInANameDoesNotThrow) {
  Readings readings;
  engine::RuleReport rule;
  rule.rule = "bad\xff";
  readings.engine.rules = {rule};
  EXPECT_TRUE(nlohmann::json::accept(RenderStatus(readings)));
}

}  // namespace
}  // namespace sluicegate::admin
