// What the access log is told of requests.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

#include "gateway/access_record.h"
#include "gateway/proxy_for_test.h"

namespace sluicegate::gateway {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr std::string_view kTwo =
    "access_log: \"-\"\n"
    "timeouts: {header: 200ms, upstream: 200ms, idle: 200ms}\n"
    "rules: [{name: r, key: [client], limits: [{limit: 2/minute, name: few}]}]";

class Access : public Proxy {
 protected:
  Access() {
    on_access_ = [this](const AccessRecord& record) {
      const std::lock_guard lock(mu_);
      records_.push_back(record);
      changed_.notify_all();
    };
  }
  ~Access() override { gateway_.reset(); }  // Before what it calls.

  /// The next request that is over.
  AccessRecord Next() {
    constexpr std::chrono::seconds kPatient{10};
    std::unique_lock lock(mu_);
    if (!changed_.wait_for(lock, kPatient, [this] { return records_.size() > taken_; })) {
      ADD_FAILURE() << "no request is over";
      return {};
    }
    return records_[taken_++];
  }
  /// Those that nobody asked for, once the gateway is gone.
  std::vector<AccessRecord> Others() {
    gateway_.reset();
    const std::lock_guard lock(mu_);
    return {records_.begin() + static_cast<std::ptrdiff_t>(taken_), records_.end()};
  }

