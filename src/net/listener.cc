#include "net/listener.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "net/socket_options.h"

namespace sluicegate::net {
namespace {

// Connections that wait to be accepted; beyond, the system drops SYNs.
constexpr int kBacklog = 1024;
constexpr std::chrono::milliseconds kPause{100};  // Until a descriptor may be free again.
constexpr unsigned kMostAtOnce = 64;              // Then those that are connected get their turn.

// Bytes that the system takes for a client that does not read: enough for a fast one, and what a
// slow one costs beside its window.
constexpr int kMostUnsent = 128 * 1024;

bool IsShortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

// Connections have these from their listener, which saves six calls each.
bool SetUpConnections(int descriptor) {
  return SetUpTcp(descriptor) && SetOption(descriptor, IPPROTO_TCP, TCP_NOTSENT_LOWAT, kMostUnsent);
}

std::uint16_t PortOf(int descriptor) {
  sockaddr_storage bound{};
  socklen_t size = sizeof(bound);
  const bool known = ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&bound), &size) == 0;
  return known ? SocketAddress::From(bound, size).port() : 0;
}

}  // namespace

std::string ListenFailure(const SocketAddress& address, int error) {
  std::string mend = "Check the address.";
  if (error == EADDRINUSE) {
    mend = "Stop the program that listens there, or choose another port.";
  } else if (error == EACCES) {
    mend = "Choose a port above 1023, or give the program CAP_NET_BIND_SERVICE.";
  } else if (error == EADDRNOTAVAIL) {
    mend = "Choose an address that this machine has.";
  }
  return "cannot listen on " + address.Text() + ": " + std::strerror(error) + ". " + mend;
}

std::expected<std::unique_ptr<Listener>, std::string> Listener::Open(EventLoop& loop,
                                                                     const IpAddress& address,
                                                                     std::uint16_t port,
                                                                     Sharing sharing) {
  const SocketAddress wanted(address, port);
  FileDescriptor descriptor(
      ::socket(wanted.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int raw = descriptor.get();
  const bool listens =
      descriptor.is_open() && SetOption(raw, SOL_SOCKET, SO_REUSEADDR, 1) &&
      SetOption(raw, SOL_SOCKET, SO_REUSEPORT, sharing == Sharing::kShared ? 1 : 0) &&
      SetUpConnections(raw) && ::bind(raw, wanted.data(), wanted.size()) == 0 &&
      ::listen(raw, kBacklog) == 0;
  if (!listens) return std::unexpected(ListenFailure(wanted, errno));
  return Adopt(loop, std::move(descriptor));
}

std::unique_ptr<Listener> Listener::Adopt(EventLoop& loop, FileDescriptor socket) {
  const std::uint16_t port = PortOf(socket.get());
  return std::unique_ptr<Listener>(new Listener(loop, std::move(socket), port));
}

void Listener::Start(OnAccept on_accept) {
  if (!descriptor_.is_open()) return;  // Closed before its loop began to run.
  on_accept_ = std::move(on_accept);
  started_ = loop_.Add(descriptor_.get(), EPOLLIN, *this);
}

void Listener::Close() {
  pause_.Clear();
  if (std::exchange(started_, false)) loop_.Remove(descriptor_.get(), *this);
  descriptor_.Close();
}

void Listener::Finish() {
  while (started_ && Accept()) {
  }
  Close();
}

void Listener::GoOn() {
  loop_.Modify(descriptor_.get(), EPOLLIN, *this);
  static_cast<void>(Accept());
}

void Listener::OnEvents(std::uint32_t /*events*/) {
  if (!pause_.set()) static_cast<void>(Accept());
}

bool Listener::Accept() {
  for (unsigned count = 0; count < kMostAtOnce && descriptor_.is_open(); ++count) {
    sockaddr_storage peer{};
    socklen_t size = sizeof(peer);
    FileDescriptor connection(::accept4(descriptor_.get(), reinterpret_cast<sockaddr*>(&peer),
                                        &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (connection.is_open()) {
      on_accept_(std::move(connection), SocketAddress::From(peer, size).address());
      continue;
    }
    if (IsShortage(errno)) {
      // The connection stays in the backlog: asking again at once would spin.
      ++pauses_;
      loop_.Modify(descriptor_.get(), 0, *this);
      pause_.Set(kPause);
      return false;
    }
    if (errno == EAGAIN) return false;
    // A connection that is gone already is nobody's loss.
  }
  return descriptor_.is_open();
}

}  // namespace sluicegate::net
