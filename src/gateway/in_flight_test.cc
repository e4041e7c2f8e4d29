// Requests in flight: each holds its place from its decision to its end, whatever that end is, and
// gives it back once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gateway/proxy_for_test.h"

namespace sluicegate::gateway {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::Ge;
using testing::HasSubstr;
using testing::Le;
using testing::Not;
using testing::StartsWith;

constexpr std::string_view kTwo =
    "rules: [{name: r, key: [client], limits: [{concurrency: 2, lease: 30s}]}]";
constexpr std::string_view kTwoAndShort =
    "timeouts: {header: 200ms, idle: 200ms, upstream: 200ms, connect: 200ms}\n"
    "rules: [{name: r, key: [client], limits: [{concurrency: 2, lease: 30s}]}]";
constexpr std::string_view kEvents =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
constexpr std::string_view kChunkedPost =
    "POST /a HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n";

class InFlight : public Proxy {
 protected:
  /// Places that the client of these tests has left, of those of the first rule. Asked of the
  /// engine, as it is at this moment.
  [[nodiscard]] std::uint64_t Left() const {
    const Request peek{.client = IpAddress::V4({127, 0, 0, 1}),
                       .method = "GET",
                       .path = "/a",
                       .host = "t",
                       .cost = 0};
    return engine_->Decide(*engine_->rulesets().Get(), peek, clock_.Read())->remaining;
  }
  static std::uint64_t Number(const std::string& answer, const std::string& field) {
    const std::size_t at = answer.find(field + ": ");
    if (at == std::string::npos) {
      ADD_FAILURE() << "no " << field << " in: " << answer;
      return 0;
    }
    return std::stoull(answer.substr(at + field.size() + 2));
  }
};

TEST_F(InFlight, OneTooManyIsToldWhenTheFirstLeaseEnds) {
  Serve(kTwo);
  Ends first = Ask();
  clock_.Advance(std::chrono::seconds(10));
  Ends second = Ask();
  clock_.Advance(std::chrono::seconds(2));
  EXPECT_EQ(Left(), 0U);
  Peer third = Client();
  for (int i = 0; i < 2; ++i) {
    third.Send(kGet);
    const std::string denial = third.Message();
    EXPECT_THAT(denial, StartsWith("HTTP/1.1 429 "));
    // The first lease was taken at a slice's edge and counts 16 slices of 2 s; up to 2 s are
    // jitter.
    EXPECT_THAT(Number(denial, "Retry-After"), AllOf(Ge(20U), Le(22U)));
    EXPECT_THAT(denial, HasSubstr("\"detail\":\"Too many requests at the same time. "));
    EXPECT_THAT(denial, HasSubstr("\"violated-policies\":[\"concurrency\"]"));
  }
  EXPECT_EQ(Count(Event::kDenied), 2U);

  first.upstream.Send(kOk);
  EXPECT_THAT(first.client.Message(), EndsWith("ok"));
  EXPECT_EQ(Left(), 1U);
  third.Send(kGet);
  AnswerOk(first.upstream, third);
  second.upstream.Send(kOk);
  second.client.Message();
  EXPECT_EQ(Left(), 2U);
}

// Not a moment later: the client's next request may come to another loop at once.
TEST_F(InFlight, WhoHasTheWholeAnswerHasItsPlaceBack) {
  Serve(kTwo);
  for (const std::string_view answer :
       {std::string_view(kOk), std::string_view("HTTP/1.1 204 No Content\r\n\r\n"),
        std::string_view("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        std::string_view(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")}) {
    Ends one = Ask();
    EXPECT_EQ(Left(), 1U);
    one.upstream.Send(answer);
    const bool chunked = answer.find("chunked") != std::string_view::npos;
    const std::string seen = chunked ? one.client.Until("0\r\n\r\n") : one.client.Message();
    EXPECT_EQ(Left(), 2U) << answer;
    EXPECT_THAT(seen, StartsWith(std::string(answer.substr(0, 12)))) << "and it is whole";
    one.upstream.Close();
  }
  Ends head = Ask("HEAD /a HTTP/1.1\r\nHost: t\r\n\r\n");
  head.upstream.Send("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n");
  EXPECT_THAT(head.client.Head(), EndsWith("\r\n\r\n"));
  EXPECT_EQ(Left(), 2U);
}

TEST_F(InFlight, AnAnswerThatTheConnectionEndsIsOverThen) {
  Serve(kTwo);
  Ends until_close = Ask();
  until_close.upstream.Send("HTTP/1.1 200 OK\r\n\r\nsome");
  until_close.client.Until("some");
  EXPECT_EQ(Left(), 1U);
  until_close.upstream.Close();
  EXPECT_EQ(until_close.client.Rest(), "");
  EXPECT_EQ(Left(), 2U);

  Ends old = Ask("GET /a HTTP/1.0\r\nHost: t\r\n\r\n");
  old.upstream.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
  EXPECT_THAT(old.client.Rest(), EndsWith("\r\n\r\nok"));
  EXPECT_EQ(Left(), 2U);
}

TEST_F(InFlight, AClientThatDoesNotReadHoldsItsPlace) {
  Serve(kTwo);
  constexpr std::size_t kLarge = std::size_t{64} << 20U;
  Ends one = Ask();
  one.upstream.Send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(kLarge) + "\r\n\r\n");
  const std::size_t sent = one.upstream.SendUntilFull(kLarge);
  ASSERT_LT(sent, kLarge);
  EXPECT_EQ(Left(), 1U);
  one.client.Reset();
  EXPECT_EQ(one.upstream.Rest(), "");
  EXPECT_EQ(Left(), 2U);
}

