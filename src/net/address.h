// SocketAddress: where a socket listens or connects: an address and port, or the path of a Unix
// socket. A value type; everything here is pure.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/ip.h"

namespace sluicegate::net {

class SocketAddress {
 public:
  /// No address.
  SocketAddress() = default;
  SocketAddress(const IpAddress& address, std::uint16_t port) noexcept;
  /// Nothing where the path is empty or longer than the system takes (107 bytes).
  [[nodiscard]] static std::optional<SocketAddress> Unix(std::string_view path) noexcept;
  /// What the system filled in.
  [[nodiscard]] static SocketAddress From(const sockaddr_storage& raw, socklen_t size) noexcept;

  [[nodiscard]] const sockaddr* data() const noexcept {
    return reinterpret_cast<const sockaddr*>(&raw_);
  }
  [[nodiscard]] socklen_t size() const noexcept { return size_; }
  [[nodiscard]] int family() const noexcept { return raw_.ss_family; }
  [[nodiscard]] bool is_unix() const noexcept { return family() == AF_UNIX; }

  /// Of an Internet address, IPv4-mapped folded to IPv4; `::` and 0 otherwise.
  [[nodiscard]] IpAddress address() const noexcept;
  [[nodiscard]] std::uint16_t port() const noexcept;
  [[nodiscard]] bool is_loopback() const noexcept;
  /// "192.0.2.1:80", "[2001:db8::1]:80" or "unix:/run/app.sock".
  [[nodiscard]] std::string Text() const;

  friend bool operator==(const SocketAddress& a, const SocketAddress& b) noexcept;

 private:
  sockaddr_storage raw_{};
  socklen_t size_ = 0;
};

}  // namespace sluicegate::net
