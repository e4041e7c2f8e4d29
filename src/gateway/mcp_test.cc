// Messages of MCP: their bodies are read, decided and relayed byte for byte; who is denied is told
// in a form that clients of MCP read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>

#include "gateway/proxy_for_test.h"

namespace sluicegate::gateway {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr std::string_view kOneSearch =
    "rules: [{name: search, match: {mcp_tool: search}, key: [client], limits: [1/minute]}]";
constexpr std::string_view kModern = "MCP-Protocol-Version: 2026-07-28\r\n";

std::string Call(std::string_view tool, std::string_view id = "7", std::string_view more = "") {
  return R"({"jsonrpc":"2.0","id":)" + std::string(id) +
         R"(,"method":"tools/call","params":{"name":")" + std::string(tool) + "\"" +
         std::string(more) + "}}";
}

std::string Asked(std::string_view method, std::string_view id = "7") {
  std::string text = R"({"jsonrpc":"2.0",)";
  if (!id.empty()) text += R"("id":)" + std::string(id) + ',';
  return text + R"("method":")" + std::string(method) + "\"}";
}

std::string Post(const std::string& body, std::string_view fields = "") {
  return "POST /mcp HTTP/1.1\r\nHost: t\r\n" + std::string(fields) +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

class Mcp : public Proxy {
 protected:
  /// What the client is answered, by the upstream where the message gets there.
  std::string Ask(const std::string& request) {
    Peer client = Client();
    client.Send(request);
    return client.Message();
  }
  /// The message as the upstream gets it, which answers it.
  std::string Pass(const std::string& request) {
    Peer client = Client();
    client.Send(request);
    Peer upstream = Upstream();
    std::string seen = upstream.Message();
    upstream.Send(kOk);
    EXPECT_THAT(client.Message(), EndsWith("ok"));
    return seen;
  }
};

TEST_F(Mcp, AMessageIsRelayedByteForByte) {
  Serve(kOneSearch);
  const std::string body =
      "  " + Call("search", R"("a\u0062")", R"(,"arguments":{"q" : [1.50]})") + "\n";
  EXPECT_THAT(Pass(Post(body)), EndsWith("\r\n\r\n" + body));
}

TEST_F(Mcp, AMessageInChunksAndPiecesGoesOnAsOne) {
  Serve(kOneSearch);
  const std::string body =
      Call("search", "7", R"(,"arguments":{"q":")" + std::string(70'000, 'x') + "\"}");
  Peer client = Client();
  client.Send(
      "POST /mcp?a=b HTTP/1.1\r\nHost: t\r\nX-Mine: kept\r\nTransfer-Encoding: chunked\r\n");
  client.Send("Expect: 100-continue\r\n\r\n");
  EXPECT_THAT(client.Head(), StartsWith("HTTP/1.1 100 "));
  const std::size_t half = body.size() / 2;
  for (const std::string& part : {body.substr(0, half), body.substr(half)}) {
    char size[20];
    (void)std::snprintf(size, sizeof(size), "%zx\r\n", part.size());
    client.Send(size + part + "\r\n");
  }
  client.Send("0\r\n\r\n");
  Peer upstream = Upstream();
  const std::string seen = upstream.Message();
  EXPECT_THAT(seen, StartsWith("POST /mcp?a=b HTTP/1.1\r\n"));
  EXPECT_THAT(seen, HasSubstr("X-Mine: kept\r\n"));
  EXPECT_THAT(seen, Not(HasSubstr("chunked")));
  EXPECT_THAT(seen, EndsWith("\r\n\r\n" + body));
  upstream.Send(kOk);
  EXPECT_THAT(client.Message(), EndsWith("ok"));
  client.Send(Post(Asked("ping")));  // The connection goes on, with what was behind the message.
  EXPECT_THAT(upstream.Message(), EndsWith(Asked("ping")));
}