TEST_F(InFlight, AClientThatLeavesGivesItsPlaceBack) {
  Serve(kTwo);
  Ends silent = Ask();  // Before a byte of the answer.
  silent.client.Close();
  EXPECT_EQ(silent.upstream.Rest(), "");
  EXPECT_EQ(Left(), 2U);

  Ends within = Ask();
  within.upstream.Send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart");
  within.client.Until("part");
  EXPECT_EQ(Left(), 1U);
  within.client.Close();
  EXPECT_EQ(within.upstream.Rest(), "");
  EXPECT_EQ(Left(), 2U);

  Ends stream = Ask();
  stream.upstream.Send(kEvents);
  stream.upstream.Send("9\r\ndata: 1\n\n\r\n");
  stream.client.Until("\n\n\r\n");
  EXPECT_EQ(Left(), 1U);
  stream.client.Reset();
  EXPECT_EQ(stream.upstream.Rest(), "");
  EXPECT_EQ(Left(), 2U);

  Ends upload = Ask("POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\na");
  EXPECT_EQ(Left(), 1U);
  upload.client.Close();
  EXPECT_EQ(upload.upstream.Rest(), "a");
  EXPECT_EQ(Left(), 2U);
}

TEST_F(InFlight, AnUpstreamThatFailsEndsTheRequest) {
  Serve(kTwoAndShort);
  Ends closed = Ask();
  closed.upstream.Close();
  EXPECT_THAT(closed.client.Message(), StartsWith("HTTP/1.1 502 "));
  EXPECT_EQ(Left(), 2U);

  Ends nonsense = Ask();
  nonsense.upstream.Send("SSH-2.0-x\r\n\r\n");
  EXPECT_THAT(nonsense.client.Message(), StartsWith("HTTP/1.1 502 "));
  EXPECT_EQ(Left(), 2U);

  Ends silent = Ask();
  EXPECT_THAT(silent.client.Message(), StartsWith("HTTP/1.1 504 "));
  EXPECT_EQ(Left(), 2U);

  Ends broken = Ask();
  broken.upstream.Send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart");
  broken.upstream.Close();
  EXPECT_THAT(broken.client.Rest(), EndsWith("part"));
  EXPECT_EQ(Left(), 2U);

  Ends stalled = Ask();
  stalled.upstream.Send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart");
  EXPECT_THAT(stalled.client.Rest(), EndsWith("part"));
  EXPECT_EQ(Left(), 2U);
}

TEST_F(InFlight, AnUpstreamThatIsDownHoldsNothing) {
  Serve(kTwo);
  StopUpstream();
  Peer client = Client();
  for (int i = 0; i < 5; ++i) {
    client.Send(kGet);
    EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 502 "));
    EXPECT_EQ(Left(), 2U);
  }
}

