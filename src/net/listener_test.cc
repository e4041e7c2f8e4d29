// Listeners on real sockets: which port, what a failure says, who connects, and when it is over. A
// client connects before the loop runs, as the system accepts into the backlog by itself.
#include "net/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace sluicegate::net {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

const IpAddress kLoopback = IpAddress::V4({127, 0, 0, 1});
const IpAddress kLoopback6 = *IpAddress::Parse("::1");

// A blocking client; `error()` is what connect said.
class Client {
 public:
  explicit Client(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const auto* plain = reinterpret_cast<const sockaddr*>(&address);
    error_ = ::connect(fd_, plain, sizeof(address)) == 0 ? 0 : errno;
  }
  ~Client() { ::close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  [[nodiscard]] int error() const { return error_; }
  // Whether the other end closed, waiting for it.
  [[nodiscard]] bool IsClosed() const {
    char byte = 0;
    return ::recv(fd_, &byte, 1, 0) <= 0;
  }

 private:
  int fd_;
  int error_ = 0;
};

std::unique_ptr<Listener> Open(EventLoop& loop, std::uint16_t port, Sharing sharing) {
  auto listener = Listener::Open(loop, kLoopback, port, sharing);
  EXPECT_TRUE(listener.has_value()) << (listener ? "" : listener.error());
  return listener ? std::move(*listener) : nullptr;
}

std::string ErrorOf(EventLoop& loop, const IpAddress& address, std::uint16_t port,
                    Sharing sharing) {
  auto listener = Listener::Open(loop, address, port, sharing);
  return listener ? "listens" : listener.error();
}

bool HasIpv6() {
  EventLoop loop;
  return Listener::Open(loop, kLoopback6, 0, Sharing::kAlone).has_value();
}

TEST(Listener, PortZeroIsWhatTheSystemChooses) {
  EventLoop loop;
  const auto a = Open(loop, 0, Sharing::kAlone);
  const auto b = Open(loop, 0, Sharing::kAlone);
  EXPECT_NE(a->port(), 0U);
  EXPECT_NE(b->port(), 0U);
  EXPECT_NE(a->port(), b->port());
}

TEST(Listener, ClientsCanConnectBeforeItStarts) {
  EventLoop loop;
  const auto listener = Open(loop, 0, Sharing::kAlone);
  EXPECT_EQ(Client(listener->port()).error(), 0);
}

TEST(Listener, ASocketThatAnotherOneHasToOutlivesItsClosing) {
  EventLoop loop;
  auto first = Open(loop, 0, Sharing::kShared);
  const auto second = Listener::Adopt(loop, FileDescriptor(::dup(first->descriptor())));
  EXPECT_EQ(second->port(), first->port());
  unsigned first_accepted = 0;
  first->Start([&first_accepted](FileDescriptor, const IpAddress&) { ++first_accepted; });
  loop.RunReady();
  const Client waits(first->port());  // In the queue when the first one closes.
  first->Close();
  EXPECT_LT(first->descriptor(), 0);
  const Client later(second->port());
  EXPECT_EQ(later.error(), 0);
  unsigned accepted = 0;
  second->Start([&accepted](FileDescriptor, const IpAddress& peer) {
    ++accepted;
    EXPECT_EQ(peer, kLoopback);
  });
  loop.RunReady();
  EXPECT_EQ(accepted, 2U);
  EXPECT_EQ(first_accepted, 0U);
}

TEST(Listener, APortInUseIsToldWithItsMend) {
  EventLoop loop;
  const auto first = Open(loop, 0, Sharing::kAlone);
  const std::string expected = "cannot listen on 127.0.0.1:" + std::to_string(first->port()) +
                               ": Address already in use. Stop the program that listens there, or "
                               "choose another port.";
  EXPECT_EQ(ErrorOf(loop, kLoopback, first->port(), Sharing::kAlone), expected);
  EXPECT_EQ(ErrorOf(loop, kLoopback, first->port(), Sharing::kShared), expected);
}

TEST(Listener, ThoseThatShareListenSideBySideButNotWithOneAlone) {
  EventLoop loop;
  const auto first = Open(loop, 0, Sharing::kShared);
  const auto second = Open(loop, first->port(), Sharing::kShared);
  EXPECT_EQ(first->port(), second->port());
  EXPECT_THAT(ErrorOf(loop, kLoopback, first->port(), Sharing::kAlone), HasSubstr("in use"));
}

TEST(Listener, AnAddressOfAnotherMachineIsToldWithItsMend) {
  EventLoop loop;
  EXPECT_EQ(ErrorOf(loop, IpAddress::V4({192, 0, 2, 1}), 0, Sharing::kAlone),
            "cannot listen on 192.0.2.1:0: Cannot assign requested address. Choose an address that "
            "this machine has.");
}

TEST(Listener, AnIpv6AddressIsToldInBrackets) {
  if (!HasIpv6()) GTEST_SKIP() << "this machine has no IPv6";
  EventLoop loop;
  auto first = Listener::Open(loop, kLoopback6, 0, Sharing::kAlone);
  ASSERT_TRUE(first.has_value());
  EXPECT_THAT(ErrorOf(loop, kLoopback6, (*first)->port(), Sharing::kAlone),
              HasSubstr("cannot listen on [::1]:" + std::to_string((*first)->port()) + ": "));
}

// Gives up the right to low ports for a while, in this thread alone.
class WithoutLowPorts {
 public:
  WithoutLowPorts() {
    ::syscall(SYS_capget, &header_, before_);
    __user_cap_data_struct less[2] = {before_[0], before_[1]};
    less[0].effective &= ~(1U << CAP_NET_BIND_SERVICE);
    ::syscall(SYS_capset, &header_, less);
  }
  ~WithoutLowPorts() { ::syscall(SYS_capset, &header_, before_); }
  WithoutLowPorts(const WithoutLowPorts&) = delete;
  WithoutLowPorts& operator=(const WithoutLowPorts&) = delete;