TEST_F(Mcp, ADeniedCallGetsAResultThatModelsRead) {
  Serve(kOneSearch);
  Pass(Post(Call("search")));
  const std::string answer = Ask(Post(Call("search", R"("x\"7")")));
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("Content-Type: application/json\r\n"));
  EXPECT_THAT(answer, Not(HasSubstr("Retry-After")));
  EXPECT_THAT(
      answer,
      EndsWith("\r\n\r\n"
               R"({"jsonrpc":"2.0","id":"x\"7","result":{"content":[{"type":"text","text":)"
               R"("Rate limit exceeded for tool search: 1 per minute. )"
               R"(Retry after 64 seconds."}],"isError":true,"_meta":{"sluicegate/rateLimit":)"
               R"({"retryAfterSeconds":64,"limit":1,"remaining":0,"window":60,)"
               R"("policy":"search"}}}})"));
  EXPECT_THAT(Ask(Post(Call("search"), kModern)),
              HasSubstr(R"("result":{"resultType":"complete",)"));
  EXPECT_EQ(Count(Event::kDenied), 2U);
  EXPECT_THAT(Pass(Post(Call("other"))), HasSubstr("other"));
}

TEST_F(Mcp, TheFormsOfADenialAreSettings) {
  Serve(
      "mcp: {over_limit: {tools: error, status: 429, code: -32000}}\n"
      "rules: [{name: all, key: [client], limits: [1/minute]}]");
  Pass(Post(Asked("prompts/get2")));
  const std::string answer = Ask(Post(Call("search", "0")));
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 429 Too Many Requests\r\n"));
  EXPECT_THAT(answer, HasSubstr("Retry-After: "));
  EXPECT_THAT(answer, HasSubstr("RateLimit: \"per-minute\";r=0"));
  EXPECT_THAT(answer, EndsWith(R"({"jsonrpc":"2.0","id":0,"error":{"code":-32000,"message":)"
                               R"("Rate limit exceeded for tool search: 1 per minute. )"
                               R"(Retry after 64 seconds.","data":{"retryAfterSeconds":64,)"
                               R"("limit":1,"remaining":0,"window":60,"policy":"all"}}})"));
}

TEST_F(Mcp, WhoIsDeniedCanStillConnectAndList) {
  Serve("mcp: {}\nrules: [{name: all, key: [client], limits: [1/hour]}]");
  Pass(Post(Asked("resources/read2")));
  EXPECT_THAT(Ask(Post(Asked("completion/complete"))), HasSubstr(R"("code":429)"));
  for (const char* method : {"initialize", "server/discover", "ping", "tools/list"}) {
    EXPECT_THAT(Pass(Post(Asked(method))), HasSubstr(method));
  }
  EXPECT_THAT(Pass(Post(Asked("notifications/initialized", ""))), HasSubstr("initialized"));
  EXPECT_THAT(Pass(Post(R"({"jsonrpc":"2.0","id":1,"result":{}})")), HasSubstr("result"));
  EXPECT_THAT(Pass("DELETE /mcp HTTP/1.1\r\nHost: t\r\n\r\n"), HasSubstr("DELETE"));
}

TEST_F(Mcp, HandshakesHaveACapOfTheirOwn) {
  Serve(
      "mcp: {}\nrules: [{name: mcp-initialize, match: {mcp_method: initialize}, key: [client], "
      "limits: [2/minute]}, {name: mcp-setup, key: [client], limits: [4/minute]}]");
  Pass(Post(Asked("initialize")));
  Pass(Post(Asked("initialize")));
  EXPECT_THAT(Ask(Post(Asked("initialize", "3"))),
              AllOf(StartsWith("HTTP/1.1 200 "), HasSubstr(R"("id":3,"error":{"code":429)")));
  Pass(Post(Asked("tools/list")));
  Pass(Post(Asked("tools/list")));
  EXPECT_THAT(Ask(Post(Asked("tools/list"))), HasSubstr(R"("policy":"mcp-setup")"));
  const std::string silent = Ask(Post(Asked("notifications/cancelled", "")));
  EXPECT_THAT(silent, AllOf(StartsWith("HTTP/1.1 202 "), EndsWith("Content-Length: 0\r\n\r\n")));
}

