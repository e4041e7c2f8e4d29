// Pieces: several buffers that leave as one: at once where the system takes them, waiting where it
// does not. Bound to one connection. The bytes stay the caller's and must outlive the writing.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <string_view>

#include "net/socket.h"
#include "net/task.h"

namespace sluicegate::net {

class Pieces {
 public:
  Pieces() = default;
  explicit Pieces(std::string_view one) { Add(one); }

  /// REQUIRES: fewer than four were added.
  void Add(std::string_view piece) noexcept {
    if (piece.empty()) return;
    // writev's buffers are not const, as readv uses the same.
    pieces_[size_++] = {.iov_base = const_cast<char*>(piece.data()), .iov_len = piece.size()};
  }
  [[nodiscard]] bool empty() const noexcept { return first_ == size_; }
  /// That are not written yet.
  [[nodiscard]] std::size_t bytes() const noexcept {
    std::size_t sum = 0;
    for (std::size_t i = first_; i < size_; ++i) sum += pieces_[i].iov_len;
    return sum;
  }
  /// Others follow at once: the system may send them together.
  void HoldForMore() noexcept { more_ = true; }

  /// Writes what the system takes without waiting. True: all is written, or `error` (of Transfer)
  /// is set.
  bool TryWrite(Socket& socket, int& error) noexcept;
  /// Writes all, waiting as long as it takes: cancel the socket to end it. The error is Transfer's.
  /// REQUIRES: this outlives the task.
  [[nodiscard]] Task<int> Write(Socket& socket);

 private:
  static constexpr std::size_t kMost = 4;
  void Consume(std::size_t bytes) noexcept;

  std::array<iovec, kMost> pieces_;
  std::size_t first_ = 0;
  std::size_t size_ = 0;
  bool more_ = false;
};

}  // namespace sluicegate::net
