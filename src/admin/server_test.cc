#include "admin/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <future>
#include <string>
#include <thread>

namespace sluicegate::admin {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class IdleHost final : public Host {
 public:
  Readings Read() override { return {}; }
  std::expected<void, std::string> Ready() override { return {}; }
  std::expected<std::vector<std::string>, std::vector<std::string>> Reload() override { return {}; }
  engine::ToolStatistics& Tools() override { return tools_; }
  const AdminToken* Token() override { return nullptr; }

 private:
  engine::ToolStatistics tools_;
};

/// A server on a loop that a thread runs until the test ends.
class ServerTest : public ::testing::Test {
 protected:
  void Start(Server::Bounds bounds) {
    server_ = std::make_unique<Server>(loop_, host_, bounds);
    const auto listening = server_->Listen(IpAddress::V4({127, 0, 0, 1}), 0);
    ASSERT_TRUE(listening) << listening.error();
    port_ = server_->port();
    thread_ = std::thread([this] { loop_.run(); });
  }
  void TearDown() override {
    asio::post(loop_, [this] { server_->Stop(); });
    thread_.join();  // Ends only if stopping leaves nothing behind.
  }

  tcp::socket Connect() {
    tcp::socket socket(client_loop_);
    socket.connect({asio::ip::address_v4::loopback(), port_});
    return socket;
  }
  /// Sends all, then reads until the server closes.
  std::string Exchange(const std::string& bytes) {
    tcp::socket socket = Connect();
    boost::system::error_code error;
    asio::write(socket, asio::buffer(bytes), error);
    std::string reply;
    asio::read(socket, asio::dynamic_buffer(reply), error);
    return reply;
  }

  IdleHost host_;
  asio::io_context loop_;
  asio::io_context client_loop_;
  std::unique_ptr<Server> server_;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

constexpr char kGet[] = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
constexpr char kGetAndClose[] = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

TEST_F(ServerTest, AnswersAndCloses) {
  Start({});
  const std::string reply = Exchange(kGetAndClose);
  EXPECT_THAT(reply, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(reply, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(reply, ::testing::EndsWith("\r\n\r\nok\n"));
}

TEST_F(ServerTest, AnswersPipelinedRequestsInOrder) {
  Start({});
  const std::string reply = Exchange(std::string(kGet) +
                                     "POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: "
                                     "5\r\n\r\nhello" +
                                     kGetAndClose);
  const auto first = reply.find("HTTP/1.1 200");
  const auto second = reply.find("HTTP/1.1 405");
  EXPECT_EQ(first, 0U);
  ASSERT_NE(second, std::string::npos);
  EXPECT_NE(reply.find("HTTP/1.1 200", second), std::string::npos) << reply;
}

TEST_F(ServerTest, HeadHasNoBody) {
  Start({});
  const std::string reply =
      Exchange("HEAD /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(reply, HasSubstr("Content-Length: 3\r\n"));
  EXPECT_THAT(reply, ::testing::EndsWith("\r\n\r\n"));
}

TEST_F(ServerTest, AuthorizationTwiceCountsAsNone) {
  Start({});
  const std::string reply = Exchange(
      "POST /api/v1/reload HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer "
      "a\r\nAuthorization: Bearer b\r\n\r\n");
  EXPECT_THAT(reply, StartsWith("HTTP/1.1 403"));
}

TEST_F(ServerTest, RefusesNonsenseAndLargeBodies) {
  Start({.body_bytes = 1000});
  EXPECT_THAT(Exchange("nonsense\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  const std::string post = "POST /api/v1/reload HTTP/1.1\r\nHost: a\r\n";
  EXPECT_THAT(Exchange(post + "Content-Length: 1001\r\n\r\n" + std::string(1001, 'a')),
              StartsWith("HTTP/1.1 413"));
  const std::string chunk = "1f4\r\n" + std::string(500, 'a') + "\r\n";
  EXPECT_THAT(Exchange(post + "Transfer-Encoding: chunked\r\n\r\n" + chunk + chunk + chunk),
              StartsWith("HTTP/1.1 413"));
}

TEST_F(ServerTest, ASlowHeadIsClosed) {
  Start({.header = std::chrono::milliseconds(50)});
  tcp::socket socket = Connect();
  asio::write(socket, asio::buffer(std::string("GET / HT")));
  std::string reply;
  boost::system::error_code error;
  asio::read(socket, asio::dynamic_buffer(reply), error);  // Returns when the server closes.
  EXPECT_EQ(reply, "");
}

TEST_F(ServerTest, ASilentConnectionIsClosed) {
  Start({.idle = std::chrono::milliseconds(50)});
  tcp::socket socket = Connect();
  std::string reply;
  boost::system::error_code error;
  asio::read(socket, asio::dynamic_buffer(reply), error);
  EXPECT_EQ(reply, "");
}

TEST_F(ServerTest, OneConnectionTooManyIsClosed) {
  Start({.connections = 2});
  tcp::socket one = Connect();
  tcp::socket two = Connect();
  for (tcp::socket* const socket : {&one, &two}) {
    asio::write(*socket, asio::buffer(std::string(kGet)));
    char byte = 0;
    asio::read(*socket, asio::buffer(&byte, 1));  // It is served, so it is counted.
  }
  EXPECT_EQ(Exchange(kGet), "");
  one.close();
  while (Exchange(kGetAndClose).empty()) {
    std::this_thread::yield();  // Until the server sees that one left.
  }
}

TEST_F(ServerTest, APortInUseIsAnError) {
  Start({});
  Server second(client_loop_, host_);
  const auto listening = second.Listen(IpAddress::V4({127, 0, 0, 1}), port_);
  ASSERT_FALSE(listening);
  EXPECT_THAT(listening.error(), HasSubstr("in use"));
}

}  // namespace
}  // namespace sluicegate::admin
