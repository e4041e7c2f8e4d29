#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <optional>
#include <string>

#include "gateway/proxy_for_test.h"

namespace sluicegate::gateway {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr std::string_view kTwo =
    "rules: [{name: r, match: {path: '/**'}, key: [client], limits: [2/minute]}]";

TEST_F(Proxy, BothSidesKeepTheirConnection) {
  Serve();
  Peer client = Client();
  client.Send(kGet);
  Peer upstream = Upstream();
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(upstream.Head(), StartsWith("GET /a HTTP/1.1\r\nHost: t\r\n"));
    upstream.Send(kOk);
    EXPECT_THAT(client.Message(), EndsWith("\r\n\r\nok"));
    if (i < 2) client.Send(kGet);
  }
  EXPECT_EQ(Count(Event::kUpstreamConnects), 1U);
  EXPECT_EQ(Count(Event::kUpstreamReuses), 2U);
}

TEST_F(Proxy, PipelinedRequestsAreServedInOrder) {
  Serve();
  Peer client = Client();
  client.Send("GET /1 HTTP/1.1\r\nHost: t\r\n\r\nGET /2 HTTP/1.1\r\nHost: t\r\n\r\n");
  Peer upstream = Upstream();
  for (const std::string number : {"1", "2"}) {
    EXPECT_THAT(upstream.Head(), StartsWith("GET /" + number + " "));
    upstream.Send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + number);
    EXPECT_THAT(client.Message(), EndsWith("\r\n\r\n" + number));
  }
}

TEST_F(Proxy, WhatServersReadDifferentlyNeverReachesTheUpstream) {
  Serve();
  const std::string post = "POST / HTTP/1.1\r\nHost: t\r\n";
  for (const std::string& request :
       {post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        post + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        post + "Content-Length: +1\r\n\r\na", post + "Transfer-Encoding: gzip, chunked\r\n\r\n",
        post + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", post + "A: b\r\n c\r\n\r\n",
        post + "A: b\nC: d\r\n\r\n", std::string("GET /%2f HTTP/1.1\r\nHost: t\r\n\r\n"),
        std::string("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")}) {
    Peer client = Client();
    client.Send(request);
    const std::string answer = client.Rest();
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 400 ")) << request;
    EXPECT_THAT(answer, HasSubstr("Connection: close\r\n"));
  }
  EXPECT_EQ(Count(Event::kUpstreamConnects), 0U);
  EXPECT_EQ(Count(Event::kRefusedFraming), 9U);
}

TEST_F(Proxy, RequestChunksAreFramedAnew) {
  Serve();
  Peer client = Client();
  client.Send("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
  client.Send("003;ext=1\r\nabc\r\n");
  Peer upstream = Upstream();
  EXPECT_THAT(upstream.Head(), HasSubstr("Transfer-Encoding: chunked\r\n"));
  EXPECT_EQ(upstream.Until("abc\r\n"), "3\r\nabc\r\n");  // Before the body's end was sent.
  client.Send("0\r\nTrailer: dropped\r\n\r\n");
  EXPECT_EQ(upstream.Until("\r\n\r\n"), "0\r\n\r\n");
  upstream.Send(kOk);
  EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 200 "));
}

TEST_F(Proxy, AnEventArrivesBeforeTheStreamEnds) {
  Serve();
  auto [client, upstream] = Ask();
  upstream.Send(
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
      "Transfer-Encoding: chunked\r\n\r\n");
  EXPECT_THAT(client.Head(), HasSubstr("Transfer-Encoding: chunked\r\n"));
  upstream.Send("9\r\ndata: 1\n\n\r\n");
  EXPECT_EQ(client.Until("\n\n\r\n"), "9\r\ndata: 1\n\n\r\n");
  upstream.Send("0\r\n\r\n");
  EXPECT_EQ(client.Until("\r\n\r\n"), "0\r\n\r\n");
}

TEST_F(Proxy, AClientThatDoesNotReadStopsTheUpstream) {
  Serve();
  auto [client, upstream] = Ask();
  constexpr std::size_t kLarge = std::size_t{256} << 20U;
  upstream.Send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(kLarge) + "\r\n\r\n");
  // What went lies in the system's socket buffers: at most some MiB each.
  EXPECT_LT(upstream.SendUntilFull(kLarge), kLarge / 4);
}

