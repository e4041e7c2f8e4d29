#include "net/listener.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <utility>

namespace sluicegate::net {
namespace {

using ReusePort = asio::detail::socket_option::boolean<SOL_SOCKET, SO_REUSEPORT>;

constexpr int kBacklog =
    1024;  // Connections that wait to be accepted; beyond, the system drops SYNs.
constexpr std::chrono::milliseconds kPause{100};  // Until a descriptor may be free again.

bool IsShortage(const ErrorCode& error) {
  return error == boost::system::errc::too_many_files_open ||
         error == boost::system::errc::too_many_files_open_in_system ||
         error == boost::system::errc::no_buffer_space ||
         error == boost::system::errc::not_enough_memory;
}

// A peer that vanished without a word (a pulled cable, a lost mapping) is given up after two
// minutes, where nothing that is written would find out sooner.
void WatchForVanishedPeer(Socket& socket, ErrorCode& error) {
  using IdleSeconds = asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPIDLE>;
  using ProbeSeconds = asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPINTVL>;
  using Probes = asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPCNT>;
  socket.set_option(asio::socket_base::keep_alive(true), error);
  if (!error) socket.set_option(IdleSeconds(60), error);
  if (!error) socket.set_option(ProbeSeconds(15), error);
  if (!error) socket.set_option(Probes(4), error);
}

}  // namespace

IpAddress AddressOf(const Tcp::endpoint& endpoint) noexcept {
  if (endpoint.address().is_v4()) return IpAddress::V4(endpoint.address().to_v4().to_bytes());
  return IpAddress::V6(endpoint.address().to_v6().to_bytes());
}

Tcp::endpoint EndpointOf(const IpAddress& address, std::uint16_t port) {
  const auto bytes = address.bytes();
  if (address.is_v4()) {
    return {asio::ip::address_v4({bytes[12], bytes[13], bytes[14], bytes[15]}), port};
  }
  asio::ip::address_v6::bytes_type all;
  std::ranges::copy(bytes, all.begin());
  return {asio::ip::address_v6(all), port};
}

std::string EndpointText(const Tcp::endpoint& endpoint) {
  const std::string address = endpoint.address().to_string();
  const std::string port = ":" + std::to_string(endpoint.port());
  return endpoint.address().is_v6() ? "[" + address + "]" + port : address + port;
}

std::string ListenFailure(const Tcp::endpoint& endpoint, const ErrorCode& error) {
  std::string mend = "Check the address.";
  if (error == asio::error::address_in_use) {
    mend = "Stop the program that listens there, or choose another port.";
  } else if (error == asio::error::access_denied) {
    mend = "Choose a port above 1023, or give the program CAP_NET_BIND_SERVICE.";
  } else if (error == boost::system::errc::address_not_available) {
    mend = "Choose an address that this machine has.";
  }
  return "cannot listen on " + EndpointText(endpoint) + ": " + error.message() + ". " + mend;
}

std::expected<std::unique_ptr<Listener>, std::string> Listener::Open(EventLoop& loop,
                                                                     const IpAddress& address,
                                                                     std::uint16_t port,
                                                                     Sharing sharing) {
  const Tcp::endpoint endpoint = EndpointOf(address, port);
  Acceptor acceptor(loop.io());
  ErrorCode error;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor.set_option(ReusePort(sharing == Sharing::kShared), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(kBacklog, error);
  if (!error) acceptor.non_blocking(true, error);
  if (error) return std::unexpected(ListenFailure(endpoint, error));
  const std::uint16_t bound = acceptor.local_endpoint().port();
  return std::unique_ptr<Listener>(new Listener(loop, std::move(acceptor), bound));
}

void Listener::Start(OnAccept on_accept) {
  on_accept_ = std::move(on_accept);
  Accept();
}

void Listener::Close() {
  pause_.Clear();
  ErrorCode ignored;
  acceptor_.close(ignored);
}

void Listener::Accept() {
  if (!acceptor_.is_open()) return;  // Closed before its loop began to run.
  acceptor_.async_accept([this](const ErrorCode& error, Socket socket) {
    // A connection whose acceptance was on its way when the door closed is dropped.
    if (error == asio::error::operation_aborted || !acceptor_.is_open()) return;
    if (IsShortage(error)) {
      // The connection stays in the backlog: asking again at once would spin.
      ++pauses_;
      pause_.Set(kPause);
      return;
    }
    ErrorCode trouble = error;
    Tcp::endpoint peer;
    if (!trouble) peer = socket.remote_endpoint(trouble);
    if (!trouble) socket.non_blocking(true, trouble);
    if (!trouble) socket.set_option(Tcp::no_delay(true), trouble);
    if (!trouble) WatchForVanishedPeer(socket, trouble);
    // A connection that is gone already is nobody's loss.
    if (!trouble) on_accept_(std::move(socket), AddressOf(peer));
    Accept();
  });
}

}  // namespace sluicegate::net