TEST_F(Mcp, ABatchIsOneDecision) {
  Serve("rules: [{name: search, match: {mcp_tool: search}, key: [client], limits: [3/minute]}]");
  const auto batch = [](int calls) {
    std::string text = "[" + Asked("notifications/x", "");
    for (int i = 0; i < calls; ++i) text += "," + Call("search", std::to_string(i));
    return Post(text + "]");
  };
  const std::string never = Ask(batch(4));
  EXPECT_THAT(never, HasSubstr("it costs more than 3 per minute ever allows. Ask for less."));
  Pass(batch(2));
  const std::string denied = Ask(batch(2));
  EXPECT_THAT(denied, HasSubstr("\r\n\r\n[{\"jsonrpc\":\"2.0\",\"id\":0,\"result\""));
  EXPECT_THAT(denied, HasSubstr("},{\"jsonrpc\":\"2.0\",\"id\":1,\"result\""));
  EXPECT_THAT(denied, EndsWith("]"));
  Pass(batch(1));  // What was denied took nothing.
  EXPECT_THAT(Ask(Post(Call("search"))), HasSubstr("isError"));
}

TEST_F(Mcp, TheCostOfABatchIsNotTold) {
  Serve(
      "headers: draft-next\nrules: [{name: search, match: {mcp_tool: search}, key: [client, "
      "mcp_tool], limits: [9/minute], cost: {default: 2}}]");
  const auto told = [this](const std::string& body) {
    Peer client = Client();
    client.Send(Post(body));
    Peer upstream = Upstream();
    upstream.Message();
    upstream.Send(kOk);
    return client.Message();
  };
  const std::string alone = told(Call("search"));
  EXPECT_THAT(alone, HasSubstr("RateLimit: \"per-minute\";a=7;w=64;c=2\r\n"));
  EXPECT_THAT(alone, HasSubstr("\"per-minute\";sluicegate-client;sluicegate-mcp-tool\r\n"));
  EXPECT_THAT(told("[" + Call("search") + "," + Call("search", "8") + "]"),
              HasSubstr("RateLimit: \"per-minute\";a=3;w=64\r\n"));
}

TEST_F(Mcp, WhatIsNoMessageNeverReachesTheServer) {
  Serve("mcp: {max_message: 1KiB}\nrules: []");
  const auto refused = [this](const std::string& request, std::string_view status,
                              std::string_view part) {
    EXPECT_THAT(Ask(request), AllOf(StartsWith("HTTP/1.1 " + std::string(status)),
                                    HasSubstr("Content-Type: application/json\r\n"),
                                    HasSubstr(std::string(part))));
  };
  refused(Post(R"({"jsonrpc":"2.0","id":5,)"), "400", R"("id":null,"error":{"code":-32700)");
  refused(Post(R"({"jsonrpc":"2.0","id":5,"method":"a","method":"b"})"), "400",
          R"("id":5,"error":{"code":-32600)");
  refused(Post(R"({"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"a\u0000"}})"),
          "400", R"("id":5,"error":{"code":-32602)");
  refused(Post(Call("a"), "Content-Encoding: gzip\r\n"), "415", "-32600");
  refused(Post(Call(std::string(1024, 'x'))), "413", "-32600");
  refused("POST /mcp HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n401\r\n" +
              std::string(0x401, ' '),
          "413", "-32600");
  EXPECT_THAT(Ask("POST /mcp HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
              StartsWith("HTTP/1.1 400 "));
  EXPECT_EQ(Count(Event::kUpstreamConnects), 0U);
}

