#include "net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

namespace sluicegate::net {
namespace {

// The system's structures are read and written as bytes, as they overlay each other.
template <class T>
T As(const sockaddr_storage& raw) noexcept {
  T address{};
  std::memcpy(&address, &raw, sizeof(address));
  return address;
}

}  // namespace

SocketAddress::SocketAddress(const IpAddress& address, std::uint16_t port) noexcept {
  const auto bytes = address.bytes();
  if (address.is_v4()) {
    sockaddr_in plain{};
    plain.sin_family = AF_INET;
    plain.sin_port = htons(port);
    std::memcpy(&plain.sin_addr, bytes.data() + 12, 4);
    std::memcpy(&raw_, &plain, sizeof(plain));
    size_ = sizeof(plain);
  } else {
    sockaddr_in6 plain{};
    plain.sin6_family = AF_INET6;
    plain.sin6_port = htons(port);
    std::memcpy(&plain.sin6_addr, bytes.data(), 16);
    std::memcpy(&raw_, &plain, sizeof(plain));
    size_ = sizeof(plain);
  }
}

std::optional<SocketAddress> SocketAddress::Unix(std::string_view path) noexcept {
  sockaddr_un plain{};
  if (path.empty() || path.size() >= sizeof(plain.sun_path)) return std::nullopt;
  plain.sun_family = AF_UNIX;
  std::ranges::copy(path, plain.sun_path);
  SocketAddress address;
  std::memcpy(&address.raw_, &plain, sizeof(plain));
  address.size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return address;
}

SocketAddress SocketAddress::From(const sockaddr_storage& raw, socklen_t size) noexcept {
  SocketAddress address;
  address.raw_ = raw;
  address.size_ = size;
  return address;
}

IpAddress SocketAddress::address() const noexcept {
  if (family() == AF_INET) {
    std::array<std::uint8_t, 4> octets;
    const auto plain = As<sockaddr_in>(raw_);
    std::memcpy(octets.data(), &plain.sin_addr, octets.size());
    return IpAddress::V4(octets);
  }
  std::array<std::uint8_t, 16> octets{};
  if (family() == AF_INET6) {
    const auto plain = As<sockaddr_in6>(raw_);
    std::memcpy(octets.data(), &plain.sin6_addr, octets.size());
  }
  return IpAddress::V6(octets);
}

std::uint16_t SocketAddress::port() const noexcept {
  if (family() == AF_INET) return ntohs(As<sockaddr_in>(raw_).sin_port);
  return family() == AF_INET6 ? ntohs(As<sockaddr_in6>(raw_).sin6_port) : 0;
}

bool SocketAddress::is_loopback() const noexcept {
  const IpAddress ip = address();
  if (family() == AF_UNIX) return true;
  return ip.is_v4() ? ip.bytes()[12] == 127 : ip == *IpAddress::Parse("::1");
}

std::string SocketAddress::Text() const {
  if (is_unix()) return std::string("unix:") + As<sockaddr_un>(raw_).sun_path;
  const std::string text = address().ToString();
  const std::string port_text = ":" + std::to_string(port());
  return address().is_v4() ? text + port_text : "[" + text + "]" + port_text;
}

bool operator==(const SocketAddress& a, const SocketAddress& b) noexcept {
  return a.size_ == b.size_ && std::memcmp(&a.raw_, &b.raw_, a.size_) == 0;
}

}  // namespace sluicegate::net
