// Writing several buffers as one: at once where the system takes them, waiting where it does not.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <string_view>

#include "net/asio.h"

namespace sluicegate::gateway {

/// Up to four pieces that leave together. The bytes stay the caller's and must outlive the writing.
class Pieces {
 public:
  Pieces() = default;
  explicit Pieces(std::string_view one) { Add(one); }

  /// REQUIRES: fewer than four were added.
  void Add(std::string_view piece) {
    if (!piece.empty()) pieces_[size_++] = net::asio::buffer(piece.data(), piece.size());
  }
  [[nodiscard]] bool empty() const noexcept { return first_ == size_; }
  /// Others follow at once: the system may send them together.
  void HoldForMore() noexcept { flags_ = MSG_MORE; }

  /// Writes what the system takes without waiting. True: all is written, or `error` is set.
  bool TryWrite(net::Socket& socket, net::ErrorCode& error);

 private:
  static constexpr std::size_t kMost = 4;
  void Consume(std::size_t bytes) noexcept;

  std::array<net::asio::const_buffer, kMost> pieces_;
  std::size_t first_ = 0;
  std::size_t size_ = 0;
  net::asio::socket_base::message_flags flags_ = 0;
};

/// Writes all pieces, waiting as long as it takes: cancel the socket to end it.
[[nodiscard]] net::Awaitable<net::ErrorCode> FinishWrite(net::Socket& socket, Pieces pieces);

}  // namespace sluicegate::gateway