TEST_F(Mcp, HeadersMustSayWhatTheBodySays) {
  Serve("rules: []");
  const auto refused = [this](const std::string& request) {
    const std::string answer = Ask(request);
    return answer.starts_with("HTTP/1.1 400 ") &&
           answer.find(R"("id":7,"error":{"code":-32020,)") != std::string::npos;
  };
  const auto with = [](std::string_view fields, std::string_view tool = "search") {
    return Post(Call(tool), std::string(kModern) + std::string(fields));
  };
  EXPECT_TRUE(refused(with("Mcp-Method: tools/list\r\n")));
  EXPECT_TRUE(refused(with("Mcp-Method: Tools/Call\r\n")));
  EXPECT_TRUE(refused(with("Mcp-Method: tools/call\r\nMcp-Method: tools/call\r\n")));
  EXPECT_TRUE(refused(with("Mcp-Name: other\r\n")));
  EXPECT_TRUE(refused(with("Mcp-Name: =?base64?b3RoZXI=?=\r\n")));
  EXPECT_TRUE(refused(Post(
      Call("search", "7", R"(,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"})"),
      "MCP-Protocol-Version: 2025-11-25\r\n")));
  Pass(with("Mcp-Method: tools/call\r\nMcp-Name: search\r\n"));
  Pass(with("Mcp-Method: tools/call\r\nMcp-Name: =?base64?c2VhcmNo?=\r\n"));
  Pass(with("Mcp-Name: =?base64?c8O8Y2hl?=\r\n", "süche"));
}

// A server that reads UTF-7 would run another tool than was charged.
TEST_F(Mcp, OtherCharactersThanTheBytesAreRefused) {
  Serve("rules: []");
  const auto with = [](std::string_view fields) { return Post(Call("a"), fields); };
  for (const char* bad :
       {"Content-Type: application/json; charset=utf-7\r\n",
        "Content-Type: application/json; charset=utf-16\r\n",
        "Content-Type: application/json; charset=us-ascii\r\n",
        "Content-Type: application/json; charset=utf-8; charset=utf-7\r\n",
        "Content-Type: application/json; charset*=utf-7\r\n",
        "Content-Type: application/json\r\nContent-Type: application/json; charset=utf-7\r\n",
        "Content-Encoding: identity\r\nContent-Encoding: gzip\r\n"}) {
    EXPECT_THAT(Ask(with(bad)), StartsWith("HTTP/1.1 415 ")) << bad;
  }
  for (const char* good :
       {"Content-Type: application/json\r\n", "Content-Type: application/json; charset=UTF-8\r\n",
        "Content-Type: application/json;charset=\"utf-8\"\r\n", "Content-Encoding: identity\r\n",
        "Content-Type: application/json;a=b; CHARSET=utf8; c=d;\r\n"}) {
    Pass(with(good));
  }
}

TEST_F(Mcp, OtherSpellingsOfThePathAreThePath) {
  Serve(
      "mcp: {paths: [/MCP/]}\nrules: [{name: a, match: {mcp_tool: a}, key: [client], "
      "limits: [1/minute]}]");
  Pass(Post(Call("a")));
  for (const char* path : {"/mcp/", "/MCP", "/mcp//", "/Mcp/?x=y"}) {
    std::string request = Post(Call("a"));
    request.replace(5, 4, path);
    EXPECT_THAT(Ask(request), HasSubstr("isError")) << path;
  }
}

TEST_F(Mcp, RulesSeeThePathAsItIsMeant) {
  Serve("rules: [{name: a, match: {path: /mcp, mcp_tool: a}, key: [client], limits: [1/minute]}]");
  Pass(Post(Call("a")));
  for (const char* path : {"/mcp/", "/MCP", "/mcp;x", "/mcp;x=1/"}) {
    std::string request = Post(Call("a"));
    request.replace(5, 4, path);
    EXPECT_THAT(Ask(request), HasSubstr("isError")) << path;
  }
}

