// What the gateway tells an upstream of a request, interim answers, WebSocket, several servers,
// Unix sockets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/un.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/temporary_folder_for_test.h"
#include "gateway/proxy_for_test.h"

namespace sluicegate::gateway {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr std::string_view kHandshake =
    "GET /chat HTTP/1.1\r\nHost: t\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
constexpr std::string_view kSwitching =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
constexpr std::string_view kTrusting = "clients: {trusted_proxies: [127.0.0.1]}\nrules: []";

class Forwarding : public Proxy {
 protected:
  // The head that the upstream gets of a request.
  std::string Seen(std::string_view request) {
    Peer client = Client();
    client.Send(request);
    Peer upstream = Upstream();
    std::string head = upstream.Head();
    upstream.Send(kOk);
    answer_ = client.Message();
    return head;
  }
  std::string answer_;
};

TEST_F(Forwarding, WhoTheClientIsIsWrittenAnew) {
  Serve();
  const std::string seen = Seen(
      "GET / HTTP/1.1\r\nHost: example.test:8080\r\nForwarded: for=1.2.3.4\r\n"
      "X-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nVia: 1.1 first\r\n\r\n");
  EXPECT_THAT(seen, HasSubstr("X-Forwarded-For: 127.0.0.1\r\n"));
  EXPECT_THAT(seen, HasSubstr("X-Forwarded-Proto: http\r\n"));
  EXPECT_THAT(seen, HasSubstr("X-Forwarded-Host: example.test:8080\r\n"));
  EXPECT_THAT(seen, HasSubstr("Via: 1.1 first\r\n"));
  EXPECT_THAT(seen, HasSubstr("Via: 1.1 sluicegate\r\n"));
  EXPECT_THAT(seen, Not(HasSubstr("evil")));
  EXPECT_THAT(seen, Not(HasSubstr("Forwarded: for")));
  EXPECT_THAT(seen, Not(HasSubstr("X-Forwarded-Port")));
}

TEST_F(Forwarding, ForwardedIsContinuedWhereItIsTheFieldThatCounts) {
  Serve("clients: {trusted_proxies: [127.0.0.1], forwarded: forwarded}\nrules: []");
  EXPECT_THAT(Seen("GET / HTTP/1.1\r\nHost: t:1\r\nForwarded: for=1.2.3.4\r\n\r\n"),
              HasSubstr("Forwarded: for=1.2.3.4, for=127.0.0.1;host=\"t:1\";proto=http\r\n"));
}

TEST_F(Forwarding, AStrangersForwardedIsNotContinued) {
  Serve("clients: {trusted_proxies: [192.0.2.1], forwarded: forwarded}\nrules: []");
  EXPECT_THAT(Seen("GET / HTTP/1.1\r\nHost: t\r\nForwarded: for=1.2.3.4\r\n\r\n"),
              HasSubstr("\r\nForwarded: for=127.0.0.1;host=\"t\";proto=http\r\n"));
}

TEST_F(Forwarding, AMalformedForwardedIsNotContinued) {
  Serve("clients: {trusted_proxies: [127.0.0.1], forwarded: forwarded}\nrules: []");
  const auto forwarded = [this](std::string_view fields) {
    const std::string seen = Seen("GET / HTTP/1.1\r\nHost: t\r\n" + std::string(fields) + "\r\n");
    const std::size_t at = seen.find("\r\nForwarded: ") + 13;
    return seen.substr(at, seen.find(";host=", at) - at);
  };
  EXPECT_EQ(forwarded("Forwarded: for=6.6.6.6, for=\"x\r\n"), "for=127.0.0.1");
  EXPECT_EQ(
      forwarded("Forwarded: for=6.6.6.6\r\nForwarded: for=\"x\r\nForwarded: for=192.0.2.9\r\n"),
      "for=192.0.2.9, for=127.0.0.1");
  EXPECT_EQ(forwarded("Forwarded: for=192.0.2.9;by=\"a,\\\"\"\r\nForwarded:\r\n"),
            "for=192.0.2.9;by=\"a,\\\"\", for=127.0.0.1");
}

TEST_F(Forwarding, ARequestIsNamedAndAStrangersNameIsNotTaken) {
  Serve();
  const std::string seen = Seen("GET / HTTP/1.1\r\nHost: t\r\nX-Request-Id: mine\r\n\r\n");
  EXPECT_THAT(seen, ContainsRegex("\r\nx-request-id: [0-9a-f]{32}\r\n"));
  EXPECT_THAT(seen, Not(HasSubstr("mine")));
  const std::string id = seen.substr(seen.find("x-request-id: "), 14 + 32);
  EXPECT_THAT(answer_, HasSubstr(id + "\r\n"));
  EXPECT_THAT(Seen("GET / HTTP/1.1\r\nHost: t\r\n\r\n"), Not(HasSubstr(id)));
}

TEST_F(Forwarding, ATrustedProxysNameIsTaken) {
  Serve(kTrusting);
  EXPECT_THAT(Seen("GET / HTTP/1.1\r\nHost: t\r\nX-Request-Id: abc-1\r\n\r\n"),
              HasSubstr("x-request-id: abc-1\r\n"));
  EXPECT_THAT(answer_, HasSubstr("x-request-id: abc-1\r\n"));
  EXPECT_THAT(Seen("GET / HTTP/1.1\r\nHost: t\r\nX-Request-Id: a b\r\n\r\n"),
              ContainsRegex("x-request-id: [0-9a-f]{32}\r\n"));
}

// Servers behind CGI and its like would read it as the request's name.
TEST_F(Forwarding, ANameInOtherClothesIsNotTaken) {
  Serve("clients: {trusted_proxies: [127.0.0.1]}\nrequest_id: x-trace-id\nrules: []");
  const std::string seen = Seen(
      "GET / HTTP/1.1\r\nHost: t\r\nX_Trace_Id: mine\r\nX-Trace_ID: mine\r\n"
      "X_Request_Id: 1\r\nX_Trace_Ids: 2\r\n\r\n");
  EXPECT_THAT(seen, ContainsRegex("\r\nx-trace-id: [0-9a-f]{32}\r\n"));
  EXPECT_THAT(seen, Not(HasSubstr("mine")));
  EXPECT_THAT(seen, HasSubstr("X_Request_Id: 1\r\nX_Trace_Ids: 2\r\n"));
}

TEST_F(Forwarding, NamesMayBeOff) {
  Serve("request_id: off\nrules: []");
  EXPECT_THAT(Seen("GET / HTTP/1.1\r\nHost: t\r\nX-Request-Id: mine\r\nX_Request_Id: 2\r\n\r\n"),
              HasSubstr("X-Request-Id: mine\r\nX_Request_Id: 2\r\n"));
  EXPECT_THAT(answer_, Not(HasSubstr("x-request-id")));
}

TEST_F(Forwarding, TheTraceGoesOn) {
  Serve();
  constexpr std::string_view kTrace =
      "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";
  EXPECT_THAT(Seen("GET / HTTP/1.1\r\nHost: t\r\n" + std::string(kTrace) + "\r\n"),
              HasSubstr(std::string(kTrace)));
}

TEST_F(Forwarding, InterimAnswersGoOnToThoseWhoKnowThem) {
  Serve();
  auto [client, upstream] = Ask();
  upstream.Send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: X\r\nX: 1\r\n\r\n");
  EXPECT_EQ(client.Head(), "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
  upstream.Send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n");
  EXPECT_EQ(client.Head(), "HTTP/1.1 102 Processing\r\n\r\n");
  upstream.Send(kOk);
  EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 200 "));
  client.Send("GET / HTTP/1.0\r\n\r\n");
  upstream.Head();
  upstream.Send("HTTP/1.1 103 Early Hints\r\n\r\n");
  upstream.Send(kOk);
  EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 200 "));
}

TEST_F(Forwarding, TooManyInterimAnswersAreNonsense) {
  Serve();
  auto [client, upstream] = Ask();
  for (unsigned i = 0; i < 17; ++i) upstream.Send("HTTP/1.1 103 Early Hints\r\n\r\n");
  for (unsigned i = 0; i < 16; ++i) EXPECT_THAT(client.Head(), StartsWith("HTTP/1.1 103 "));
  EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 502 "));
}

TEST_F(Forwarding, TrailersOfAnswersGoOn) {
  Serve();
  auto [client, upstream] = Ask();
  upstream.Send(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Digest\r\n\r\n"
      "2\r\nok\r\n0\r\nDigest: x\r\n\r\n");
  client.Head();
  EXPECT_EQ(client.Until("\r\n\r\n"), "2\r\nok\r\n0\r\nDigest: x\r\n\r\n");
  client.Send(kGet);
  AnswerOk(upstream, client);
}

TEST_F(Forwarding, AnUpstreamThatClosesItsSendingHalfAnsweredWhole) {
  Serve();
  auto [client, upstream] = Ask();
  upstream.Send(kOk);
  upstream.Finish();
  EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 200 "));
  client.Send(kGet);
  Peer next = Upstream();
  AnswerOk(next, client);
}

TEST_F(Forwarding, OptionsOfTheServerAsAWholeGoOn) {
  Serve();
  EXPECT_THAT(Seen("OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n"), StartsWith("OPTIONS * HTTP/1.1\r\n"));
}

TEST_F(Forwarding, WebSocketGoesBothWaysUntilEitherEndCloses) {
  Serve();
  Peer client = Client();
  client.Send(kHandshake);
  client.Send("early frame");  // Some clients do not wait for the answer.
  Peer upstream = Upstream();
  const std::string seen = upstream.Head();
  EXPECT_THAT(seen, HasSubstr("Connection: Upgrade\r\nUpgrade: websocket\r\n"));
  EXPECT_THAT(seen, HasSubstr("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"));
  upstream.Send(std::string(kSwitching) + "first");
  const std::string answer = client.Head();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 101 Switching Protocols\r\n"));
  EXPECT_THAT(answer, HasSubstr("Connection: Upgrade\r\nUpgrade: websocket\r\n"));
  EXPECT_THAT(answer, HasSubstr("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
  EXPECT_EQ(client.Bytes(5), "first");
  EXPECT_EQ(upstream.Bytes(11), "early frame");
  client.Send("GET /x HTTP/1.1\r\n\r\n");  // A frame like any other.
  EXPECT_EQ(upstream.Bytes(19), "GET /x HTTP/1.1\r\n\r\n");
  upstream.Send("more");
  EXPECT_EQ(client.Bytes(4), "more");
  client.Finish();
  EXPECT_EQ(upstream.Rest(), "");
  upstream.Send("last word");
  upstream.Close();
  EXPECT_EQ(client.Rest(), "last word");
}

// The head came alone, so nothing of the buffer behind it was read yet.
TEST_F(Forwarding, AWebSocketsFirstFrameMayComeAfterItsHead) {
  Serve();
  auto [client, upstream] = Ask(kHandshake);
  upstream.Send(kSwitching);
  client.Head();
  upstream.Send("first");
  EXPECT_EQ(client.Bytes(5), "first");
  upstream.Send("second");
  upstream.Close();
  EXPECT_EQ(client.Rest(), "second");
}

TEST_F(Forwarding, AWebSocketEndsWhenItsServerCloses) {
  Serve();
  auto [client, upstream] = Ask(kHandshake);
  upstream.Send(std::string(kSwitching) + "bye");
  upstream.Close();
  client.Head();
  EXPECT_EQ(client.Rest(), "bye");
}

TEST_F(Forwarding, ASilentTunnelEnds) {
  Serve("timeouts: {tunnel: 200ms}\nrules: []");
  auto [client, upstream] = Ask(kHandshake);
  upstream.Send(kSwitching);
  client.Head();
  EXPECT_EQ(client.Rest(), "");
  EXPECT_EQ(upstream.Rest(), "");
}

// A byte of the other direction is no reason to wait for ever.
TEST_F(Forwarding, ATunnelWhoseClientDoesNotReadEndsThoughItSends) {
  Serve("timeouts: {tunnel: 300ms, idle: 2s}\nrules: []");
  auto [client, upstream] = Ask(kHandshake);
  upstream.Send(kSwitching);
  client.Head();
  upstream.SendUntilFull(std::size_t{64} << 20U);
  client.Send("x");
  EXPECT_EQ(upstream.Bytes(1), "x");
  EXPECT_EQ(upstream.Rest(), "");
}

TEST_F(Forwarding, AnInterimAnswerDuringAnUploadBeginsNoWait) {
  Serve("timeouts: {connect: 100ms, header: 100ms}\nrules: []");
  auto [client, upstream] = Ask("POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\n12");
  upstream.Send("HTTP/1.1 103 Early Hints\r\n\r\n");
  EXPECT_THAT(client.Head(), StartsWith("HTTP/1.1 103 "));
  std::this_thread::sleep_for(std::chrono::milliseconds(400));
  client.Send("34");
  EXPECT_EQ(upstream.Bytes(4), "1234");
  upstream.Send(kOk);
  EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 200 "));
}

TEST_F(Forwarding, SmallChunksLeaveTogether) {
  Serve();
  Peer client = Client();
  std::string body;
  for (unsigned i = 0; i < 300; ++i) body += "1\r\nx\r\n";
  client.Send("POST /a HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n" + body +
              "0\r\n\r\n");
  Peer upstream = Upstream();
  upstream.Head();
  const std::string sent = upstream.Until("0\r\n\r\n");
  EXPECT_LT(sent.size(), body.size() / 2);
  EXPECT_EQ(std::ranges::count(sent, 'x'), 300);
}

TEST_F(Forwarding, AServerThatDoesNotSwitchAnswersAsUsual) {
  Serve();
  auto [client, upstream] = Ask(kHandshake);
  upstream.Send("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n");
  EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 426 "));
  client.Send(kGet);  // Decided and forwarded as a request, not as a frame.
  EXPECT_THAT(upstream.Head(), StartsWith("GET /a HTTP/1.1\r\n"));
}

TEST_F(Forwarding, ASwitchThatNobodyOfferedOrToSomethingElseIsNonsense) {
  Serve();
  for (const std::string_view request :
       {kGet, std::string_view("GET / HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\n"
                               "Upgrade: h2c\r\n\r\n")}) {
    Peer client = Client();
    client.Send(request);
    Peer upstream = Upstream();
    EXPECT_THAT(upstream.Head(), Not(HasSubstr("Upgrade")));
    upstream.Send(kSwitching);
    EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 502 "));
  }
  auto [client, upstream] = Ask(kHandshake);
  upstream.Send("HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n");
  EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 502 "));
}

TEST_F(Forwarding, AWebSocketHoldsItsPlaceUntilItEnds) {
  Serve("rules: [{name: r, key: [client], limits: [{concurrency: 1}]}]");
  auto [client, upstream] = Ask(kHandshake);
  upstream.Send(kSwitching);
  client.Head();
  Peer other = Client();
  other.Send(kGet);
  EXPECT_THAT(other.Message(), StartsWith("HTTP/1.1 429 "));
  upstream.Close();
  EXPECT_EQ(client.Rest(), "");
  other.Send(kGet);
  Peer next = Upstream();
  AnswerOk(next, other);
}

// Two servers, each of which a test plays.
class Several : public Proxy {
 protected:
  Several() : second_(Listen(second_port_)) {
    servers_ = {{.host = "127.0.0.1", .port = upstream_port_},
                {.host = "127.0.0.1", .port = second_port_}};
    on_alarm_ = [this](const std::string& line) {
      const std::lock_guard lock(mu_);
      alarms_.push_back(line);
    };
  }
  ~Several() override {
    gateway_.reset();
    ::close(second_);
  }
  std::vector<std::string> Alarms() {
    const std::lock_guard lock(mu_);
    return alarms_;
  }
  void Answers(int listener) {
    Peer client = Client();
    client.Send("GET /a HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    Peer upstream = AcceptFrom(listener);
    AnswerOk(upstream, client);
  }

  std::uint16_t second_port_ = 0;
  int second_;
  std::mutex mu_;
  std::vector<std::string> alarms_;  // Guarded by mu_.
};

TEST_F(Several, GetARequestEachInTurn) {
  Serve();
  for (unsigned i = 0; i < 2; ++i) {
    Answers(listener_);
    Answers(second_);
  }
}

TEST_F(Several, OneThatCannotBeReachedRestsAndNoRequestIsLost) {
  Serve();
  ::shutdown(listener_, SHUT_RDWR);
  for (unsigned i = 0; i < 4; ++i) Answers(second_);
  ASSERT_EQ(Alarms().size(), 1U) << "told once, while it rests";
  EXPECT_THAT(Alarms()[0], HasSubstr("127.0.0.1:" + std::to_string(upstream_port_)));
  EXPECT_THAT(Alarms()[0], HasSubstr("Connection refused"));
  EXPECT_EQ(Count(Event::kUpstreamUnreachable), 0U);
}

TEST_F(Several, OneThatRestedIsTriedAgain) {
  Serve();
  ::close(second_);
  Answers(listener_);
  Answers(listener_);
  second_ = Listen(second_port_);
  Answers(listener_);
  clock_.Advance(std::chrono::seconds(10));
  Answers(second_);
}

TEST_F(Several, OneThatClosesBeforeItAnswersIsNotTheLastThatIsAsked) {
  Serve();
  Peer client = Client();
  client.Send(kGet);
  AcceptFrom(listener_).Head();  // And it is gone.
  Peer other = AcceptFrom(second_);
  AnswerOk(other, client);
  client.Send("POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n");
  AcceptFrom(listener_).Head();
  EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 502 ")) << "it may have been done";
}

TEST_F(Several, AnswerWith502WhereAllAreDown) {
  Serve();
  ::shutdown(listener_, SHUT_RDWR);
  ::shutdown(second_, SHUT_RDWR);
  Peer client = Client();
  client.Send(kGet);
  EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 502 "));
  EXPECT_EQ(Count(Event::kUpstreamUnreachable), 1U);
}

TEST_F(Several, OneThatBreaksOffThreeTimesInARowRests) {
  Serve();
  for (unsigned i = 0; i < 3; ++i) {
    Peer client = Client();
    client.Send("POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n");
    Peer upstream = AcceptFrom(listener_);
    upstream.Head();
    upstream.Close();
    EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 502 "));
    Answers(second_);
  }
  for (unsigned i = 0; i < 3; ++i) Answers(second_);
  EXPECT_EQ(Alarms().size(), 1U);
}

TEST_F(Proxy, AUnixSocketIsAnUpstreamLikeOthers) {
  const TemporaryFolder folder;
  const std::string path = (folder / "app.sock").string();
  const auto address = net::SocketAddress::Unix(path);
  const int door = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(::bind(door, address->data(), address->size()), 0);
  ASSERT_EQ(::listen(door, 4), 0);
  servers_ = {{.socket_path = path}};
  Serve();
  Peer client = Client();
  client.Send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  Peer upstream = AcceptFrom(door);
  EXPECT_THAT(upstream.Head(), HasSubstr("\r\nHost: localhost\r\n"));
  upstream.Send(kOk);
  EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 200 "));
  client.Send(kGet);
  AnswerOk(upstream, client);
  ::close(door);
}

}  // namespace
}  // namespace sluicegate::gateway
