#include "gateway/write_all.h"

#include <algorithm>
#include <span>

namespace sluicegate::gateway {

void Pieces::Consume(std::size_t bytes) noexcept {
  while (bytes > 0) {
    const std::size_t taken = std::min(bytes, pieces_[first_].size());
    pieces_[first_] += taken;
    bytes -= taken;
    if (pieces_[first_].size() == 0) ++first_;
  }
}

bool Pieces::TryWrite(net::Socket& socket, net::ErrorCode& error) {
  while (!empty()) {
    const std::span<const net::asio::const_buffer> left(pieces_.data() + first_, size_ - first_);
    // One piece needs no list of buffers, which the kernel would have to copy and check.
    const std::size_t written = left.size() == 1 ? socket.send(left.front(), flags_, error)
                                                 : socket.send(left, flags_, error);
    if (error == net::asio::error::would_block) {
      error.clear();
      return false;
    }
    if (error) return true;
    Consume(written);
  }
  return true;
}

net::Awaitable<net::ErrorCode> FinishWrite(net::Socket& socket, Pieces pieces) {
  net::ErrorCode error;
  while (!pieces.TryWrite(socket, error)) {
    auto [failed] = co_await socket.async_wait(net::Socket::wait_write, net::kAwait);
    if (failed) co_return failed;
  }
  co_return error;
}

}  // namespace sluicegate::gateway
