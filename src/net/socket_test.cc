// Sockets on real connections: what reading and writing tell, what ends a wait, and TLS between two
// of them.
#include "net/socket.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/temporary_folder_for_test.h"
#include "net/listener.h"
#include "net/pieces.h"
#include "net/tls.h"

namespace sluicegate::net {
namespace {

using namespace std::chrono_literals;

// Two ends of a connection on one loop.
class SocketTest : public testing::Test {
 protected:
  SocketTest() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()), 0);
    a_ = std::make_unique<Socket>(loop_, FileDescriptor(ends[0]));
    b_ = std::make_unique<Socket>(loop_, FileDescriptor(ends[1]));
  }
  ~SocketTest() override {
    a_->Close();
    b_->Close();
    loop_.RunReady();
  }

  // Runs the task until it is over, or for 10 s.
  template <class T>
  T Await(Task<T> task) {
    std::optional<T> result;
    auto run = [](Task<T> inner, std::optional<T>& out) -> Task<void> { out = co_await inner; };
    Spawn(run(std::move(task), result), 0);
    const auto end = std::chrono::steady_clock::now() + 10s;
    while (!result && std::chrono::steady_clock::now() < end) loop_.RunOnce(100ms);
    EXPECT_TRUE(result.has_value()) << "it still waits";
    return std::move(result).value_or(T{});
  }
  static Task<Transfer> Read(Socket& socket, std::span<char> room) {
    co_return co_await socket.ReadSome(room);
  }
  static Task<int> Write(Socket& socket, std::string_view bytes) {
    Pieces pieces(bytes);
    co_return co_await pieces.Write(socket);
  }
  // Begins a task whose result is looked at later.
  template <class T>
  std::shared_ptr<std::optional<T>> Begin(Task<T> task) {
    auto result = std::make_shared<std::optional<T>>();
    auto run = [](Task<T> inner, std::shared_ptr<std::optional<T>> out) -> Task<void> {
      *out = co_await inner;
    };
    Spawn(run(std::move(task), result), result);
    return result;
  }

  EventLoop loop_;
  std::unique_ptr<Socket> a_;
  std::unique_ptr<Socket> b_;
  std::array<char, 64> room_{};
};

TEST_F(SocketTest, ReadsWhatTheOtherEndWrites) {
  EXPECT_EQ(Await(Write(*a_, "hello")), kNoError);
  const Transfer read = Await(Read(*b_, room_));
  EXPECT_EQ(read.error, kNoError);
  EXPECT_EQ(std::string_view(room_.data(), read.bytes), "hello");
}

TEST_F(SocketTest, AReadThatBeganBeforeThereWereBytesGetsThem) {
  const auto read = Begin(Read(*b_, room_));
  loop_.RunReady();
  EXPECT_FALSE(read->has_value());
  EXPECT_EQ(Await(Write(*a_, "late")), kNoError);
  loop_.RunReady();
  ASSERT_TRUE(read->has_value());
  EXPECT_EQ((*read)->bytes, 4U);
}

TEST_F(SocketTest, TellsTheEndBehindTheLastByte) {
  EXPECT_EQ(Await(Write(*a_, "bye")), kNoError);
  a_->Close();
  EXPECT_EQ(Await(Read(*b_, room_)).bytes, 3U);
  EXPECT_EQ(Await(Read(*b_, room_)).error, kEndOfStream);
}

TEST_F(SocketTest, BytesBehindAShortReadAreTold) {
  std::array<char, 2> little{};
  EXPECT_EQ(Await(Write(*a_, "abc")), kNoError);
  EXPECT_EQ(Await(Read(*b_, little)).bytes, 2U);
  EXPECT_EQ(Await(Read(*b_, little)).bytes, 1U);
  EXPECT_EQ(Await(Write(*a_, "d")), kNoError);
  EXPECT_EQ(Await(Read(*b_, little)).bytes, 1U);
}

