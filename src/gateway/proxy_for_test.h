// A gateway between two ends that a test plays itself: a client and an upstream, on blocking
// sockets with a patience of 10 s, so that a test is a script without threads or sleeps.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/manual_clock.h"
#include "config/load.h"
#include "engine/engine.h"
#include "gateway/gateway.h"
#include "gateway/upstream_target.h"

namespace sluicegate::gateway {

inline constexpr timeval kPatience{.tv_sec = 10, .tv_usec = 0};

inline constexpr std::string_view kGet = "GET /a HTTP/1.1\r\nHost: t\r\n\r\n";
inline constexpr std::string_view kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// A policy that limits nothing and waits for nobody.
inline constexpr std::string_view kShort =
    "timeouts: {header: 200ms, idle: 200ms, upstream: 200ms, connect: 200ms}\nrules: []";

inline sockaddr_in Loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

/// One end of a connection.
class Peer {
 public:
  explicit Peer(int fd) : fd_(fd) {
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof(kPatience));
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof(kPatience));
  }
  ~Peer() { Close(); }
  Peer(Peer&& other) noexcept : fd_(std::exchange(other.fd_, -1)), in_(std::move(other.in_)) {}
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  Peer& operator=(Peer&&) = delete;

  static Peer Connect(std::uint16_t port) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = Loopback(port);
    EXPECT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    return Peer(fd);
  }

  void Send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      ASSERT_GT(sent, 0);
      text.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  /// Sends until the other end takes no more, or `most` is sent. The bytes that went.
  std::size_t SendUntilFull(std::size_t most) {
    const std::string block(std::size_t{64} * 1024, 'x');
    std::size_t sent = 0;
    while (sent < most) {
      pollfd wait{.fd = fd_, .events = POLLOUT, .revents = 0};
      if (::poll(&wait, 1, 500) != 1) break;
      const ssize_t now = ::send(fd_, block.data(), block.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (now <= 0) break;
      sent += static_cast<std::size_t>(now);
    }
    return sent;
  }

  /// All bytes up to and including `end`.
  std::string Until(std::string_view end) {
    std::size_t at = 0;
    while ((at = in_.find(end)) == std::string::npos) {
      if (!More()) {
        ADD_FAILURE() << "no '" << end << "' in: " << in_;
        return std::exchange(in_, {});
      }
    }
    return Cut(at + end.size());
  }
  std::string Head() { return Until("\r\n\r\n"); }
  std::string Bytes(std::size_t count) {
    while (in_.size() < count && More()) {
    }
    EXPECT_GE(in_.size(), count);
    return Cut(std::min(count, in_.size()));
  }
  /// A head and its body of Content-Length.
  std::string Message() {
    std::string head = Head();
    const std::size_t at = head.find("Content-Length: ");
    if (at == std::string::npos) return head;
    return head + Bytes(static_cast<std::size_t>(std::atoi(head.c_str() + at + 16)));
  }
  /// What comes until the other end closes; fails if it does not.
  std::string Rest() {
    while (More()) {
    }
    EXPECT_TRUE(ended_) << "the connection stays open";
    return std::exchange(in_, {});
  }
  void Close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  /// Closes so that the other end sees a failure.
  void Reset() {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    Close();
  }
  /// Says that nothing more comes, and goes on reading.
  void Finish() { ::shutdown(fd_, SHUT_WR); }
  /// The other end failed, rather than closed.
  [[nodiscard]] bool was_reset() const { return was_reset_; }

 private:
  bool More() {
    char bytes[16384];
    const ssize_t got = ::recv(fd_, bytes, sizeof(bytes), 0);
    was_reset_ = got < 0 && errno == ECONNRESET;
    if (got == 0 || was_reset_) ended_ = true;
    if (got <= 0) return false;
    in_.append(bytes, static_cast<std::size_t>(got));
    return true;
  }
  std::string Cut(std::size_t count) {
    std::string cut = in_.substr(0, count);
    in_.erase(0, count);
    return cut;
  }

  int fd_;
  std::string in_;
  bool ended_ = false;
  bool was_reset_ = false;
};