  std::mutex mu_;
  std::condition_variable changed_;
  std::vector<AccessRecord> records_;  // Guarded by mu_, as what follows.
  std::size_t taken_ = 0;
};

TEST_F(Access, AForwardedRequestAndADeniedOne) {
  Serve(kTwo);
  Peer client = Client();
  const std::string ask =
      "POST /%61/../b?key=secret HTTP/1.1\r\nHost: API.example:81\r\nContent-Length: 3\r\n"
      "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\nabc";
  client.Send(ask);
  Peer upstream = Upstream();
  upstream.Message();
  clock_.Advance(std::chrono::milliseconds(7));
  upstream.Send(kOk);
  const std::string answer = client.Message();
  const AccessRecord record = Next();
  EXPECT_EQ(record.method, "POST");
  EXPECT_EQ(record.path, "/b");
  EXPECT_EQ(record.host, "API.example:81");
  EXPECT_EQ(record.status, 200);
  EXPECT_TRUE(record.whole);
  EXPECT_EQ(record.request_bytes, 3);
  EXPECT_EQ(record.response_bytes, answer.size());
  EXPECT_EQ(record.begun.engine_ns, 1'000'000'000'000U);
  EXPECT_EQ(record.duration_ns, 7'000'000U);
  EXPECT_EQ(record.verdict, Verdict::kAllowed);
  EXPECT_EQ(record.rule, "r");
  EXPECT_EQ(record.limit, "few");
  EXPECT_EQ(record.upstream, "http://127.0.0.1:" + std::to_string(upstream_port_));
  EXPECT_FALSE(record.upstream_reused);
  EXPECT_EQ(record.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_FALSE(record.tls || record.websocket);
  EXPECT_THAT(answer, HasSubstr(record.request_id));
  EXPECT_THAT(record.request_id, SizeIs(32));

  client.Send(kGet);
  AnswerOk(upstream, client);
  const AccessRecord second = Next();
  EXPECT_TRUE(second.upstream_reused);
  EXPECT_EQ(second.key_hash, record.key_hash) << "one client has one name";
  EXPECT_EQ(second.trace_id, "") << "the one of before";

  client.Send(kGet);
  const std::string denial = client.Message();
  const AccessRecord denied = Next();
  EXPECT_EQ(denied.verdict, Verdict::kLimited);
  EXPECT_EQ(denied.status, 429);
  EXPECT_TRUE(denied.whole);
  EXPECT_EQ(denied.limit, "few");
  EXPECT_EQ(denied.upstream, "");
  EXPECT_EQ(denied.request_bytes, 0);
  EXPECT_EQ(denied.response_bytes, denial.size());
  EXPECT_EQ(denied.key_hash, record.key_hash);
}

TEST_F(Access, WhatIsRefusedBeforeADecision) {
  Serve(kTwo);
  for (const char* text : {"GET /a HTTP/1.1\r\nHost: t\r\nbad field: x\r\n\r\n", "GET /a"}) {
    Peer client = Client();
    client.Send(text);
    const std::string answer = client.Rest();
    const AccessRecord record = Next();
    EXPECT_EQ("HTTP/1.1 " + std::to_string(record.status), answer.substr(0, 12));
    EXPECT_EQ(record.verdict, std::nullopt);
    EXPECT_EQ(record.method + record.path + record.host, "") << "of a head that counts for nothing";
    EXPECT_EQ(record.response_bytes, answer.size());
    EXPECT_TRUE(record.whole);
  }
  Peer client = Client();
  client.Send("GET /a%00?secret HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_THAT(client.Rest(), StartsWith("HTTP/1.1 400 "));
  const AccessRecord record = Next();
  EXPECT_EQ(record.method, "GET");
  EXPECT_EQ(record.path, "") << "nobody knows where the query begins";
  EXPECT_EQ(record.verdict, std::nullopt);
}

TEST_F(Access, WhoNeverAskedIsNoRequest) {
  Serve(kTwo);
  Client().Close();
  Peer client = Client();
  client.Send("GET /a HTTP/1.1\r\nHo");
  client.Finish();
  EXPECT_EQ(client.Rest(), "");
  Peer silent = Client();
  EXPECT_EQ(silent.Rest(), "");
  EXPECT_THAT(Others(), IsEmpty());
}

TEST_F(Access, AServerThatIsGoneOrSilentOrBreaksOff) {
  Serve(kTwo);
  {
    Peer client = Client();
    client.Send(kGet);
    Upstream().Close();
    EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 502 "));
    const AccessRecord broken = Next();
    EXPECT_EQ(broken.status, 502);
    EXPECT_EQ(broken.upstream, "");
    EXPECT_TRUE(broken.whole);
    EXPECT_EQ(broken.verdict, Verdict::kAllowed);
  }
  auto [client, upstream] = Ask();
  upstream.Send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
  upstream.Close();
  client.Rest();
  const AccessRecord cut = Next();
  EXPECT_EQ(cut.status, 200);
  EXPECT_FALSE(cut.whole);
  EXPECT_NE(cut.upstream, "");
}

TEST_F(Access, AClientThatLeavesGotNoAnswer) {
  Serve(kTwo);
  auto [client, upstream] = Ask();
  client.Reset();
  const AccessRecord gone = Next();
  EXPECT_EQ(gone.status, 0);
  EXPECT_FALSE(gone.whole);
  EXPECT_EQ(gone.response_bytes, 0);
  EXPECT_EQ(gone.path, "/a");
  EXPECT_EQ(gone.verdict, Verdict::kAllowed);
}

TEST_F(Access, ADroppedConnectionIsABanWithoutAnAnswer) {
  Serve(
      "access_log: \"-\"\n"
      "rules: [{name: r, key: [client], limits: [1/hour], "
      "penalty: {violations: 1, within: 1m, ban: 5m, answer: drop}}]");
  Peer first = Client();
  first.Send(kGet);
  Peer upstream = Upstream();
  AnswerOk(upstream, first);
  Next();
  AccessRecord record;
  for (int i = 0; i < 4 && record.verdict != Verdict::kBanned; ++i) {
    Peer client = Client();
    client.Send(kGet);
    record = Next();
  }
  EXPECT_EQ(record.verdict, Verdict::kBanned);
  EXPECT_EQ(record.rule, "r");
  EXPECT_EQ(record.limit, "");
  EXPECT_EQ(record.status, 0);
  EXPECT_FALSE(record.whole);
}

TEST_F(Access, BodiesInChunksAreCountedAsTheyComeAndMessagesNamed) {
  Serve("access_log: \"-\"\nrules: []");
  Peer client = Client();
  client.Send("POST /a HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n");
  Peer upstream = Upstream();
  upstream.Until("abcd\r\n");
  client.Send("3\r\nefg\r\n0\r\n\r\n");
  upstream.Until("0\r\n\r\n");
  upstream.Send(kOk);
  client.Message();
  const AccessRecord chunked = Next();
  EXPECT_EQ(chunked.request_bytes, 7);
  EXPECT_EQ(chunked.rule, "") << "nothing binds";
  EXPECT_EQ(chunked.mcp_method, "");

  const std::string call = R"({"jsonrpc":"2.0","id":1,"method":"tools/call",)"
                           R"("params":{"name":"search","arguments":{"q":"secret"}}})";
  client.Send("POST /mcp HTTP/1.1\r\nHost: t\r\nContent-Length: " + std::to_string(call.size()) +
              "\r\n\r\n" + call);
  upstream.Message();
  upstream.Send(kOk);
  client.Message();
  const AccessRecord message = Next();
  EXPECT_EQ(message.mcp_method, "tools/call");
  EXPECT_EQ(message.mcp_tool, "search");
  EXPECT_EQ(message.request_bytes, call.size());
}

TEST_F(Access, AWebSocketIsToldAtItsEnd) {
  Serve("access_log: \"-\"\nrules: []");
  auto [client, upstream] =
      Ask("GET /chat HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
          "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
  upstream.Send(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
  const std::string head = client.Head();
  client.Send("frame");
  EXPECT_EQ(upstream.Bytes(5), "frame");
  upstream.Send("longer frame");
  EXPECT_EQ(client.Bytes(12), "longer frame");
  {
    const std::lock_guard lock(mu_);
    EXPECT_THAT(records_, IsEmpty()) << "it is not over";
  }
  client.Close();
  upstream.Rest();
  upstream.Close();
  const AccessRecord record = Next();
  EXPECT_TRUE(record.websocket);
  EXPECT_EQ(record.status, 101);
  EXPECT_EQ(record.request_bytes, 5);
  EXPECT_EQ(record.response_bytes, head.size() + 12);
}

TEST_F(Access, LongNamesAreCut) {
  Serve("access_log: \"-\"\nrules: []");
  Peer client = Client();
  client.Send("GET /" + std::string(5000, 'x') + " HTTP/1.1\r\nHost: " + std::string(400, 'h') +
              "\r\n\r\n");
  Peer upstream = Upstream();
  AnswerOk(upstream, client);
  const AccessRecord record = Next();
  EXPECT_THAT(record.path, SizeIs(AccessRecord::kMostPath));
  EXPECT_THAT(record.host, SizeIs(AccessRecord::kMostName));
}

TEST_F(Access, WhereItIsOffNobodyIsTold) {
  Serve("rules: []");
  Peer client = Client();
  client.Send(kGet);
  Peer upstream = Upstream();
  AnswerOk(upstream, client);
  EXPECT_THAT(Others(), IsEmpty());
}

}  // namespace
}  // namespace sluicegate::gateway