TEST_F(SocketTest, CancelEndsTheWaitsUnderWayAndNoLaterOnes) {
  const auto read = Begin(Read(*b_, room_));
  b_->Cancel();
  EXPECT_FALSE(read->has_value()) << "it ends in a turn of its own, not within the call";
  loop_.RunReady();
  ASSERT_TRUE(read->has_value());
  EXPECT_EQ((*read)->error, ECANCELED);
  b_->Cancel();
  EXPECT_EQ(Await(Write(*a_, "x")), kNoError);
  EXPECT_EQ(Await(Read(*b_, room_)).bytes, 1U);
}

TEST_F(SocketTest, OneDirectionMayBeCanceledAlone) {
  const auto read = Begin(Read(*b_, room_));
  b_->CancelWriter();
  loop_.RunReady();
  EXPECT_FALSE(read->has_value());
  b_->CancelReader();
  loop_.RunReady();
  ASSERT_TRUE(read->has_value());
  EXPECT_EQ((*read)->error, ECANCELED);
}

TEST_F(SocketTest, CloseEndsWaitsForGood) {
  const auto read = Begin(Read(*b_, room_));
  b_->Close();
  loop_.RunReady();
  ASSERT_TRUE(read->has_value());
  EXPECT_EQ((*read)->error, ECANCELED);
  EXPECT_EQ(Await(Read(*b_, room_)).error, ECANCELED);
  EXPECT_EQ(Await(Write(*b_, "x")), ECANCELED);
}

TEST_F(SocketTest, AWriteWaitsForAReaderThatIsSlow) {
  const std::string much(std::size_t{4} << 20U, 'x');
  const auto written = Begin(Write(*a_, much));
  loop_.RunReady();
  EXPECT_FALSE(written->has_value());
  std::vector<char> room(std::size_t{1} << 20U);
  std::size_t read = 0;
  while (read < much.size()) read += Await(Read(*b_, room)).bytes;
  loop_.RunReady();
  ASSERT_TRUE(written->has_value());
  EXPECT_EQ(**written, kNoError);
}

TEST_F(SocketTest, AReaderThatNeverWaitsLetsOthersHaveTheirTurn) {
  const std::string much(1000, 'x');
  EXPECT_EQ(Await(Write(*a_, much)), kNoError);
  std::size_t reads = 0;
  auto read_all = [](Socket& socket, std::size_t& count) -> Task<void> {
    char byte = 0;
    for (;;) {
      const Transfer read = co_await socket.ReadSome(std::span(&byte, 1));
      if (read.error != kNoError) co_return;
      ++count;
    }
  };
  Spawn(read_all(*b_, reads), 0);
  EXPECT_LT(reads, 100U);
  loop_.RunOnce(0ms);
  EXPECT_LT(reads, 100U);
  loop_.RunReady();
  EXPECT_EQ(reads, 1000U);
}

struct Watcher final : Socket::HangupListener {
  void OnHangup() override { ++told; }
  unsigned told = 0;
};

TEST_F(SocketTest, AHangUpIsToldBehindBytesThatNobodyReads) {
  Watcher watcher;
  b_->WatchHangup(&watcher);
  EXPECT_EQ(Await(Write(*a_, "next request")), kNoError);
  loop_.RunReady();
  EXPECT_EQ(watcher.told, 0U);
  a_->ShutdownSend();
  loop_.RunReady();
  EXPECT_EQ(watcher.told, 1U);
  EXPECT_EQ(Await(Read(*b_, room_)).bytes, 12U) << "the bytes are still there";
  b_->WatchHangup(&watcher);
  loop_.RunReady();
  EXPECT_EQ(watcher.told, 2U) << "one that has happened is told as well";
  EXPECT_FALSE(b_->lost());
  a_->Close();
  loop_.RunReady();
  EXPECT_EQ(watcher.told, 3U) << "and that nobody reads either";
  EXPECT_TRUE(b_->lost());
}

TEST_F(SocketTest, HasBytesOrEndedLooksWithoutReading) {
  EXPECT_FALSE(b_->HasBytesOrEnded());
  EXPECT_EQ(Await(Write(*a_, "x")), kNoError);
  EXPECT_TRUE(b_->HasBytesOrEnded());
  EXPECT_EQ(Await(Read(*b_, room_)).bytes, 1U);
  EXPECT_FALSE(b_->HasBytesOrEnded());
  a_->Close();
  EXPECT_TRUE(b_->HasBytesOrEnded());
}