TEST_F(Mcp, ABatchIsToldThePoliciesOfAllItsMessages) {
  Serve(
      "rules:\n  - {name: s, match: {mcp_tool: search}, key: [client], limits: [{limit: 3/minute, "
      "name: searches}]}\n");
  for (const auto& batch : {"[" + Asked("ping", "1") + "," + Call("search") + "]",
                            "[" + Call("search") + "," + Asked("ping", "1") + "]"}) {
    Peer client = Client();
    client.Send(Post(batch));
    Peer upstream = Upstream();
    upstream.Message();
    upstream.Send(kOk);
    const std::string answer = client.Message();
    EXPECT_THAT(answer, HasSubstr("\"searches\";q=3;w=60")) << batch;
    EXPECT_THAT(answer, HasSubstr("\"setup\";q=600;w=60")) << batch;
  }
}

TEST_F(Mcp, MethodsInSmallLettersAreRefused) {
  Serve("rules: []");
  for (const char* method : {"post", "Post", "pOST"}) {
    std::string request = Post(Call("a"));
    request.replace(0, 4, method);
    EXPECT_THAT(Ask(request), StartsWith("HTTP/1.1 501 ")) << method;
  }
  EXPECT_EQ(Count(Event::kUpstreamConnects), 0U);
}

TEST_F(Mcp, AnEmptyOrCutMessageIsTold) {
  Serve("rules: []");
  EXPECT_THAT(Ask("POST /mcp HTTP/1.1\r\nHost: t\r\n\r\n"), HasSubstr("-32700"));
  EXPECT_THAT(Ask("POST /mcp HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n"),
              HasSubstr("-32700"));
  Peer client = Client();
  client.Send("POST /mcp HTTP/1.1\r\nHost: t\r\nContent-Length: 50\r\n\r\n{\"jsonrpc\"");
  client.Finish();
  EXPECT_THAT(client.Message(), AllOf(StartsWith("HTTP/1.1 400 "), HasSubstr("-32600")));
}

