// Listener: accepts connections on one address. Bound to one event loop, which must not run any
// more when the listener dies. Several loops listen on the same address side by side, and the
// kernel spreads the connections (SO_REUSEPORT).
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>

#include "base/ip.h"
#include "net/event_loop.h"

namespace sluicegate::net {

/// Whether other listeners may have the same address and port beside this one.
enum class Sharing : std::uint8_t {
  kAlone,
  kShared,  ///< With those that ask for it, too: the kernel spreads the connections.
};

class Listener {
 public:
  using OnAccept = std::function<void(Socket, IpAddress peer)>;

  /// Binds and listens. `port` 0: the system chooses. The error says what the system said and what
  /// to do.
  [[nodiscard]] static std::expected<std::unique_ptr<Listener>, std::string> Open(
      EventLoop& loop, const IpAddress& address, std::uint16_t port, Sharing sharing);
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
  /// Times that the system had no descriptor or memory for a connection; accepting paused then.
  [[nodiscard]] std::uint64_t pauses() const noexcept { return pauses_; }

  /// Begins to accept: `on_accept` gets each connection, non-blocking and without Nagle's delay.
  void Start(OnAccept on_accept);
  /// Stops listening: new connections are refused by the system, and none is handed over any more.
  void Close();

 private:
  Listener(EventLoop& loop, Acceptor acceptor, std::uint16_t port)
      : acceptor_(std::move(acceptor)), port_(port), pause_(loop.timers(), [this] { Accept(); }) {}
  void Accept();

  Acceptor acceptor_;
  const std::uint16_t port_;
  Deadline pause_;
  OnAccept on_accept_;
  std::uint64_t pauses_ = 0;
};

/// The address of an endpoint, IPv4-mapped folded to IPv4.
[[nodiscard]] IpAddress AddressOf(const Tcp::endpoint& endpoint) noexcept;
[[nodiscard]] Tcp::endpoint EndpointOf(const IpAddress& address, std::uint16_t port);
/// "192.0.2.1:80" or "[2001:db8::1]:80".
[[nodiscard]] std::string EndpointText(const Tcp::endpoint& endpoint);
/// "cannot listen on ADDRESS:PORT: REASON. MEND."
[[nodiscard]] std::string ListenFailure(const Tcp::endpoint& endpoint, const ErrorCode& error);

}  // namespace sluicegate::net