TEST_F(SocketTest, ConnectsToAListenerAndIsRefusedWithoutOne) {
  auto listener = Listener::Open(loop_, IpAddress::V4({127, 0, 0, 1}), 0, Sharing::kAlone);
  ASSERT_TRUE(listener) << listener.error();
  std::unique_ptr<Socket> accepted;
  (*listener)->Start([&](FileDescriptor connection, const IpAddress& /*peer*/) {
    accepted = std::make_unique<Socket>(loop_, std::move(connection));
  });
  const SocketAddress address(IpAddress::V4({127, 0, 0, 1}), (*listener)->port());
  Socket client(loop_);
  EXPECT_EQ(Await(client.Connect(address)), kNoError);
  loop_.RunReady();
  ASSERT_NE(accepted, nullptr);
  EXPECT_EQ(Await(Write(*accepted, "hi")), kNoError);
  EXPECT_EQ(Await(Read(client, room_)).bytes, 2U);
  (*listener)->Close();
  Socket late(loop_);
  EXPECT_EQ(Await(late.Connect(address)), ECONNREFUSED);
}

// The system says at once that the queue is full, and never that it no longer is.
TEST_F(SocketTest, WaitsForAUnixSocketWhoseQueueIsFull) {
  const TemporaryFolder folder;
  const auto address = SocketAddress::Unix((folder / "door").string());
  ASSERT_TRUE(address);
  const FileDescriptor listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::bind(listener.get(), address->data(), address->size()), 0);
  ASSERT_EQ(::listen(listener.get(), 0), 0);
  Socket first(loop_);
  EXPECT_EQ(Await(first.Connect(*address)), kNoError);
  Socket second(loop_);
  const auto connected = Begin(second.Connect(*address));
  Socket third(loop_);
  const auto canceled = Begin(third.Connect(*address));
  loop_.RunReady();
  EXPECT_FALSE(*connected) << "it waits";
  third.Close();
  loop_.RunReady();
  EXPECT_EQ(canceled->value_or(kNoError), ECANCELED);
  const FileDescriptor taken(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  EXPECT_TRUE(taken.is_open());
  const auto end = std::chrono::steady_clock::now() + 10s;
  while (!*connected && std::chrono::steady_clock::now() < end) loop_.RunOnce(100ms);
  EXPECT_EQ(connected->value_or(ETIMEDOUT), kNoError);
}

TEST_F(SocketTest, ConnectsToAUnixSocket) {
  const TemporaryFolder folder;
  const auto address = SocketAddress::Unix((folder / "door").string());
  ASSERT_TRUE(address);
  Socket early(loop_);
  EXPECT_EQ(Await(early.Connect(*address)), ENOENT);
  const FileDescriptor door(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::bind(door.get(), address->data(), address->size()), 0);
  ASSERT_EQ(::listen(door.get(), 4), 0);
  Socket client(loop_);
  EXPECT_EQ(Await(client.Connect(*address)), kNoError);
}

TEST(SocketAddressTest, TextsAreAsPeopleWriteThem) {
  EXPECT_EQ(SocketAddress(IpAddress::V4({192, 0, 2, 1}), 80).Text(), "192.0.2.1:80");
  EXPECT_EQ(SocketAddress(*IpAddress::Parse("2001:db8::1"), 80).Text(), "[2001:db8::1]:80");
  EXPECT_EQ(SocketAddress::Unix("/run/app.sock")->Text(), "unix:/run/app.sock");
  EXPECT_FALSE(SocketAddress::Unix(std::string(108, 'x')));
  EXPECT_TRUE(SocketAddress(IpAddress::V4({127, 1, 2, 3}), 0).is_loopback());
  EXPECT_TRUE(SocketAddress(*IpAddress::Parse("::1"), 0).is_loopback());
  EXPECT_FALSE(SocketAddress(IpAddress(), 0).is_loopback());
}

