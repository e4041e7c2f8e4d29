// Listener: accepts connections on one address. Bound to one event loop, which must not run any
// more when the listener dies. Several loops listen on the same address side by side, and the
// kernel spreads the connections (SO_REUSEPORT).
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "base/ip.h"
#include "net/address.h"
#include "net/event_loop.h"
#include "net/file_descriptor.h"

namespace sluicegate::net {

/// Whether other listeners may have the same address and port beside this one.
enum class Sharing : std::uint8_t {
  kAlone,
  kShared,  ///< With those that ask for it, too: the kernel spreads the connections.
};

class Listener final : private Pollable {
 public:
  using OnAccept = std::function<void(FileDescriptor, const IpAddress& peer)>;

  /// Binds and listens. `port` 0: the system chooses. The error says what the system said and what
  /// to do.
  [[nodiscard]] static std::expected<std::unique_ptr<Listener>, std::string> Open(
      EventLoop& loop, const IpAddress& address, std::uint16_t port, Sharing sharing);
  /// Accepts from a socket that listens already, as one that another process handed down does.
  /// Others may accept from it, too. REQUIRES: it is one, and does not block.
  [[nodiscard]] static std::unique_ptr<Listener> Adopt(EventLoop& loop, FileDescriptor socket);
  ~Listener() { Close(); }

  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
  /// The socket, to hand it down; it stays the listener's. Below zero: closed.
  [[nodiscard]] int descriptor() const noexcept { return descriptor_.get(); }
  /// Times that the system had no descriptor or memory for a connection; accepting paused then.
  [[nodiscard]] std::uint64_t pauses() const noexcept { return pauses_; }

  /// Begins to accept: `on_accept` gets each connection, non-blocking and without Nagle's delay. It
  /// may close the listener, not destroy it.
  void Start(OnAccept on_accept);
  /// Stops listening: new connections are refused by the system, unless another process has the
  /// socket as well, and none is handed over any more.
  void Close();
  /// Hands over what waits already, which closing would reset, and closes.
  void Finish();

 private:
  Listener(EventLoop& loop, FileDescriptor descriptor, std::uint16_t port)
      : loop_(loop),
        descriptor_(std::move(descriptor)),
        port_(port),
        pause_(loop.timers(), [this] { GoOn(); }) {}
  void OnEvents(std::uint32_t events) override;
  /// False: nothing waits any more, or nothing can be taken for now.
  bool Accept();
  void GoOn();

  EventLoop& loop_;
  FileDescriptor descriptor_;
  const std::uint16_t port_;
  Deadline pause_;
  OnAccept on_accept_;
  std::uint64_t pauses_ = 0;
  bool started_ = false;
};

/// "cannot listen on ADDRESS:PORT: REASON. MEND." `error` is errno's.
[[nodiscard]] std::string ListenFailure(const SocketAddress& address, int error);

}  // namespace sluicegate::net
