// Clients that take more than their share of connections, or are too slow; and who they are behind
// the PROXY protocol.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "gateway/proxy_for_test.h"

namespace sluicegate::gateway {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class Greedy : public Proxy {
 protected:
  // Waits for what a loop does by itself.
  void Until(Event event, std::uint64_t count) {
    for (unsigned i = 0; i < 10'000 && Count(event) < count; ++i) {
      std::this_thread::sleep_for(1ms);
    }
    EXPECT_GE(Count(event), count);
  }
  void IsServed(Peer& client) {
    client.Send("GET /a HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    Peer upstream = Upstream();
    AnswerOk(upstream, client);
    EXPECT_EQ(client.Rest(), "");
  }
};

TEST_F(Greedy, OneTooManyIsRefusedUntilAnotherLeaves) {
  Serve("connections: {per_client: 2, new_per_second: off}\nrules: []");
  Peer first = Client();
  Peer second = Client();
  Until(Event::kConnections, 2);
  EXPECT_EQ(Client().Rest(), "");
  EXPECT_EQ(Count(Event::kRefusedConnections), 1U);
  first.Close();
  Until(Event::kConnectionsClosed, 1);
  Peer third = Client();
  IsServed(third);
  IsServed(second);
}

TEST_F(Greedy, WhoOpensTooFastHasToWait) {
  Serve("connections: {per_client: off, new_per_second: 2}\nrules: []");
  for (unsigned i = 0; i < 2; ++i) {
    Peer client = Client();
    IsServed(client);
  }
  EXPECT_EQ(Client().Rest(), "");
  clock_.Advance(500ms);
  Peer later = Client();
  IsServed(later);
}

TEST_F(Greedy, ProxiesThatAreTrustedAreNotCountedAsOneClient) {
  Serve(
      "connections: {per_client: 1, new_per_second: 1}\n"
      "clients: {trusted_proxies: [127.0.0.1]}\nrules: []");
  std::vector<Peer> clients;
  for (unsigned i = 0; i < 4; ++i) clients.push_back(Client());
  for (Peer& client : clients) IsServed(client);
  EXPECT_EQ(Count(Event::kRefusedConnections), 0U);
}

TEST_F(Greedy, TheOneThatMadeTheLeastProgressMakesRoom) {
  Serve("connections: {most: 2, per_client: off, new_per_second: off}\nrules: []");
  Peer idle = Client();
  Until(Event::kConnections, 1);
  Peer busy = Client();
  busy.Send(kGet);
  Peer upstream = Upstream();
  upstream.Head();  // It waits for the upstream now.
  Peer newcomer = Client();
  EXPECT_EQ(idle.Rest(), "");
  EXPECT_TRUE(idle.was_reset());
  EXPECT_EQ(Count(Event::kEvictedConnections), 1U);
  upstream.Send(kOk);
  EXPECT_THAT(busy.Message(), StartsWith("HTTP/1.1 200 "));
  newcomer.Send(kGet);
  AnswerOk(upstream, newcomer);
}

TEST_F(Greedy, WhoSendsLittleAtATimeMakesProgressAsWell) {
  Serve("connections: {most: 2, per_client: off, new_per_second: off}\nrules: []");
  Peer uploader = Client();
  uploader.Send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1000\r\n\r\n");
  Peer upstream = Upstream();
  upstream.Head();
  Peer silent = Client();
  Until(Event::kConnections, 2);
  for (unsigned i = 0; i < 10; ++i) {
    uploader.Send(std::string(99, 'x'));
    upstream.Bytes(99);
  }
  Peer newcomer = Client();
  EXPECT_EQ(silent.Rest(), "");
  EXPECT_EQ(Count(Event::kEvictedConnections), 1U);
  uploader.Send(std::string(10, 'x'));
  upstream.Bytes(10);
  upstream.Send(kOk);
  EXPECT_THAT(uploader.Message(), StartsWith("HTTP/1.1 200 "));
}

// Those that wait for an upstream must not hide the others.
TEST_F(Greedy, ManyThatWaitForTheUpstreamHideNobody) {
  Serve("connections: {most: 301, per_client: off, new_per_second: off}\nrules: []");
  std::vector<Peer> busy;
  for (unsigned i = 0; i < 300; ++i) {
    busy.push_back(Client());
    busy.back().Send(kGet);
  }
  Until(Event::kRequests, 300);
  Peer idle = Client();
  Until(Event::kConnections, 301);
  EXPECT_EQ(Client().Rest(), "") << "it looked at 256";
  Peer newcomer = Client();
  EXPECT_EQ(idle.Rest(), "");
  EXPECT_EQ(Count(Event::kEvictedConnections), 1U);
}

TEST_F(Greedy, WhereAllWaitForTheUpstreamTheNewcomerIsRefused) {
  Serve("connections: {most: 1, per_client: off, new_per_second: off}\nrules: []");
  Peer busy = Client();
  busy.Send(kGet);
  Peer upstream = Upstream();
  upstream.Head();
  EXPECT_EQ(Client().Rest(), "");
  upstream.Send(kOk);
  EXPECT_THAT(busy.Message(), StartsWith("HTTP/1.1 200 "));
}

constexpr std::string_view kLargeBody =
    "POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\n";

TEST_F(Greedy, ABodyThatDripsIs408) {
  Serve();
  auto [client, upstream] = Ask(kLargeBody);
  for (unsigned i = 0; i < 2; ++i) {
    clock_.Advance(4s);
    client.Send("x");
    EXPECT_EQ(upstream.Bytes(1), "x");
  }
  clock_.Advance(4s);
  client.Send("x");
  EXPECT_THAT(client.Rest(), StartsWith("HTTP/1.1 408 "));
  EXPECT_EQ(Count(Event::kSlowBodies), 1U);
}

TEST_F(Greedy, ABodyThatKeepsTheRateMayTakeLong) {
  Serve();
  auto [client, upstream] = Ask(kLargeBody);
  const std::string some(5000, 'x');
  for (unsigned i = 0; i < 20; ++i) {
    clock_.Advance(9s);
    client.Send(some);
    EXPECT_EQ(upstream.Bytes(some.size()), some);
  }
  upstream.Send(kOk);
  EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 200 "));
}

TEST_F(Greedy, TheRateMayBeOff) {
  Serve("connections: {body_rate: off}\nrules: []");
  auto [client, upstream] = Ask(kLargeBody);
  for (unsigned i = 0; i < 5; ++i) {
    clock_.Advance(9s);
    client.Send("x");
    EXPECT_EQ(upstream.Bytes(1), "x");
  }
  EXPECT_EQ(Count(Event::kSlowBodies), 0U);
}

TEST_F(Greedy, AMessageOfMcpThatDripsIs408) {
  Serve();
  Peer client = Client();
  client.Send(
      "POST /mcp HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
      "Expect: 100-continue\r\nContent-Length: 1000\r\n\r\n");
  EXPECT_THAT(client.Head(), StartsWith("HTTP/1.1 100 "));
  // Whether it was read tells the time it takes: too slow at the latest with the last byte.
  for (unsigned i = 0; i < 20 && Count(Event::kSlowBodies) == 0; ++i) {
    clock_.Advance(11s);
    client.Send("{");
    std::this_thread::sleep_for(1ms);
  }
  EXPECT_THAT(client.Rest(), StartsWith("HTTP/1.1 408 "));
}

// A proxy that speaks the PROXY protocol, version 1 unless a test says otherwise.
class Proxied : public Greedy {
 protected:
  void ServeTrusting(std::string_view more = "rules: []") {
    listeners_.front().proxy_protocol = true;
    Serve("clients: {trusted_proxies: [127.0.0.1]}\n" + std::string(more));
  }
};

constexpr std::string_view kProxyLine = "PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\r\n";

TEST_F(Proxied, TheClientIsWhoTheProxyNames) {
  ServeTrusting("rules: [{name: r, key: [client], limits: [1/minute]}]");
  Peer client = Client();
  client.Send(std::string(kProxyLine) + std::string(kGet));
  Peer upstream = Upstream();
  EXPECT_THAT(upstream.Head(), HasSubstr("X-Forwarded-For: 203.0.113.7\r\n"));
  upstream.Send(kOk);
  EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 200 "));
  Peer again = Client();
  again.Send(std::string(kProxyLine) + std::string(kGet));
  EXPECT_THAT(again.Message(), StartsWith("HTTP/1.1 429 "));
  Peer other = Client();
  other.Send("PROXY TCP4 203.0.113.8 192.0.2.1 56324 443\r\n" + std::string(kGet));
  AnswerOk(upstream, other);
}

TEST_F(Proxied, TheHeaderMayDripAndBeBinary) {
  ServeTrusting();
  Peer client = Client();
  std::string header = "\r\n\r\n";
  header += std::string("\0\r\nQUIT\n\x21\x11\0\x0c", 12);
  header += std::string("\xcb\0\x71\x07\xc0\0\x02\x01\xdc\x04\x01\xbb", 12);
  for (const char byte : header) client.Send(std::string_view(&byte, 1));
  client.Send(kGet);
  Peer upstream = Upstream();
  EXPECT_THAT(upstream.Head(), HasSubstr("X-Forwarded-For: 203.0.113.7\r\n"));
}

TEST_F(Proxied, WithoutItsHeaderATrustedProxyIsNotServed) {
  ServeTrusting();
  Peer client = Client();
  client.Send(kGet);
  EXPECT_EQ(client.Rest(), "");
  EXPECT_EQ(Count(Event::kRequests), 0U);
}

TEST_F(Proxied, AStrangersHeaderIsNoRequest) {
  listeners_.front().proxy_protocol = true;
  Serve("clients: {trusted_proxies: [192.0.2.9]}\nrules: []");
  Peer client = Client();
  client.Send(std::string(kProxyLine) + std::string(kGet));
  EXPECT_THAT(client.Rest(), StartsWith("HTTP/1.1 400 "));
}

TEST_F(Proxied, CapsAreForTheClientAndNotForItsProxy) {
  ServeTrusting("connections: {per_client: 1, new_per_second: off}\nrules: []");
  Peer first = Client();
  first.Send(std::string(kProxyLine) + std::string(kGet));
  Peer upstream = Upstream();
  upstream.Head();
  Peer second = Client();
  second.Send(std::string(kProxyLine) + std::string(kGet));
  EXPECT_EQ(second.Rest(), "");
  EXPECT_EQ(Count(Event::kRefusedConnections), 1U);
  Peer other = Client();
  other.Send("PROXY TCP4 203.0.113.8 192.0.2.1 1 2\r\n" + std::string(kGet));
  Peer its = Upstream();
  AnswerOk(its, other);
}

}  // namespace
}  // namespace sluicegate::gateway