// TLS: a certificate authority and a server's certificate, made anew for each test by openssl.
class TlsTest : public SocketTest {
 protected:
  TlsTest() {
    Run("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority "
        "-keyout ca.key -out ca.pem");
    Run("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=server.test "
        "-keyout key.pem -out request.pem");
    std::FILE* const names = std::fopen(File("names").c_str(), "w");
    std::fputs("subjectAltName=DNS:server.test,IP:127.0.0.1\n", names);
    std::fclose(names);
    Run("x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 "
        "-extfile names -out cert.pem");
  }
  void Run(const std::string& arguments) {
    const std::string command =
        "cd " + folder_.path().string() + " && openssl " + arguments + " 2>/dev/null";
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
  }
  [[nodiscard]] std::string File(const std::string& name) const {
    return (folder_ / name).string();
  }
  // The handshake's errors of both ends.
  std::pair<int, int> Greet(const TlsContext& client, const std::string& name) {
    auto server = TlsContext::ForServer({.certificate = File("cert.pem"), .key = File("key.pem")});
    EXPECT_TRUE(server) << server.error();
    b_->UseTls((*server)->Accept());
    a_->UseTls(client.Connect(name));
    const auto served = Begin(b_->Handshake());
    const int connected = Await(a_->Handshake());
    if (connected != kNoError) a_->Close();
    loop_.RunReady();
    return {connected, served->value_or(ECANCELED)};
  }
  std::shared_ptr<const TlsContext> Client(bool verify = true) {
    auto client = TlsContext::ForClient({.ca_file = File("ca.pem"), .verify = verify});
    EXPECT_TRUE(client) << client.error();
    return *client;
  }

  const TemporaryFolder folder_;
};

TEST_F(TlsTest, CarriesBytesBothWays) {
  const auto client = Client();
  EXPECT_EQ(Greet(*client, "server.test"), std::pair(kNoError, kNoError));
  EXPECT_EQ(Await(Write(*a_, "ping")), kNoError);
  EXPECT_EQ(Await(Read(*b_, room_)).bytes, 4U);
  EXPECT_EQ(Await(Write(*b_, "pong!")), kNoError);
  EXPECT_EQ(Await(Read(*a_, room_)).bytes, 5U);
  b_->Close();
  EXPECT_EQ(Await(Read(*a_, room_)).error, kEndOfStream);
}

TEST_F(TlsTest, CarriesMuchThroughASlowReader) {
  const auto client = Client();
  EXPECT_EQ(Greet(*client, "127.0.0.1"), std::pair(kNoError, kNoError));
  std::string much(std::size_t{3} << 20U, 'x');
  for (std::size_t i = 0; i < much.size(); ++i) much[i] = static_cast<char>(i * 31 >> 3U);
  const auto written = Begin(Write(*a_, much));
  std::string got;
  std::vector<char> room(50'000);
  while (got.size() < much.size()) {
    const Transfer read = Await(Read(*b_, room));
    ASSERT_EQ(read.error, kNoError);
    got.append(room.data(), read.bytes);
  }
  EXPECT_EQ(got, much);
  loop_.RunReady();
  EXPECT_EQ(written->value_or(-9), kNoError);
}

// Relays what comes to an end that gets it in small packets, each of which is a read of its own.
Task<void> RelayInPackets(Socket& from, Socket& to) {
  constexpr std::size_t kPacket = 100;
  std::array<char, std::size_t{32} * 1024> room{};
  for (;;) {
    const Transfer read = co_await from.ReadSome(room);
    if (read.error != kNoError) co_return;
    for (std::size_t i = 0; i < read.bytes; i += kPacket) {
      Pieces packet(std::string_view(room.data() + i, std::min(kPacket, read.bytes - i)));
      const int error = co_await packet.Write(to);
      if (error != kNoError) co_return;
    }
  }
}

TEST_F(TlsTest, HowManyPiecesARecordComesInDoesNotMatter) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()),
            0);
  const auto near = std::exchange(b_, std::make_unique<Socket>(loop_, FileDescriptor(ends[0])));
  const auto far = std::make_unique<Socket>(loop_, FileDescriptor(ends[1]));
  const auto forth = std::make_shared<int>();  // Each lives as long as its relay.
  Spawn(RelayInPackets(*near, *far), forth);
  Spawn(RelayInPackets(*far, *near), forth);
  const auto client = Client();
  EXPECT_EQ(Greet(*client, "server.test"), std::pair(kNoError, kNoError));
  const std::string whole(16'000, 'x');  // One record, 160 packets.
  EXPECT_EQ(Await(Write(*a_, whole)), kNoError);
  std::vector<char> room(whole.size());
  const Transfer read = Await(Read(*b_, room));
  EXPECT_EQ(read.error, kNoError);
  EXPECT_EQ(std::string_view(room.data(), read.bytes), whole.substr(0, read.bytes));
  EXPECT_GT(read.bytes, 0U);
  near->Close();
  far->Close();
  loop_.RunReady();
}