TEST_F(Proxy, AClientThatLeavesReachesTheUpstream) {
  Serve();
  auto [client, upstream] = Ask();
  client.Close();
  EXPECT_EQ(upstream.Rest(), "");
}

TEST_F(Proxy, AClientThatLeavesWithinItsBodyReachesTheUpstream) {
  Serve();
  auto [client, upstream] = Ask("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\na");
  client.Close();
  EXPECT_EQ(upstream.Rest(), "a");
}

TEST_F(Proxy, AStaleConnectionIsTriedAnewForIdempotentRequestsOnly) {
  Serve();
  Peer client = Client();
  client.Send(kGet);
  {
    Peer upstream = Upstream();
    AnswerOk(upstream, client);
    client.Send(kGet);
    upstream.Head();
  }  // Closes without an answer.
  Peer upstream = Upstream();
  EXPECT_THAT(upstream.Head(), StartsWith("GET /a "));
  upstream.Send(kOk);
  EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 200 "));
  EXPECT_EQ(Count(Event::kUpstreamStaleRetries), 1U);

  client.Send("POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\nx");
  upstream.Head();
  upstream.Bytes(1);
  upstream.Close();
  EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 502 "));
  EXPECT_EQ(Count(Event::kUpstreamStaleRetries), 1U);
  EXPECT_EQ(Count(Event::kUpstreamConnects), 2U);
}

TEST_F(Proxy, AFreshConnectionThatClosesIsNotTriedAnew) {
  Serve();
  Peer client = Client();
  client.Send(kGet);
  Upstream().Head();
  const std::string answer = client.Message();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 502 "));
  EXPECT_THAT(answer, HasSubstr("Content-Type: application/problem+json\r\n"));
  EXPECT_EQ(Count(Event::kUpstreamConnects), 1U);
}

TEST_F(Proxy, AnUpstreamThatIsDownIs502AndTheClientStays) {
  Serve();
  StopUpstream();
  Peer client = Client();
  for (int i = 0; i < 2; ++i) {
    client.Send(kGet);
    EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 502 "));
  }
}

TEST_F(Proxy, AnUpstreamThatIsSilentIs504) {
  Serve(kShort);
  auto [client, upstream] = Ask();
  EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 504 "));
  EXPECT_EQ(upstream.Rest(), "");
}

TEST_F(Proxy, SlowHeadsAndIdleConnectionsAreClosed) {
  Serve(kShort);
  Peer slow = Client();
  slow.Send("GET / HTTP/1.1\r\nHo");
  EXPECT_THAT(slow.Rest(), StartsWith("HTTP/1.1 408 "));
  Peer idle = Client();
  EXPECT_EQ(idle.Rest(), "");
  EXPECT_EQ(Count(Event::kHeaderTimeouts), 1U);
  EXPECT_EQ(Count(Event::kIdleTimeouts), 1U);
}

TEST_F(Proxy, ABodyThatStopsComingIsClosed) {
  Serve(kShort);
  Peer client = Client();
  client.Send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\na");
  Peer upstream = Upstream();
  EXPECT_THAT(client.Rest(), StartsWith("HTTP/1.1 408 "));
  EXPECT_THAT(upstream.Rest(), EndsWith("\r\n\r\na"));
}

TEST_F(Proxy, AnHttp10ClientGetsAChunkedResponseWhole) {
  Serve();
  auto [client, upstream] = Ask("GET / HTTP/1.0\r\nHost: t\r\n\r\n");
  upstream.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  upstream.Send("2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n");
  const std::string answer = client.Rest();
  EXPECT_THAT(answer, Not(HasSubstr("Transfer-Encoding")));
  EXPECT_THAT(answer, EndsWith("\r\n\r\nabcde"));
}

