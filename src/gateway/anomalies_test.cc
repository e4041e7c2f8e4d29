// What goes wrong at one end must not reach anybody at the other: bodies that pass for requests,
// stray bytes that pass for answers, ends that pass for whole, and shutting down amid it all.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <semaphore>
#include <string>
#include <vector>

#include "gateway/proxy_for_test.h"

namespace sluicegate::gateway {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr std::string_view kOne =
    "rules: [{name: r, match: {path: '/**'}, key: [client], limits: [1/minute]}]";
constexpr std::string_view kEvents =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

std::string Post(std::string_view body) {
  return "POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + std::string(body);
}

TEST_F(Proxy, ABodyThatCameWithItsHeadIsNotTheNextRequest) {
  Serve();
  Peer client = Client();
  const std::string inner = "GET /admin HTTP/1.1\r\nHost: t\r\n\r\n";
  client.Send(Post(inner));
  Peer upstream = Upstream();
  upstream.Head();
  EXPECT_EQ(upstream.Bytes(inner.size()), inner);
  upstream.Send(kOk);
  client.Message();
  client.Send(kGet);
  EXPECT_THAT(upstream.Head(), StartsWith("GET /a "));
  upstream.Send(kOk);
  EXPECT_THAT(client.Message(), EndsWith("ok"));
  EXPECT_EQ(Count(Event::kRequests), 2U);
}

TEST_F(Proxy, ABodyIsSentOnceMoreToAFreshConnectionAndIsOverThen) {
  Serve();
  Peer client = Client();
  client.Send(kGet);
  {
    Peer stale = Upstream();
    AnswerOk(stale, client);
    client.Send("PUT /a HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello" + std::string(kGet));
    stale.Head();
    EXPECT_EQ(stale.Bytes(5), "hello");
  }
  Peer upstream = Upstream();
  EXPECT_THAT(upstream.Head(), StartsWith("PUT /a "));
  EXPECT_EQ(upstream.Bytes(5), "hello");
  upstream.Send(kOk);
  EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(upstream.Head(), StartsWith("GET /a "));
}

TEST_F(Proxy, WhatAnUpstreamSendsUnaskedIsNobodysAnswer) {
  Serve();
  Peer client = Client();
  client.Send("HEAD /a HTTP/1.1\r\nHost: t\r\n\r\n");
  Peer wrong = Upstream();
  wrong.Head();
  wrong.Send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
  client.Head();
  wrong.Send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL");
  client.Send(kGet);
  Peer upstream = Upstream();
  upstream.Head();
  upstream.Send(kOk);
  EXPECT_THAT(client.Message(), EndsWith("\r\n\r\nok"));
  EXPECT_TRUE((wrong.Rest(), true)) << "the connection that said too much is closed";
}

TEST_F(Proxy, RestingConnectionsThatTheUpstreamClosedAreLetGo) {
  Serve();
  Peer client = Client();
  client.Send(kGet);
  Peer upstream = Upstream();
  AnswerOk(upstream, client);
  upstream.Finish();
  EXPECT_EQ(upstream.Rest(), "");
}

TEST_F(Proxy, AReloadLetsGoOfTheOldUpstreamAlsoWhereNoRequestComes) {
  Serve();
  Peer client = Client();
  client.Send(kGet);
  Peer upstream = Upstream();
  AnswerOk(upstream, client);
  auto elsewhere = UpstreamGroup::Resolve({.servers = {{.host = "127.0.0.1", .port = 1}}});
  ASSERT_TRUE(elsewhere) << elsewhere.error();
  gateway_->TakeReload({.upstream = std::move(*elsewhere)});
  EXPECT_EQ(upstream.Rest(), "");
}

TEST_F(Proxy, AnAnswerHasABodyWhateverTheRequestsBodySaid) {
  Serve(kShort);
  auto [client, upstream] = Ask("POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\n");
  client.Send("HEAD");
  upstream.Bytes(4);
  const std::string answer = client.Message();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 504 "));
  EXPECT_THAT(answer, EndsWith("}"));
}

TEST_F(Proxy, AnAnswerAfterHeadHasABodyAgain) {
  Serve("timeouts: {header: 200ms}\nrules: []");
  auto [client, upstream] = Ask("HEAD /a HTTP/1.1\r\nHost: t\r\n\r\n");
  upstream.Send("HTTP/1.1 204 No Content\r\n\r\n");
  client.Head();
  // Longer than the buffer, so that it moves.
  client.Send("GET /b HTTP/1.1\r\nHost: t\r\nX: " + std::string(6000, 'a'));
  const std::string answer = client.Rest();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 408 "));
  EXPECT_THAT(answer, EndsWith("}"));
}

TEST_F(Proxy, ABodyThatEndsWithAFailureDoesNotPassForWhole) {
  Serve();
  auto [client, upstream] = Ask();
  upstream.Send("HTTP/1.1 200 OK\r\n\r\npart");
  client.Until("part");
  upstream.Reset();
  EXPECT_EQ(client.Rest(), "");
  EXPECT_TRUE(client.was_reset());
  EXPECT_EQ(Count(Event::kUpstreamBroken), 1U);
}

TEST_F(Proxy, AChunkedBodyThatBreaksOffDoesNotPassForWholeAtHttp10) {
  Serve("timeouts: {idle: 200ms}\nrules: []");
  auto [client, upstream] = Ask("GET / HTTP/1.0\r\n\r\n");
  upstream.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n");
  client.Until("part");
  EXPECT_EQ(client.Rest(), "");
  EXPECT_TRUE(client.was_reset());
}

TEST_F(Proxy, AnUpstreamMayAnswerWhileTheBodyStillComes) {
  Serve();
  auto [client, upstream] = Ask("POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: 8\r\n\r\n");
  upstream.Send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n");
  client.Head();
  for (const std::string piece : {"ab", "cdef", "gh"}) {
    client.Send(piece);
    EXPECT_EQ(upstream.Bytes(piece.size()), piece);
    upstream.Send(piece);
    EXPECT_EQ(client.Bytes(piece.size()), piece);
  }
  EXPECT_EQ(client.Rest(), "");
}

TEST_F(Proxy, AnInterimAnswerDoesNotEndTheUpload) {
  Serve();
  auto [client, upstream] =
      Ask("POST /a HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
  upstream.Send("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
  EXPECT_EQ(upstream.Until("a\r\n"), "1\r\na\r\n");
  client.Send("2\r\nbc\r\n0\r\n\r\n");
  EXPECT_EQ(upstream.Until("0\r\n\r\n"), "2\r\nbc\r\n0\r\n\r\n");
  upstream.Send(kOk);
  EXPECT_EQ(client.Head(), "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
  EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 200 "));
}

TEST_F(Proxy, AfterAnUploadTheUpstreamsSilenceCounts) {
  Serve("timeouts: {upstream: 200ms}\nrules: []");
  auto [client, upstream] = Ask("POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\n");
  client.Send("body");
  upstream.Bytes(4);
  EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 504 "));
}

TEST_F(Proxy, AnAnswerThatOnlyTheEndOfTheConnectionEndsIsNotCutUnnoticed) {
  Serve();
  auto [client, upstream] = Ask();
  upstream.Send("HTTP/1.1 200 OK\r\n\r\npart");
  client.Until("part");
  EXPECT_FALSE(gateway_->Drain(std::chrono::milliseconds(50)));
  gateway_.reset();
  EXPECT_EQ(client.Rest(), "");
  EXPECT_TRUE(client.was_reset());
}

TEST_F(Proxy, AnAnswerThatOnlyTheEndOfTheConnectionEndsIsWholeWhenItEnds) {
  Serve();
  auto [client, upstream] = Ask();
  upstream.Send("HTTP/1.1 200 OK\r\n\r\nall");
  upstream.Close();
  EXPECT_THAT(client.Rest(), EndsWith("\r\n\r\nall"));
  EXPECT_FALSE(client.was_reset());
}

TEST_F(Proxy, LongInterimHeadsLeaveRoomForTheLast) {
  Serve();
  auto [client, upstream] = Ask();
  upstream.Send("HTTP/1.1 103 Early Hints\r\nLink: " + std::string(20'000, 'l') +
                "\r\n\r\nHTTP/1.1 200 OK\r\nX: " + std::string(30'000, 'x') +
                "\r\nContent-Length: 2\r\n\r\nok");
  EXPECT_THAT(client.Head(), StartsWith("HTTP/1.1 103 "));
  EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 200 "));
}

TEST_F(Proxy, AClientThatLeavesASilentStreamIsNoticedBehindItsNextBytes) {
  Serve("timeouts: {idle: 200ms}\nrules: []");
  auto [client, upstream] = Ask();
  upstream.Send(kEvents);
  client.Head();
  client.Send("G");
  client.Close();
  EXPECT_EQ(upstream.Rest(), "");
}

TEST_F(Proxy, OnlyOneSourceSaysWhoTheClientIs) {
  Serve("clients: {trusted_proxies: [127.0.0.1], identity: {header: remote_user}}\nrules: []");
  Peer client = Client();
  client.Send(
      "GET / HTTP/1.1\r\nHost: t\r\nTransfer_Encoding: chunked\r\nForwarded: for=6.6.6.6\r\n"
      "X-Forwarded-For: 9.9.9.9\r\nRemote_User: ada\r\nRemote-User: eve\r\n\r\n");
  Peer upstream = Upstream();
  const std::string head = upstream.Head();
  EXPECT_THAT(head, Not(HasSubstr("6.6.6.6")));
  EXPECT_THAT(head, Not(HasSubstr("ransfer")));
  EXPECT_THAT(head, Not(HasSubstr("eve")));
  EXPECT_THAT(head, HasSubstr("Remote_User: ada\r\n"));
  EXPECT_THAT(head, HasSubstr("X-Forwarded-For: 9.9.9.9, 127.0.0.1\r\n"));
}

TEST_F(Proxy, AStrangersWordsAboutHimselfEndHere) {
  Serve("clients: {trusted_proxies: [10.0.0.0/8], identity: {header: remote_user}}\nrules: []");
  Peer client = Client();
  client.Send(
      "GET / HTTP/1.1\r\nHost: t\r\nRemote_User: eve\r\nRemote-User: eve\r\nX-User-Id: eve\r\n"
      "X-Forwarded-Port: 6666\r\nX_Forwarded_Proto: 6666\r\nX-Real-IP: 6.6.6.6\r\n\r\n");
  Peer upstream = Upstream();
  const std::string head = upstream.Head();
  EXPECT_THAT(head, Not(HasSubstr("eve")));
  EXPECT_THAT(head, Not(HasSubstr("6666")));
  EXPECT_THAT(head, Not(HasSubstr("6.6")));
  EXPECT_THAT(head, HasSubstr("X-Real-IP: 127.0.0.1\r\n"));
}

TEST_F(Proxy, ADenialNamesEveryLimitThatDenies) {
  Serve(
      "rules: [{name: r, match: {path: '/**'}, key: [client], limits: [9/minute, 1/hour, 1/day]}]");
  Peer client = Client();
  client.Send(kGet);
  Peer upstream = Upstream();
  AnswerOk(upstream, client);
  client.Send(kGet);
  EXPECT_THAT(client.Message(), HasSubstr(R"("violated-policies":["per-hour","per-day"])"));
}

TEST_F(Proxy, ABannedClientIsCutOffWhereThePenaltySaysSo) {
  Serve(
      "rules: [{name: r, match: {path: '/**'}, key: [client], limits: [1/minute], "
      "penalty: {violations: 1, within: 1m, ban: 5m, answer: drop}}]");
  Peer client = Client();
  client.Send(kGet);
  Peer upstream = Upstream();
  AnswerOk(upstream, client);
  client.Send(kGet);
  EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 429 ")) << "a denial, not yet a ban";
  client.Send(kGet);
  EXPECT_EQ(client.Rest(), "");
  EXPECT_EQ(Count(Event::kDenied), 2U);
}

TEST_F(Proxy, ARuleBoundsTheBodiesOfWhatItMatches) {
  Serve(
      "max_body: 8B\nrules: [{name: r, match: {path: '/small/**'}, key: [client], "
      "limits: [100/minute], max_body: 4B}]");
  const auto status = [this](std::string_view path, std::string_view body) {
    Peer client = Client();
    client.Send("POST " + std::string(path) + " HTTP/1.1\r\nHost: t\r\n" + std::string(body));
    return client.Rest().substr(9, 3);
  };
  EXPECT_EQ(status("/small/a", "Content-Length: 5\r\n\r\n12345"), "413");
  EXPECT_EQ(status("/other", "Content-Length: 9\r\n\r\n123456789"), "413");
  EXPECT_EQ(status("/small/a", "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n"), "413");
  Peer client = Client();
  client.Send("POST /other HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\n12345");
  Upstream().Close();  // The one that the chunks began to go to.
  Peer upstream = Upstream();
  EXPECT_THAT(upstream.Head(), StartsWith("POST /other "));
  upstream.Send(kOk);
  EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 200 "));
}

TEST_F(Proxy, EmptyLinesBetweenRequestsAreNoRequest) {
  Serve("timeouts: {header: 200ms, idle: 200ms}\nrules: []");
  auto [client, upstream] = Ask(std::string(kGet) + "\r\n");
  upstream.Send(kOk);
  client.Message();
  EXPECT_EQ(client.Rest(), "") << "idle, not a head that is late";
  EXPECT_EQ(Count(Event::kHeaderTimeouts), 0U);
}

TEST_F(Proxy, RefusedHeadsAreCountedAsRequests) {
  Serve();
  Peer client = Client();
  client.Send("GET / HTTP/1.1\r\n\r\n");
  client.Rest();
  EXPECT_EQ(Count(Event::kRequests), 1U);
  EXPECT_EQ(Count(Event::kRefusedFraming), 1U);
}

TEST_F(Proxy, DrainingEndsAlsoWithConnectionsThatAreJustComing) {
  for (int round = 0; round < 20; ++round) {
    Serve();
    std::vector<Peer> clients;
    for (int i = 0; i < 30; ++i) clients.push_back(Client());
    gateway_->Drain(std::chrono::seconds(1));
    gateway_.reset();
  }
}

TEST_F(Proxy, HurryingBeforeDrainingIsHarmless) {
  for (int round = 0; round < 20; ++round) {
    Serve();
    const Peer idle = Client();
    Peer busy = Client();
    busy.Send(kGet);
    Peer upstream = Upstream();
    upstream.Head();
    gateway_->HurryUp();
    gateway_->Drain(std::chrono::seconds(1));
    gateway_.reset();
  }
}

TEST_F(Proxy, AStoppedGatewayDoesNotAskTheUpstreamAgain) {
  Serve();
  Peer client = Client();
  client.Send(kGet);
  Peer upstream = Upstream();
  AnswerOk(upstream, client);
  client.Send(kGet);
  upstream.Head();
  EXPECT_FALSE(gateway_->Drain(std::chrono::milliseconds(50)));
  gateway_.reset();
  EXPECT_EQ(upstream.Rest(), "");
  pollfd anew{.fd = listener_, .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&anew, 1, 0), 0) << "the request was sent once more";
}

TEST_F(Proxy, AClientThatLeavesWhileTheGatewayStopsIsHarmless) {
  std::binary_semaphore entered(0);
  std::binary_semaphore go(0);
  Serve(kOne, [&](const http::DenialEvent&) {
    entered.release();
    go.acquire();
  });
  Peer leaver = Client();
  leaver.Send(kGet);
  Peer upstream = Upstream();
  upstream.Head();
  Peer denied = Client();
  denied.Send(kGet);
  entered.acquire();  // The loop stands still.
  leaver.Close();
  auto stopped = std::async(std::launch::async, [this] {
    gateway_->HurryUp();
    gateway_->Drain(std::chrono::seconds(1));
  });
  go.release();
  stopped.wait();
  gateway_.reset();
  EXPECT_EQ(upstream.Rest(), "");
}

}  // namespace
}  // namespace sluicegate::gateway
