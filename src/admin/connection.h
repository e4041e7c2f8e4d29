// Connection: one client of the admin door, from its first byte to its end. Bound to the door's
// loop; owned by the coroutine that runs it.
#pragma once

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "admin/routes.h"
#include "admin/server.h"
#include "wire/http_head.h"

namespace sluicegate::admin {

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  /// REQUIRES: `routes` outlives the connection.
  Connection(boost::asio::ip::tcp::socket socket, Routes& routes, const Server::Bounds& bounds);

  /// Serves requests until the client or a bound ends it.
  boost::asio::awaitable<void> Run();
  /// Ends it now.
  void Close() noexcept;

 private:
  enum class Got : std::uint8_t { kRequest, kRefused, kClosed };

  /// Reads one head into head_; the body's first bytes may follow it in the buffer.
  boost::asio::awaitable<Got> ReadHead();
  /// Reads the body and forgets it. kRefused: refusal_ says why.
  boost::asio::awaitable<Got> SkipBody();
  boost::asio::awaitable<std::size_t> ReadMore();
  boost::asio::awaitable<bool> Write(const Answer& answer, bool head_only, bool keep_alive);
  /// Lets the client read the last answer although it is still sending.
  boost::asio::awaitable<void> Linger();
  void CloseAfter(std::chrono::milliseconds wait);
  [[nodiscard]] std::string_view held() const noexcept { return {buffer_.data(), held_}; }
  void Drop(std::size_t bytes) noexcept;

  boost::asio::ip::tcp::socket socket_;
  boost::asio::steady_timer deadline_;
  Routes& routes_;
  const Server::Bounds bounds_;
  wire::RequestParser parser_;
  wire::RequestHead head_;
  wire::Refusal refusal_;
  std::size_t held_ = 0;  // Bytes of the buffer that are not yet consumed.
  std::array<char, wire::kMaxHeadBytes> buffer_;
};

}  // namespace sluicegate::admin