class Proxy : public testing::Test {
 protected:
  Proxy() : listener_(Listen(upstream_port_)) {
    clock_.Set({.engine_ns = 1'000'000'000'000, .unix_ns = 1'800'000'000'000'000'000});
  }
  ~Proxy() override { ::close(listener_); }

  /// On `port`; 0: the system chooses, and it is told there.
  static int Listen(std::uint16_t& port) {
    const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    sockaddr_in address = Loopback(port);
    socklen_t size = sizeof(address);
    ::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address));
    ::listen(listener, 16);
    ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
    port = ntohs(address.sin_port);
    ::setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof(kPatience));
    return listener;
  }
  static std::shared_ptr<const policy::Policy> Compile(std::string_view yaml) {
    auto policy = config::ParsePolicy(yaml);
    if (policy) return *policy;
    for (const auto& mistake : policy.error()) {
      ADD_FAILURE() << config::FormatMistake("policy", mistake);
    }
    return nullptr;
  }

  void Serve(std::string_view yaml = "rules: []",
             std::function<void(const http::DenialEvent&)> on_denial = {}) {
    auto policy = Compile(yaml);
    ASSERT_NE(policy, nullptr);
    auto engine = engine::Engine::Create(std::move(policy), HashSecret{});
    ASSERT_TRUE(engine) << engine.error();
    engine_ = std::move(*engine);
    if (servers_.empty()) servers_ = {{.host = "127.0.0.1", .port = upstream_port_}};
    auto upstream = UpstreamGroup::Resolve({.servers = servers_, .tls = upstream_tls_});
    ASSERT_TRUE(upstream) << upstream.error();
    group_ = *std::move(upstream);
    auto gateway = Gateway::Create(
        *engine_, clock_,
        {.listen = listeners_,
         .with = {.upstream = group_, .identities = identities_, .certificates = certificates_},
         .on_denial = std::move(on_denial),
         .on_alarm = on_alarm_,
         .on_access = on_access_});
    ASSERT_TRUE(gateway) << gateway.error();
    gateway_ = std::move(*gateway);
    gateway_->Start();
  }
  Peer Client() { return Peer::Connect(gateway_->port()); }
  /// The next connection that the gateway makes.
  Peer Upstream() { return AcceptFrom(listener_); }
  static Peer AcceptFrom(int listener) {
    const int fd = ::accept(listener, nullptr, nullptr);
    EXPECT_GE(fd, 0) << "the gateway made no connection";
    return Peer(fd);
  }
  struct Ends {
    Peer client;
    Peer upstream;
  };
  /// A client sends a request, and the upstream has read its head.
  Ends Ask(std::string_view request = kGet) {
    Peer client = Client();
    client.Send(request);
    Peer upstream = Upstream();
    upstream.Head();
    return {.client = std::move(client), .upstream = std::move(upstream)};
  }
  /// The upstream answers the next request, and the client reads that.
  static void AnswerOk(Peer& upstream, Peer& client) {
    upstream.Head();
    upstream.Send(kOk);
    client.Message();
  }
  void StopUpstream() { ::shutdown(listener_, SHUT_RDWR); }
  [[nodiscard]] std::uint64_t Count(Event event) const { return gateway_->Read()[event]; }

  ManualClock clock_;
  std::vector<policy::GatewayListener> listeners_ = {
      {.endpoint = {.address = IpAddress::V4({127, 0, 0, 1})}}};
  // Of gateways that start from now on; no servers: the test's own.
  std::vector<policy::UpstreamServer> servers_;
  policy::UpstreamTls upstream_tls_;
  std::function<void(const std::string&)> on_alarm_;
  std::function<void(const AccessRecord&)> on_access_;
  std::shared_ptr<const Certificates> certificates_;
  std::shared_ptr<const identity::Identities> identities_;  // Of gateways that start from now on.
  std::uint16_t upstream_port_ = 0;
  int listener_;
  std::shared_ptr<const UpstreamGroup> group_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<Gateway> gateway_;
};

}  // namespace sluicegate::gateway