TEST_F(Proxy, AnswersWithoutBodyEndAtTheirHead) {
  Serve();
  auto [client, upstream] = Ask("HEAD / HTTP/1.1\r\nHost: t\r\n\r\n");
  upstream.Send("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n");
  EXPECT_THAT(client.Head(), HasSubstr("Content-Length: 99\r\n"));
  for (const std::string status : {"204 No Content", "304 Not Modified"}) {
    client.Send(kGet);
    upstream.Head();
    upstream.Send("HTTP/1.1 " + status + "\r\nETag: \"x\"\r\n\r\n");
    EXPECT_THAT(client.Head(), StartsWith("HTTP/1.1 " + status + "\r\n"));
  }
  EXPECT_EQ(Count(Event::kUpstreamConnects), 1U);
}

TEST_F(Proxy, ExpectContinueIsAnsweredHereAndNotForwarded) {
  Serve();
  Peer client = Client();
  client.Send("POST / HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(client.Head(), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send("hi");
  Peer upstream = Upstream();
  EXPECT_THAT(upstream.Head(), Not(HasSubstr("Expect")));
  EXPECT_EQ(upstream.Bytes(2), "hi");
  upstream.Send("HTTP/1.1 100 Continue\r\n\r\n");  // Said already.
  upstream.Send(kOk);
  EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 200 "));
}

TEST_F(Proxy, BodiesBeyondTheBoundAre413) {
  Serve("max_body: 4\nrules: []");
  Peer client = Client();
  client.Send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nabcde");
  EXPECT_THAT(client.Rest(), StartsWith("HTTP/1.1 413 "));
  EXPECT_EQ(Count(Event::kUpstreamConnects), 0U);
  Peer chunked = Client();
  chunked.Send("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n");
  Peer upstream = Upstream();
  EXPECT_THAT(chunked.Rest(), StartsWith("HTTP/1.1 413 "));
  EXPECT_THAT(upstream.Rest(), Not(HasSubstr("0\r\n\r\n")));  // Never a complete request.
}

TEST_F(Proxy, AnEarlyAnswerReachesTheClientAndEndsBothConnections) {
  Serve();
  auto [client, upstream] =
      Ask("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\n\r\nstart");
  upstream.Send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
  const std::string answer = client.Message();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 403 "));
  EXPECT_THAT(answer, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(upstream.Rest(), EndsWith("start"));
}

TEST_F(Proxy, ADenialHasTheProblemAndTheFieldsAndTheConnectionStays) {
  Serve(kTwo);
  auto [client, upstream] = Ask();
  upstream.Send(kOk);
  const std::string first = client.Message();
  EXPECT_THAT(first, HasSubstr("RateLimit-Policy: \"per-minute\";q=2;w=60\r\n"));
  EXPECT_THAT(first, HasSubstr("RateLimit: \"per-minute\";r=1;t="));
  client.Send(kGet);
  AnswerOk(upstream, client);
  for (int i = 0; i < 2; ++i) {
    client.Send("POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc");
    const std::string denial = client.Message();
    EXPECT_THAT(denial, StartsWith("HTTP/1.1 429 Too Many Requests\r\n"));
    EXPECT_THAT(denial, HasSubstr("Content-Type: application/problem+json\r\n"));
    EXPECT_THAT(denial, HasSubstr("Cache-Control: no-store\r\n"));
    EXPECT_THAT(denial, HasSubstr("RateLimit: \"per-minute\";r=0;t="));
    EXPECT_THAT(denial, HasSubstr("X-RateLimit-Remaining: 0\r\n"));
    EXPECT_THAT(denial, HasSubstr("Retry-After: "));
    EXPECT_THAT(denial, HasSubstr("#quota-exceeded"));
    EXPECT_THAT(denial, HasSubstr("\"per-minute\"]"));
  }
  EXPECT_EQ(Count(Event::kDenied), 2U);
}

TEST_F(Proxy, SpoofedAddressesAreOneClientAndDoNotReachTheUpstream) {
  Serve(kTwo);
  Peer client = Client();
  std::optional<Peer> upstream;
  for (const std::string number : {"1", "2", "3"}) {
    client.Send("GET / HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 203.0.113." + number +
                "\r\nX-Real-IP: 203.0.113.9\r\nX_Real_IP: 203.0.113.9\r\nX-User-ID: admin\r\n"
                "Forwarded: for=203.0.113.9\r\n\r\n");
    if (number == "3") break;
    if (!upstream) upstream.emplace(Upstream());
    const std::string seen = upstream->Head();
    EXPECT_THAT(seen, Not(HasSubstr("203.0.113")));
    EXPECT_THAT(seen, Not(HasSubstr("admin")));
    EXPECT_THAT(seen, HasSubstr("X-Forwarded-For: 127.0.0.1\r\n"));
    EXPECT_THAT(seen, HasSubstr("X-Real-IP: 127.0.0.1\r\n"));
    upstream->Send(kOk);
    EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 200 "));
  }
  EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 429 "));
}

TEST_F(Proxy, HopByHopFieldsEndHere) {
  Serve();
  Peer client = Client();
  client.Send(
      "GET //a/./b/../%63?q=1 HTTP/1.1\r\nHost: t\r\nConnection: X-Mine, upgrade\r\n"
      "X-Mine: 1\r\nUpgrade: h2c\r\nTE: trailers\r\nKept: yes\r\n\r\n");
  Peer upstream = Upstream();
  const std::string seen = upstream.Head();
  EXPECT_THAT(seen, StartsWith("GET /a/c?q=1 HTTP/1.1\r\n"));
  EXPECT_THAT(seen, HasSubstr("Kept: yes\r\n"));
  for (const char* gone : {"X-Mine", "Upgrade", "Connection", "TE:"}) {
    EXPECT_THAT(seen, Not(HasSubstr(gone)));
  }
  upstream.Send(
      "HTTP/1.1 200 OK\r\nConnection: X-Theirs\r\nX-Theirs: 1\r\nRateLimit: \"o\";r=1\r\n"
      "Content-Length: 0\r\n\r\n");
  const std::string answer = client.Head();
  EXPECT_THAT(answer, Not(HasSubstr("X-Theirs")));
  EXPECT_THAT(answer, HasSubstr("RateLimit: \"o\";r=1\r\n"));
}

TEST_F(Proxy, AReloadChangesTheLimitsAndDropsNobody) {
  Serve();
  auto [client, upstream] = Ask();
  upstream.Send(kOk);
  EXPECT_THAT(client.Message(), Not(HasSubstr("RateLimit")));
  ASSERT_TRUE(engine_->Publish(Compile(kTwo), clock_.Read()));
  client.Send(kGet);
  upstream.Head();
  upstream.Send(kOk);
  EXPECT_THAT(client.Message(), HasSubstr("RateLimit-Policy: \"per-minute\";q=2;w=60\r\n"));
}

TEST_F(Proxy, SeveralListenersAreOneGateway) {
  listeners_.push_back(listeners_.front());
  Serve(kTwo);
  ASSERT_EQ(gateway_->ports().size(), 2U);
  EXPECT_EQ(gateway_->port(), gateway_->ports()[0]);
  Peer first = Peer::Connect(gateway_->ports()[0]);
  Peer second = Peer::Connect(gateway_->ports()[1]);
  first.Send(kGet);
  Peer upstream = Upstream();
  AnswerOk(upstream, first);
  second.Send(kGet);
  AnswerOk(upstream, second);
  second.Send(kGet);
  EXPECT_THAT(second.Message(), StartsWith("HTTP/1.1 429 ")) << "they share the client's quota";
  EXPECT_TRUE(gateway_->Drain(std::chrono::seconds(10)));
  EXPECT_EQ(first.Rest(), "");
  EXPECT_EQ(second.Rest(), "");
}

TEST_F(Proxy, DrainingFinishesWhatIsInFlightAndClosesTheIdle) {
  Serve();
  Peer idle = Client();
  auto [client, upstream] = Ask();
  auto drained =
      std::async(std::launch::async, [this] { return gateway_->Drain(std::chrono::seconds(10)); });
  EXPECT_EQ(idle.Rest(), "");
  upstream.Send(kOk);
  EXPECT_THAT(client.Rest(), EndsWith("ok"));
  EXPECT_TRUE(drained.get());
}

TEST_F(Proxy, DrainingCutsWhatDoesNotFinish) {
  Serve();
  auto [client, upstream] = Ask();
  EXPECT_FALSE(gateway_->Drain(std::chrono::milliseconds(50)));
  gateway_.reset();
  EXPECT_EQ(client.Rest(), "");
}

}  // namespace
}  // namespace sluicegate::gateway