// Whoever cuts the connection could otherwise make a part pass for the whole.
TEST_F(TlsTest, AnEndWithoutAGoodbyeIsNoEnd) {
  const auto client = Client();
  EXPECT_EQ(Greet(*client, "server.test"), std::pair(kNoError, kNoError));
  EXPECT_EQ(Await(Write(*b_, "part")), kNoError);
  b_->Reset();
  EXPECT_EQ(Await(Read(*a_, room_)).bytes, 4U);
  EXPECT_EQ(Await(Read(*a_, room_)).error, kBrokenTls);
}

// What lies in TLS's own buffer is seen as well, or it would pass for the answer to somebody else.
TEST_F(TlsTest, BytesThatTlsHasTakenAreSeen) {
  const auto client = Client();
  EXPECT_EQ(Greet(*client, "server.test"), std::pair(kNoError, kNoError));
  EXPECT_EQ(Await(Write(*b_, "answer")), kNoError);
  EXPECT_EQ(Await(Write(*b_, "left over")), kNoError);
  EXPECT_EQ(Await(Read(*a_, room_)).bytes, 6U);
  EXPECT_TRUE(a_->HasBytesOrEnded());
  EXPECT_EQ(Await(Read(*a_, room_)).bytes, 9U);
  EXPECT_FALSE(a_->HasBytesOrEnded());
}

TEST_F(TlsTest, AServerOfAnotherNameIsNotTrusted) {
  const auto client = Client();
  EXPECT_EQ(Greet(*client, "other.test").first, kBrokenTls);
  EXPECT_NE(a_->tls()->failure().find("mismatch"), std::string::npos) << a_->tls()->failure();
}

TEST_F(TlsTest, AServerOfAnUnknownAuthorityIsNotTrusted) {
  auto client = TlsContext::ForClient({});
  ASSERT_TRUE(client) << client.error();
  EXPECT_EQ(Greet(**client, "server.test").first, kBrokenTls);
}

TEST_F(TlsTest, AnyServerIsTrustedWhereNothingIsVerified) {
  const auto client = Client(false);
  EXPECT_EQ(Greet(*client, "other.test"), std::pair(kNoError, kNoError));
}

TEST_F(TlsTest, WhatIsNoTlsIsRefused) {
  auto server = TlsContext::ForServer({.certificate = File("cert.pem"), .key = File("key.pem")});
  ASSERT_TRUE(server) << server.error();
  b_->UseTls((*server)->Accept());
  EXPECT_EQ(Await(Write(*a_, "GET / HTTP/1.1\r\n\r\n")), kNoError);
  EXPECT_EQ(Await(b_->Handshake()), kBrokenTls);
  EXPECT_EQ(Await(Read(*b_, room_)).error, kBrokenTls);
}

TEST_F(TlsTest, FilesThatCannotBeUsedAreToldWithTheirMend) {
  const auto missing =
      TlsContext::ForServer({.certificate = File("no.pem"), .key = File("key.pem")});
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().find("no.pem"), std::string::npos) << missing.error();
  EXPECT_NE(missing.error().find("No such file"), std::string::npos) << missing.error();
  const auto other =
      TlsContext::ForServer({.certificate = File("cert.pem"), .key = File("ca.key")});
  ASSERT_FALSE(other);
  EXPECT_NE(other.error().find("ca.key"), std::string::npos) << other.error();
  const auto authority = TlsContext::ForClient({.ca_file = File("key.pem")});
  ASSERT_FALSE(authority);
}

}  // namespace
}  // namespace sluicegate::net