TEST_F(Mcp, TinyChunksAreBoundedByWhatTheyTake) {
  Serve("mcp: {max_message: 8KiB}\nrules: []");
  Peer client = Client();
  client.Send("POST /mcp HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
  std::string chunks;  // 4,500 bytes in 94,500.
  for (int i = 0; i < 4500; ++i) chunks += "0000000000000001\r\n \r\n";
  client.Send(chunks);
  EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 413 "));
}

TEST_F(Mcp, OnlyStreamsOfEventsAreFreeOfRates) {
  Serve(
      "mcp: {}\nrules: [{name: all, key: [client], limits: [1/hour]}, "
      "{name: gets, match: {method: GET, path: /streams}, key: [client], limits: [1/hour]}]");
  constexpr std::string_view kPlainGet = "GET /mcp HTTP/1.1\r\nHost: t\r\n\r\n";
  Pass(std::string(kPlainGet));
  EXPECT_THAT(Ask(std::string(kPlainGet)), StartsWith("HTTP/1.1 429 "));
  Pass("GET /mcp HTTP/1.1\r\nHost: t\r\nAccept: text/event-stream\r\n\r\n");
}

TEST_F(Mcp, CostsAndKeysByArgument) {
  Serve(
      "rules: [{name: by, match: {mcp_tool: '*'}, key: [mcp_tool, mcp_args], cost: {default: 1, "
      "arg: n, max: 5}, limits: [5/minute]}]");
  Pass(Post(Call("a", "1", R"(,"arguments":{"n":3})")));
  EXPECT_THAT(Ask(Post(Call("a", "1", R"(,"arguments":{"n":3})"))), HasSubstr("isError"));
  Pass(Post(Call("a", "1", R"(,"arguments":{"n":2})")));
  Pass(Post(Call("b", "1", R"(,"arguments":{"n":3})")));
}

TEST_F(Mcp, AFloodIsTurnedAwayUnread) {
  Serve(
      "rules: [{name: all, key: [client], limits: [1/minute], penalty: {violations: 1, within: 1m, "
      "ban: 5m}}]");
  Pass(Post(Call("a")));
  EXPECT_THAT(Ask(Post(Call("a"))), HasSubstr("isError"));
  const std::string head = "POST /mcp HTTP/1.1\r\nHost: t\r\nContent-Length: 900000\r\n\r\n";
  EXPECT_THAT(Ask(head), AllOf(StartsWith("HTTP/1.1 429 "), HasSubstr("#abnormal-usage-detected")));
}

TEST_F(Mcp, StreamsTakePlacesAndNoUnits) {
  Serve(
      "mcp: {}\nrules: [{name: all, key: [client], limits: [1/hour]}, "
      "{name: mcp-streams, key: [client], limits: [{concurrency: 1, lease: 30s}]}]");
  constexpr std::string_view kGetStream =
      "GET /mcp HTTP/1.1\r\nHost: t\r\nAccept: text/event-stream\r\n\r\n";
  Peer client = Client();
  client.Send(kGetStream);
  std::optional<Peer> upstream(Upstream());
  upstream->Head();
  upstream->Send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
  client.Head();
  EXPECT_THAT(Ask(std::string(kGetStream)), StartsWith("HTTP/1.1 429 "));
  EXPECT_THAT(Ask(Post(Asked("subscriptions/listen"), kModern)), HasSubstr(R"("code":429)"));
  // The stream outlasts its lease and keeps its place: with each event it is counted anew.
  for (int i = 0; i < 4; ++i) {
    clock_.Advance(std::chrono::seconds(15));
    upstream->Send("data: 1\n\n");
    client.Until("data: 1\n\n");
    EXPECT_THAT(Ask(std::string(kGetStream)), StartsWith("HTTP/1.1 429 ")) << i;
  }
  client.Close();
  upstream->Rest();  // A stream's end ends it upstream, too.
  EXPECT_THAT(Pass(std::string(kGetStream)), HasSubstr("GET /mcp"));
  Pass(Post(Call("a")));  // No stream took a unit.
  EXPECT_THAT(Ask(Post(Call("a"))), HasSubstr("isError"));
}

TEST_F(Mcp, WhoLeavesCancelsInTheModernEraOnly) {
  Serve("rules: []");
  for (const bool modern : {true, false}) {
    Peer client = Client();
    client.Send(Post(Call("slow"), modern ? kModern : std::string_view()));
    Peer upstream = Upstream();
    upstream.Message();
    upstream.Send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
    client.Until("data: 1\n\n");
    client.Close();
    if (modern) {
      upstream.Rest();
    } else {
      for (int i = 0; i < 50; ++i) upstream.Send("data: 2\n\n");  // It goes on to its end.
      upstream.Finish();
      EXPECT_EQ(upstream.Rest(), "");
      EXPECT_FALSE(upstream.was_reset());
    }
  }
}

TEST_F(Mcp, WhoLeavesBehindBytesCancels) {
  Serve("rules: []");
  Peer client = Client();
  client.Send(Post(Call("slow"), kModern));
  Peer upstream = Upstream();
  upstream.Message();
  client.Send("\r\n");
  client.Close();
  upstream.Rest();
}

TEST_F(Mcp, ToolsAreCounted) {
  Serve(kOneSearch);
  Pass(Post(Call("search")));
  Ask(Post(Call("search")));
  Pass(Post("[" + Call("other") + "," + Call("other") + "]"));
  const auto search = gateway_->tools().Read("search");
  ASSERT_TRUE(search);
  EXPECT_EQ(search->total_calls, 2U);
  EXPECT_EQ(search->limited_calls, 1U);
  EXPECT_EQ(search->last_limited_unix_ns, 1'800'000'000'000'000'000);
  EXPECT_EQ(gateway_->tools().Read("other")->total_calls, 2U);
  EXPECT_FALSE(gateway_->tools().Read("none"));
}

TEST_F(Mcp, ElsewhereAPostIsAPost) {
  Serve("mcp: {paths: [/tools/**]}\nrules: []");
  EXPECT_THAT(Pass(Post("no json")), EndsWith("no json"));
  EXPECT_THAT(Ask("POST /tools/a HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nno"),
              HasSubstr("-32700"));
}

}  // namespace
}  // namespace sluicegate::gateway