 private:
  __user_cap_header_struct header_{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct before_[2]{};
};

TEST(Listener, ALowPortIsToldWithItsMend) {
  unsigned first_free = 1024;
  std::ifstream("/proc/sys/net/ipv4/ip_unprivileged_port_start") >> first_free;
  if (first_free <= 1) GTEST_SKIP() << "this machine gives low ports to everybody";
  const WithoutLowPorts without;
  EventLoop loop;
  EXPECT_EQ(
      ErrorOf(loop, kLoopback, 1, Sharing::kAlone),
      "cannot listen on 127.0.0.1:1: Permission denied. Choose a port above 1023, or give the "
      "program CAP_NET_BIND_SERVICE.");
}

TEST(Listener, EveryConnectionIsHandedOverWithItsPeerReadyForTheLoop) {
  EventLoop loop;
  const auto listener = Open(loop, 0, Sharing::kAlone);
  const Client a(listener->port());
  const Client b(listener->port());
  std::vector<FileDescriptor> accepted;
  listener->Start([&](FileDescriptor connection, const IpAddress& peer) {
    EXPECT_EQ(peer, kLoopback);
    EXPECT_NE(::fcntl(connection.get(), F_GETFL) & O_NONBLOCK, 0);
    for (const auto& [level, name] : {std::pair<int, int>(IPPROTO_TCP, TCP_NODELAY),
                                      std::pair<int, int>(SOL_SOCKET, SO_KEEPALIVE)}) {
      int value = 0;
      socklen_t size = sizeof(value);
      ::getsockopt(connection.get(), level, name, &value, &size);
      EXPECT_NE(value, 0) << name;
    }
    accepted.push_back(std::move(connection));
    if (accepted.size() == 2) loop.Stop();
  });
  loop.Run();
  EXPECT_EQ(accepted.size(), 2U);
  EXPECT_EQ(listener->pauses(), 0U);
}

TEST(Listener, AClientOfADualListenerHasItsIpv4Address) {
  EventLoop loop;
  auto opened = Listener::Open(loop, IpAddress(), 0, Sharing::kAlone);  // [::]
  if (!opened) GTEST_SKIP() << opened.error();
  const Client client((*opened)->port());
  if (client.error() != 0) GTEST_SKIP() << "this machine keeps IPv4 and IPv6 apart";
  IpAddress peer;
  (*opened)->Start([&](const FileDescriptor& /*connection*/, const IpAddress& from) {
    peer = from;
    loop.Stop();
  });
  loop.Run();
  EXPECT_EQ(peer, kLoopback);
}

TEST(Listener, AClosedOneRefusesAndItsLoopEnds) {
  EventLoop loop;
  const auto listener = Open(loop, 0, Sharing::kAlone);
  listener->Start(
      [](const FileDescriptor& /*connection*/, const IpAddress& /*peer*/) { ADD_FAILURE(); });
  loop.Post([&] {
    listener->Close();
    loop.Stop();
  });
  loop.Run();  // Returns.
  EXPECT_EQ(Client(listener->port()).error(), ECONNREFUSED);
}

TEST(Listener, MayBeClosedByTheConnectionThatItHandsOver) {
  EventLoop loop;
  const auto listener = Open(loop, 0, Sharing::kAlone);
  const Client a(listener->port());
  const Client b(listener->port());
  unsigned accepted = 0;
  listener->Start([&](const FileDescriptor& /*connection*/, const IpAddress& /*peer*/) {
    ++accepted;
    listener->Close();
    loop.Stop();
  });
  loop.Run();  // Returns.
  EXPECT_EQ(accepted, 1U);
}

TEST(Listener, MayBeClosedBeforeItStarts) {
  EventLoop loop;
  const auto listener = Open(loop, 0, Sharing::kAlone);
  listener->Close();
  listener->Start(
      [](const FileDescriptor& /*connection*/, const IpAddress& /*peer*/) { ADD_FAILURE(); });
  loop.RunReady();
}

// A connection that waits in the backlog is accepted at once but handed over a turn later. Whoever
// closes in between expects none any more; this tries all turns of two connections.
TEST(Listener, AClosedOneHandsNothingOverAnyMore) {
  for (unsigned turns = 0; turns < 8; ++turns) {
    EventLoop loop;
    const auto listener = Open(loop, 0, Sharing::kAlone);
    const Client first(listener->port());
    const Client second(listener->port());
    bool closed = false;
    listener->Start([&closed, turns](const FileDescriptor& /*connection*/,
                                     const IpAddress& /*peer*/) { EXPECT_FALSE(closed) << turns; });
    unsigned turn = 0;
    std::function<void()> close_later = [&] {
      if (turn++ < turns) {
        loop.Post(close_later);
        return;
      }
      closed = true;
      listener->Close();
      loop.Stop();
    };
    loop.Post(close_later);
    loop.Run();  // Returns.
    EXPECT_TRUE(first.IsClosed());
    EXPECT_TRUE(second.IsClosed());
  }
}

// Closing would reset those that wait.
TEST(Listener, AFinishedOneHandsOverWhatWaits) {
  EventLoop loop;
  const auto listener = Open(loop, 0, Sharing::kAlone);
  std::vector<FileDescriptor> accepted;
  listener->Start([&accepted](FileDescriptor connection, const IpAddress& /*peer*/) {
    accepted.push_back(std::move(connection));
  });
  std::vector<std::unique_ptr<Client>> clients;
  constexpr std::size_t kMany = 100;  // More than are taken at once.
  for (std::size_t i = 0; i < kMany; ++i) {
    clients.push_back(std::make_unique<Client>(listener->port()));
  }
  listener->Finish();
  EXPECT_EQ(accepted.size(), kMany);
  EXPECT_EQ(Client(listener->port()).error(), ECONNREFUSED);
}

// With no descriptor left the connection waits in the backlog; the pause is real, 100 ms.
TEST(Listener, PausesWhileTheSystemHasNoDescriptorAndThenGoesOn) {
  EventLoop loop;
  const auto listener = Open(loop, 0, Sharing::kAlone);
  const Client client(listener->port());
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const int lowest_free = ::dup(0);
  ::close(lowest_free);
  const rlimit none_left{.rlim_cur = static_cast<rlim_t>(lowest_free), .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none_left), 0);
  unsigned accepted = 0;
  listener->Start([&](const FileDescriptor& /*connection*/, const IpAddress& /*peer*/) {
    ++accepted;
    loop.Stop();
  });
  while (listener->pauses() == 0) loop.RunOnce(1s);
  EXPECT_EQ(accepted, 0U);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  loop.Run();
  EXPECT_EQ(accepted, 1U);
  EXPECT_EQ(listener->pauses(), 1U);
}

TEST(SocketAddress, AddressesGoThereAndBackAndMappedOnesFold) {
  for (const std::string text :
       {"127.0.0.1", "0.0.0.0", "203.0.113.7", "::", "::1", "2001:db8::7"}) {
    const SocketAddress address(*IpAddress::Parse(text), 80);
    EXPECT_EQ(address.address().ToString(), text);
    EXPECT_EQ(address.port(), 80);
  }
  const SocketAddress mapped(*IpAddress::Parse("::ffff:203.0.113.7"), 80);
  EXPECT_EQ(mapped.address(), IpAddress::V4({203, 0, 113, 7}));
}

}  // namespace
}  // namespace sluicegate::net
