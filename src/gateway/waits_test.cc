// What is waited for, and until when: of clients that read slowly or close their sending half, of
// answers that flow beside a request's body, and across the requests of one connection.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <string_view>
#include <thread>

#include "gateway/proxy_for_test.h"

namespace sluicegate::gateway {
namespace {

using namespace std::chrono_literals;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::size_t kLarge = std::size_t{64} << 20U;

class Waits : public Proxy {
 protected:
  static std::string HeadOf(std::size_t bytes) {
    return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(bytes) + "\r\n\r\n";
  }
  // An answer that the client does not read, up to where the system takes no more of it.
  static std::size_t Stuff(Peer& upstream) {
    upstream.Send(HeadOf(kLarge));
    const std::size_t sent = upstream.SendUntilFull(kLarge);
    EXPECT_LT(sent, kLarge / 2);
    return sent;
  }
};

// Of the session era, in which a message goes on when its client leaves.
constexpr std::string_view kMessage =
    "POST /mcp HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: 40\r\n\r\n"
    R"({"jsonrpc":"2.0","id":1,"method":"ping"})";

TEST_F(Waits, AMessageWhoseClientHalfClosedAndReadsNothingGoesOnWithoutIt) {
  Serve("timeouts: {half_closed: 100ms}\nconnections: {drain_rate: off}\nrules: []");
  auto [client, upstream] = Ask(kMessage);
  const std::size_t sent = Stuff(upstream);
  client.Finish();
  upstream.Send(std::string(kLarge - sent, 'x'));  // Nothing holds it up any more.
  EXPECT_EQ(Count(Event::kSlowReaders), 0U);
}

TEST_F(Waits, AnAnswerWhoseClientHalfClosedAndReadsNothingIsGivenUp) {
  Serve("timeouts: {half_closed: 100ms}\nconnections: {drain_rate: off}\nrules: []");
  auto [client, upstream] = Ask();
  Stuff(upstream);
  client.Finish();
  EXPECT_TRUE((upstream.Rest(), true)) << "the connection to the upstream is closed";
}

// The loop is busy while the room comes and the look at the client is due, so that both are told in
// one turn.
TEST_F(Waits, RoomThatComesInTheMomentOfALookIsSeen) {
  on_access_ = [](const AccessRecord&) { std::this_thread::sleep_for(900ms); };
  Serve("access_log: /dev/null\nrules: []");
  auto [client, upstream] = Ask();
  const std::size_t sent = Stuff(upstream);
  Peer busy = Client();
  busy.Send(kGet);
  Peer other = Upstream();
  other.Head();
  other.Send(kOk);
  std::thread rest([&upstream, sent] { upstream.Send(std::string(kLarge - sent, 'x')); });
  client.Head();
  EXPECT_EQ(client.Bytes(kLarge).size(), kLarge);
  rest.join();
}

TEST_F(Waits, TheEndMayComeWithTheProxysHeader) {
  listeners_.front().proxy_protocol = true;
  Serve("clients: {trusted_proxies: [127.0.0.1]}\nrules: []");
  Peer client = Client();
  std::this_thread::sleep_for(100ms);  // It is accepted before anything comes.
  client.Send("PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\r\n" + std::string(kGet));
  client.Finish();
  Peer upstream = Upstream();
  upstream.Head();
  upstream.Send(kOk);
  EXPECT_THAT(client.Rest(), EndsWith("\r\n\r\nok"));
}

TEST_F(Waits, AnAnswerIsWholeWhateverStandsBehindItsRequest) {
  Serve();
  auto [client, upstream] =
      Ask("POST / HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: 2\r\n\r\nab");
  client.Send("\r\n");  // Old clients end a body with an empty line too many.
  upstream.Send(HeadOf(kLarge / 8));
  std::thread body([&up = upstream] { up.Send(std::string(kLarge / 8, 'x')); });
  std::this_thread::sleep_for(300ms);
  client.Head();
  EXPECT_EQ(client.Bytes(kLarge / 8).size(), kLarge / 8);
  EXPECT_EQ(client.Rest(), "");
  EXPECT_FALSE(client.was_reset());
  body.join();
}

// Its end is told two seconds before the gateway has sent all, and the rest is read at once.
TEST_F(Waits, AnUploadMayEndHalfClosedAlsoOnASecondRequest) {
  constexpr std::size_t kBody = 6'000'000;
  constexpr std::size_t kInBuffers = 3'200'000;  // What the system takes for the upstream.
  constexpr std::size_t kStep = 20'000;
  constexpr int kSmall = 64 * 1024;
  ::setsockopt(listener_, SOL_SOCKET, SO_RCVBUF, &kSmall, sizeof(kSmall));
  Serve("timeouts: {half_closed: 1s}\nrules: []");
  auto [client, upstream] = Ask();
  upstream.Send(kOk);
  client.Message();
  client.Send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: " + std::to_string(kBody) +
              "\r\n\r\n");
  upstream.Head();
  std::thread body([&peer = client] {
    peer.Send(std::string(kBody, 'x'));
    peer.Finish();
  });
  for (std::size_t left = kBody; left > kInBuffers && !HasFailure(); left -= kStep) {
    std::this_thread::sleep_for(15ms);
    upstream.Bytes(kStep);
  }
  EXPECT_EQ(upstream.Bytes(kInBuffers).size(), kInBuffers);
  body.join();
  upstream.Send(kOk);
  EXPECT_THAT(client.Rest(), EndsWith("\r\n\r\nok"));
}

TEST_F(Waits, AStreamEndsWhoseClientHalfClosedWhileABurstWaitedForIt) {
  Serve("timeouts: {half_closed: 100ms}\nconnections: {drain_rate: off}\nrules: []");
  auto [client, upstream] = Ask();
  upstream.Send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
  upstream.SendUntilFull(kLarge);
  client.Finish();
  EXPECT_TRUE((upstream.Rest(), true));
}

TEST_F(Waits, ATimeoutIsTheRequestsOwn) {
  Serve("timeouts: {upstream: 200ms}\nrules: []");
  // Two connections that rest, one for each of the requests below.
  auto [one, upstream] = Ask();
  auto [two, silent] = Ask();
  upstream.Send(kOk);
  one.Message();
  silent.Send(kOk);
  two.Message();
  Peer client = Client();
  client.Send(std::string(kGet) + "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nab");
  silent.Head();
  EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 504 "));
  upstream.Head();
  upstream.Send(kOk);
  EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 200 "));
}

TEST_F(Waits, AnAnswerFlowsOnWhereItsRequestsBodyStops) {
  Serve("timeouts: {idle: 300ms}\nrules: []");
  auto [client, upstream] = Ask("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\n");
  upstream.Send(HeadOf(10));
  client.Head();
  for (int i = 0; i < 10; ++i) {
    std::this_thread::sleep_for(100ms);
    upstream.Send("x");
    EXPECT_EQ(client.Bytes(1), "x");
  }
  EXPECT_EQ(client.Rest(), "");
  EXPECT_FALSE(client.was_reset());
}

}  // namespace
}  // namespace sluicegate::gateway
