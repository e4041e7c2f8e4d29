#include "app/access_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <string>

namespace sluicegate::app {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

gateway::AccessRecord Denied() {
  gateway::AccessRecord record;
  record.request_id = "5f0c";
  record.begun = {.engine_ns = 5, .unix_ns = 1'795'782'225'045'999'999};
  record.duration_ns = 1'234'999;
  record.method = "GET";
  record.path = "/a";
  record.host = "api.example:8080";
  record.status = 429;
  record.response_bytes = 649;
  record.whole = true;
  record.verdict = Verdict::kLimited;
  record.rule = "per-client";
  record.limit = "burst";
  record.key_hash = 0xabc;
  return record;
}

std::string LineOf(const gateway::AccessRecord& record, const Pseudonyms& names = {}) {
  std::string line;
  AppendAccessLine(record, names, line);
  return line;
}

TEST(AccessLineTest, EveryMemberOfADenial) {
  EXPECT_THAT(
      LineOf(Denied()),
      MatchesRegex(
          R"(\{"time":"2026-11-27T12:23:45\.045Z","id":"5f0c","trace":null,"method":"GET",)"
          R"("host":"api\.example:8080","path":"/a","mcp":null,"tool":null,"tls":false,"ws":false,)"
          R"("verdict":"limited","rule":"per-client","limit":"burst","client":"[0-9a-f]{8}",)"
          R"("status":429,"whole":true,"ms":1\.234,"in":0,"out":649,"upstream":null,)"
          R"("reused":false\})"
          "\n"));
}

TEST(AccessLineTest, EveryMemberOfAnAnsweredCall) {
  gateway::AccessRecord record = Denied();
  record.trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
  record.mcp_method = "tools/call";
  record.mcp_tool = "search";
  record.verdict = Verdict::kAllowed;
  record.upstream = "http://127.0.0.1:8000";
  record.upstream_reused = record.tls = record.websocket = true;
  record.request_bytes = 77;
  const auto line = nlohmann::json::parse(LineOf(record));
  EXPECT_EQ(line["trace"], "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(line["mcp"], "tools/call");
  EXPECT_EQ(line["tool"], "search");
  EXPECT_EQ(line["verdict"], "allowed");
  EXPECT_EQ(line["upstream"], "http://127.0.0.1:8000");
  EXPECT_EQ(line["reused"], true);
  EXPECT_EQ(line["tls"], true);
  EXPECT_EQ(line["ws"], true);
  EXPECT_EQ(line["in"], 77);
}

TEST(AccessLineTest, WhatIsNotKnownIsNull) {
  const auto line = nlohmann::json::parse(LineOf({}));
  for (const char* member :
       {"id", "trace", "method", "host", "path", "rule", "limit", "client", "status", "upstream"}) {
    EXPECT_TRUE(line[member].is_null()) << member;
  }
  EXPECT_EQ(line["verdict"], "refused");
  EXPECT_EQ(line["whole"], false);
  EXPECT_EQ(line["time"], "1970-01-01T00:00:00.000Z");
}

TEST(AccessLineTest, HostileBytesStayOneLineOfJson) {
  std::string hostile;
  for (int byte = 0; byte < 256; ++byte) hostile += static_cast<char>(byte);
  hostile += "\"}\n{\"lost\":9}\xE2\x80\xA8\xED\xA0\x80";
  gateway::AccessRecord record = Denied();
  for (std::string* text :
       {&record.request_id, &record.trace_id, &record.method, &record.host, &record.path,
        &record.mcp_method, &record.mcp_tool, &record.rule, &record.limit, &record.upstream}) {
    *text = hostile;
  }
  const std::string line = LineOf(record);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const auto parsed = nlohmann::json::parse(line, nullptr, false);
  ASSERT_FALSE(parsed.is_discarded()) << line;
  EXPECT_EQ(parsed.size(), nlohmann::json::parse(LineOf(Denied())).size());
  EXPECT_THAT(parsed["path"].get<std::string>(), HasSubstr("\"}\n{\"lost\":9}"));
}

TEST(AccessLineTest, OneKeyHasOneNameAndItsHashIsNotSeen) {
  const Pseudonyms names;
  gateway::AccessRecord record = Denied();
  const std::string first = LineOf(record, names);
  EXPECT_EQ(LineOf(record, names), first);
  EXPECT_THAT(first, Not(HasSubstr("00000abc")));
  EXPECT_NE(LineOf(record, Pseudonyms()), first) << "another one in another run";
  record.key_hash = 0xabd;
  EXPECT_NE(LineOf(record, names), first);
}

TEST(AccessLineTest, TimesAtTheirBounds) {
  gateway::AccessRecord record = Denied();
  record.duration_ns = std::numeric_limits<std::uint64_t>::max();
  EXPECT_THAT(LineOf(record), HasSubstr("\"ms\":18446744073709.551,"));
  record.duration_ns = 999;
  EXPECT_THAT(LineOf(record), HasSubstr("\"ms\":0.000,"));
  record.begun.unix_ns = -1;
  EXPECT_THAT(LineOf(record), HasSubstr("\"1969-12-31T23:59:59.999Z\""));
  record.begun.unix_ns = 951'827'696'789'000'000;
  EXPECT_THAT(LineOf(record), HasSubstr("\"2000-02-29T12:34:56.789Z\""));
}

TEST(AccessLineTest, TheLineOfLostOnes) {
  std::string line;
  AppendLostLine(12, line);
  EXPECT_EQ(line, "{\"lost\":12}\n");
}

}  // namespace
}  // namespace sluicegate::app