TEST_F(InFlight, ABodyThatIsRefusedHoldsNothing) {
  Serve("max_body: 4\n" + std::string(kTwoAndShort));
  Peer large = Client();
  large.Send("POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nabcde");
  EXPECT_THAT(large.Message(), StartsWith("HTTP/1.1 413 "));
  EXPECT_EQ(Left(), 2U);

  for (const auto& [chunks, status] :
       {std::pair("5\r\nabcde\r\n", "413"), std::pair("no number\r\n", "400"),
        std::pair("2\r\nab\r\n", "408")}) {
    Ends one = Ask(kChunkedPost);
    EXPECT_EQ(Left(), 1U);
    one.client.Send(chunks);
    EXPECT_THAT(one.client.Message(), StartsWith("HTTP/1.1 " + std::string(status)));
    EXPECT_EQ(Left(), 2U) << status;
  }
}

TEST_F(InFlight, AnEarlyAnswerEndsTheRequestAndItsUpload) {
  Serve(kTwo);
  Ends one = Ask("POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\n\r\nstart");
  one.upstream.Send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
  EXPECT_THAT(one.client.Message(), StartsWith("HTTP/1.1 403 "));
  EXPECT_EQ(Left(), 2U);
}

TEST_F(InFlight, OneAfterTheOtherIsNeverTooMany) {
  Serve("rules: [{name: r, key: [client], limits: [{concurrency: 1}]}]");
  Peer here = Client();
  Peer there = Client();
  std::optional<Peer> upstream;
  for (int i = 0; i < 20; ++i) {
    Peer& client = i % 3 == 0 ? there : here;
    client.Send(kGet);
    if (!upstream) upstream.emplace(Upstream());
    upstream->Head();
    upstream->Send(kOk);
    EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 200 "));
  }
  EXPECT_EQ(Count(Event::kDenied), 0U);
}

TEST_F(InFlight, PipelinedRequestsHoldOnePlace) {
  Serve("rules: [{name: r, key: [client], limits: [{concurrency: 1}]}]");
  Peer client = Client();
  client.Send(std::string(kGet) + std::string(kGet) + std::string(kGet));
  Peer upstream = Upstream();
  for (int i = 0; i < 3; ++i) {
    upstream.Head();
    EXPECT_EQ(Left(), 0U);
    upstream.Send(kOk);
    EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 200 "));
  }
  EXPECT_EQ(Left(), 1U);
}

TEST_F(InFlight, ARequestThatIsSentOnceMoreHoldsOnePlace) {
  Serve(kTwo);
  Ends one = Ask();
  one.upstream.Send(kOk);
  one.client.Message();
  one.client.Send(kGet);
  one.upstream.Head();
  one.upstream.Close();  // Without an answer.
  Peer fresh = Upstream();
  fresh.Head();
  EXPECT_EQ(Left(), 1U);
  fresh.Send(kOk);
  EXPECT_THAT(one.client.Message(), StartsWith("HTTP/1.1 200 "));
  EXPECT_EQ(Left(), 2U);
}

TEST_F(InFlight, WhatIsDeniedElsewhereHoldsNothing) {
  Serve(
      "rules:\n"
      "  - {name: r, key: [client], limits: [{concurrency: 2}]}\n"
      "  - {name: b, match: {path: /b}, key: [client], limits: [1/hour]}");
  Ends one = Ask("GET /b HTTP/1.1\r\nHost: t\r\n\r\n");
  Peer other = Client();
  for (int i = 0; i < 5; ++i) {
    other.Send("GET /b HTTP/1.1\r\nHost: t\r\n\r\n");
    EXPECT_THAT(other.Message(), StartsWith("HTTP/1.1 429 "));
  }
  EXPECT_EQ(Left(), 1U);
}

TEST_F(InFlight, APlaceComesBackWhenItsLeaseEndsAndThenOnlyOnce) {
  Serve("rules: [{name: r, key: [client], limits: [{concurrency: 1, lease: 30s}]}]");
  Ends slow = Ask();
  EXPECT_EQ(Left(), 0U);
  clock_.Advance(std::chrono::seconds(40));
  EXPECT_EQ(Left(), 1U);
  Ends next = Ask();
  EXPECT_EQ(Left(), 0U);
  slow.upstream.Send(kOk);
  EXPECT_THAT(slow.client.Message(), EndsWith("ok"));
  EXPECT_EQ(Left(), 0U) << "the place of the other one";
}

