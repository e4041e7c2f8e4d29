// What HTTP asks of whoever stands between two ends: which trailers of an answer go on, what
// becomes of a request that counts its forwards, and of a client that closes its sending half.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/proxy_for_test.h"

namespace sluicegate::gateway {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class ProxyDuties : public Proxy {
 protected:
  // What the client gets behind the head of an answer in chunks whose head has these fields and
  // whose trailer section comes in these pieces.
  std::string Trailed(std::string_view fields, const std::vector<std::string_view>& pieces) {
    Peer client = Client();
    client.Send(kGet);
    Peer upstream = Upstream();
    upstream.Head();
    upstream.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n");
    upstream.Send(fields);
    upstream.Send("\r\n2\r\nok\r\n0\r\n");
    client.Head();
    std::string got = client.Until("ok\r\n");
    for (const std::string_view piece : pieces) upstream.Send(piece);
    got += client.Until("\r\n\r\n");
    client.Send(kGet);  // Nothing of the section is left on either side.
    AnswerOk(upstream, client);
    return got;
  }
  // The head that the upstream gets of a request.
  std::string Seen(std::string_view request) {
    Peer client = Client();
    client.Send(request);
    Peer upstream = Upstream();
    std::string head = upstream.Head();
    upstream.Send(kOk);
    EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 200 "));
    return head;
  }
};

std::string Hops(std::string_view method, std::string_view value, std::string_view more = "") {
  return std::string(method)
      .append(" /a HTTP/1.1\r\nHost: t\r\nMax-Forwards: ")
      .append(value)
      .append("\r\n")
      .append(more)
      .append("\r\n");
}

TEST_F(ProxyDuties, TrailersThatAClientCouldActOnEndHere) {
  Serve();
  EXPECT_EQ(
      Trailed("Connection: x-a\r\n",
              {"Transfer-Encoding: chunked\r\nContent-Length: 7\r\nConnection: close\r\n"
               "X-A: 1\r\nKeep-Alive: timeout=1\r\nDigest: x\r\nRateLimit: \"free\";r=1000\r\n",
               "X-RateLimit-Remaining: 999\r\nRetry-After: 0\r\nx-request-id: other\r\n"
               "Set-Cookie: a=b\r\nServer-Timing:  a \r\n\r\n"}),
      "2\r\nok\r\n0\r\nDigest: x\r\nServer-Timing:  a \r\n\r\n");
}

TEST_F(ProxyDuties, TrailersOfWhichNoneGoesOnEndTheAnswer) {
  Serve();
  EXPECT_EQ(Trailed("", {"X-Rate", "Limit-Limit: 9\r\n\r", "\n"}), "2\r\nok\r\n0\r\n\r\n");
}

TEST_F(ProxyDuties, TrailersThatComeWithTheirHeadAreFiltered) {
  Serve();
  auto [client, upstream] = Ask();
  upstream.Send(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      "2\r\nok\r\n0\r\nDate: now\r\nA: b\r\n\r\n");
  EXPECT_THAT(client.Head(), StartsWith("HTTP/1.1 200 "));
  EXPECT_EQ(client.Until("\r\n\r\n"), "2\r\nok\r\n0\r\nA: b\r\n\r\n");
}

TEST_F(ProxyDuties, AnAnswersPlaceIsFreeBeforeTheLastByteOfItsTrailers) {
  Serve("rules:\n  - {name: r, key: [client], limits: [{concurrency: 1}]}");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Trailed("", {"Digest: x\r\nAge: 1\r\n\r\n"}), "2\r\nok\r\n0\r\nDigest: x\r\n\r\n");
  }
}

TEST_F(ProxyDuties, NoPartOfATrailerSectionGoesOnThatBreaksOff) {
  Serve();
  for (const std::string_view end : {"X-A: 1\r\nX-B", "X-A: 1\r\n X-B: 2\r\n\r\n"}) {
    Peer client = Client();
    client.Send(kGet);
    Peer upstream = Upstream();
    upstream.Head();
    upstream.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n");
    upstream.Send(end);
    upstream.Finish();
    client.Head();
    EXPECT_EQ(client.Rest(), "2\r\nok\r\n0\r\n");
  }
}