TEST_F(InFlight, AReloadKeepsWhatIsInFlight) {
  const auto with = [](const std::string& memory, const std::string& limit) {
    return Compile("rules: [{name: r, key: [client], memory: " + memory + ", limits: [" + limit +
                   "]}]");
  };
  Serve("rules: [{name: r, key: [client], memory: 1MiB, limits: [{concurrency: 2}]}]");
  Ends one = Ask();
  // Another quota; and another table, to which it moves.
  ASSERT_TRUE(engine_->Publish(with("1MiB", "{concurrency: 5}"), clock_.Read()));
  EXPECT_EQ(Left(), 4U);
  ASSERT_TRUE(engine_->Publish(with("2MiB", "{concurrency: 5}"), clock_.Read()));
  EXPECT_EQ(Left(), 4U);
  one.upstream.Send(kOk);
  one.client.Message();
  EXPECT_EQ(Left(), 5U);

  // And one whose rule is gone.
  one.client.Send(kGet);
  one.upstream.Head();
  ASSERT_TRUE(engine_->Publish(Compile("rules: []"), clock_.Read()));
  one.upstream.Send(kOk);
  EXPECT_THAT(one.client.Message(), StartsWith("HTTP/1.1 200 "));
}

TEST_F(InFlight, AnObservedRuleCountsTheirEndsAsWell) {
  Serve("rules: [{name: r, mode: observe, key: [client], limits: [{concurrency: 1}]}]");
  Ends one = Ask();
  for (int i = 0; i < 3; ++i) {
    one.upstream.Send(kOk);
    one.client.Message();
    one.client.Send(kGet);
    one.upstream.Head();
  }
  Ends two = Ask();
  EXPECT_EQ(engine_->Statistics(clock_.Read()).rules.at(0).observed_denials, 1U);
}

TEST_F(InFlight, AGatewayThatStopsLeavesNothingBehind) {
  Serve(kTwo);
  Ends one = Ask();
  Ends upload = Ask("POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\na");
  EXPECT_EQ(Left(), 0U);
  EXPECT_FALSE(gateway_->Drain(std::chrono::milliseconds(50)));
  gateway_.reset();
  EXPECT_EQ(Left(), 2U);
}

TEST_F(InFlight, DrainingEndsWithTheLastOfThem) {
  Serve(kTwo);
  Ends one = Ask();
  Ends two = Ask();
  one.client.Close();
  two.upstream.Send(kOk);
  two.client.Message();
  EXPECT_TRUE(gateway_->Drain(kPatience.tv_sec * std::chrono::seconds(1)));
  EXPECT_EQ(Left(), 2U);
}

TEST_F(InFlight, TheFieldsSayWhatIsCounted) {
  Serve("headers: [draft11, x-ratelimit-epoch]\n" + std::string(kTwo));
  Ends one = Ask();
  one.upstream.Send(kOk);
  const std::string answer = one.client.Message();
  EXPECT_THAT(answer,
              HasSubstr("RateLimit-Policy: \"concurrency\";q=2;qu=\"concurrent-requests\"\r\n"));
  EXPECT_THAT(answer, HasSubstr("RateLimit: \"concurrency\";r=1\r\n"));
  EXPECT_THAT(answer, Not(HasSubstr("X-RateLimit")));

  Peer two = Client();
  two.Send(kGet);
  one.upstream.Head();
  Ends three = Ask();
  one.client.Send(kGet);
  const std::string denial = one.client.Message();
  EXPECT_THAT(denial, HasSubstr("RateLimit: \"concurrency\";r=0\r\n"));
  EXPECT_EQ(Number(denial, "X-RateLimit-Limit"), 2U);
  EXPECT_EQ(Number(denial, "X-RateLimit-Remaining"), 0U);
  EXPECT_EQ(Number(denial, "X-RateLimit-Reset"), 1'800'000'032U) << "the earliest lease's end";
}

}  // namespace
}  // namespace sluicegate::gateway