TEST_F(ProxyDuties, AnOldClientGetsNoTrailers) {
  Serve();
  auto [client, upstream] = Ask("GET / HTTP/1.0\r\n\r\n");
  upstream.Send(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nDigest: x\r\n\r\n");
  client.Head();
  EXPECT_EQ(client.Rest(), "ok");
}

TEST_F(ProxyDuties, ARequestWithoutForwardsLeftEndsHere) {
  Serve("rules:\n  - {name: r, key: [client], limits: [3/minute]}");
  Peer client = Client();
  client.Send(Hops("OPTIONS", "0", "Content-Length: 2\r\n") + "ok");
  EXPECT_THAT(client.Message(), AllOf(StartsWith("HTTP/1.1 200 "), HasSubstr("RateLimit: "),
                                      HasSubstr("Content-Length: 0\r\n")));
  client.Send(Hops("TRACE", "00", "Cookie: secret\r\n"));
  EXPECT_THAT(client.Message(), AllOf(StartsWith("HTTP/1.1 501 "), HasSubstr("RateLimit: "),
                                      Not(HasSubstr("secret"))));
  client.Send("OPTIONS * HTTP/1.1\r\nHost: t\r\nmax-forwards: 0\r\n\r\n");
  EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 200 "));
  client.Send(Hops("OPTIONS", "0"));
  EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 429 ")) << "it is charged like any other";
  EXPECT_EQ(Count(Event::kUpstreamConnects), 0U);
}

TEST_F(ProxyDuties, ARequestThatEndsHereGivesItsPlaceBack) {
  Serve("rules:\n  - {name: r, key: [client], limits: [{concurrency: 1}]}");
  Peer first = Client();
  Peer second = Client();
  for (Peer* client : {&first, &second, &first}) {
    client->Send(Hops("OPTIONS", "0"));
    EXPECT_THAT(client->Message(), StartsWith("HTTP/1.1 200 "));
  }
}

TEST_F(ProxyDuties, ForwardsAreCountedDown) {
  Serve();
  EXPECT_THAT(Seen(Hops("OPTIONS", "5")), HasSubstr("\r\nMax-Forwards: 4\r\n"));
  EXPECT_THAT(Seen(Hops("TRACE", "1")), HasSubstr("\r\nMax-Forwards: 0\r\n"));
  EXPECT_THAT(Seen(Hops("OPTIONS", "99999999999999999999")),
              HasSubstr("\r\nMax-Forwards: 18446744073709551614\r\n"));
  EXPECT_THAT(Seen("OPTIONS /a HTTP/1.1\r\nHost: t\r\n\r\n"), Not(HasSubstr("Max-Forwards")));
}

TEST_F(ProxyDuties, ToOtherMethodsMaxForwardsMeansNothing) {
  Serve();
  EXPECT_THAT(Seen(Hops("GET", "0")), HasSubstr("\r\nMax-Forwards: 0\r\n"));
  EXPECT_THAT(Seen(Hops("GET", "x")), HasSubstr("\r\nMax-Forwards: x\r\n"));
}

TEST_F(ProxyDuties, ForwardsThatAreNoNumberAreRefusedAndChargedOnNothing) {
  Serve("rules:\n  - {name: r, key: [client], limits: [1/minute]}");
  for (const std::string& request :
       {Hops("OPTIONS", "x"), Hops("OPTIONS", "-1"), Hops("TRACE", "1 2"), Hops("OPTIONS", ""),
        Hops("OPTIONS", "1", "Max-Forwards: 1\r\n")}) {
    Peer client = Client();
    client.Send(request);
    EXPECT_THAT(client.Rest(), StartsWith("HTTP/1.1 400 ")) << request;
  }
  EXPECT_THAT(Seen(kGet), StartsWith("GET /a "));
}

TEST_F(ProxyDuties, AClientThatClosesItsSendingHalfIsAnswered) {
  Serve("timeouts: {half_closed: 1h}\n");
  Peer client = Client();
  client.Send(std::string(kGet) + std::string(kGet));
  client.Finish();
  Peer upstream = Upstream();
  for (int i = 0; i < 2; ++i) {
    upstream.Head();
    upstream.Send(kOk);
    EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 200 "));
  }
  EXPECT_EQ(client.Rest(), "");
}

TEST_F(ProxyDuties, AClientThatClosedItsSendingHalfCountsAsGoneInTheEnd) {
  for (const std::string& wait : {std::string("1ms"), std::string("off")}) {
    Serve("timeouts: {half_closed: " + wait + "}\n");
    Peer client = Client();
    client.Send(kGet);
    Peer upstream = Upstream();
    upstream.Head();
    client.Finish();
    EXPECT_EQ(upstream.Rest(), "");
    EXPECT_EQ(client.Rest(), "");
  }
}

TEST_F(ProxyDuties, ADenialThatSaysCloseIsTheLastAnswer) {
  Serve("rules: [{name: r, key: [client], limits: [1/minute]}]");
  auto [first, upstream] = Ask();
  upstream.Send(kOk);
  first.Message();
  for (const char* request :
       {"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", "GET / HTTP/1.0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: 2\r\n\r\nab"}) {
    Peer client = Client();
    client.Send(request);
    EXPECT_THAT(client.Rest(), StartsWith("HTTP/1.1 429 ")) << request;
  }
}

TEST_F(ProxyDuties, ARefusedHeadRequestHasNoBody) {
  Serve();
  Peer client = Client();
  client.Send("HEAD /%2f HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_THAT(client.Rest(), AllOf(StartsWith("HTTP/1.1 400 "), EndsWith("\r\n\r\n")));
}

TEST_F(ProxyDuties, WhatHasNoBodyHasNoLengthEither) {
  Serve();
  auto [client, upstream] = Ask();
  upstream.Send("HTTP/1.1 103 Early Hints\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(client.Head(), "HTTP/1.1 103 Early Hints\r\n\r\n");
  upstream.Send("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n");
  EXPECT_THAT(client.Head(), Not(HasSubstr("Content-Length")));
  client.Send(kGet);
  AnswerOk(upstream, client);
}

TEST_F(ProxyDuties, A426SaysWhatToUpgradeTo) {
  Serve();
  auto [client, upstream] = Ask();
  upstream.Send(
      "HTTP/1.1 426 Upgrade Required\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
      "Content-Length: 0\r\n\r\n");
  EXPECT_THAT(client.Head(), HasSubstr("\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"));
}

TEST_F(ProxyDuties, ConnectionCannotNameAwayWhoTheUserIs) {
  Serve("clients: {trusted_proxies: [127.0.0.1], identity: {header: x-tenant-user}}\nrules: []");
  const std::string seen = Seen(
      "GET / HTTP/1.1\r\nHost: t\r\nConnection: x-tenant-user, x-user-id, x-api-key, x-other\r\n"
      "X-Tenant-User: bob\r\nX-User-ID: bob\r\nX-API-Key: key\r\nX-Other: 1\r\n\r\n");
  EXPECT_THAT(seen, HasSubstr("X-Tenant-User: bob\r\n"));
  EXPECT_THAT(seen, HasSubstr("X-User-ID: bob\r\n"));
  EXPECT_THAT(seen, HasSubstr("X-API-Key: key\r\n"));
  EXPECT_THAT(seen, Not(HasSubstr("X-Other")));
}

TEST_F(ProxyDuties, AClientThatResetsTheConnectionIsGoneAtOnce) {
  Serve("timeouts: {half_closed: 1h}\n");
  auto [client, upstream] = Ask();
  client.Finish();
  client.Reset();
  EXPECT_EQ(upstream.Rest(), "");
}

}  // namespace
}  // namespace sluicegate::gateway
