#include "net/pieces.h"

#include <algorithm>
#include <cerrno>
#include <span>

namespace sluicegate::net {

void Pieces::Consume(std::size_t bytes) noexcept {
  while (bytes > 0) {
    iovec& piece = pieces_[first_];
    const std::size_t taken = std::min(bytes, piece.iov_len);
    piece.iov_base = static_cast<char*>(piece.iov_base) + taken;
    piece.iov_len -= taken;
    bytes -= taken;
    if (piece.iov_len == 0) ++first_;
  }
}

bool Pieces::TryWrite(Socket& socket, int& error) noexcept {
  error = kNoError;
  while (!empty()) {
    const std::span<const iovec> left(pieces_.data() + first_, size_ - first_);
    const Transfer written = socket.TryWrite(left, more_);
    if (written.error == EAGAIN) return false;
    error = written.error;
    if (error != kNoError) return true;
    Consume(written.bytes);
  }
  return true;
}

Task<int> Pieces::Write(Socket& socket) {
  int error = kNoError;
  while (!TryWrite(socket, error)) {
    const int waited = co_await socket.Writable();
    if (waited != kNoError) co_return waited;
  }
  co_return error;
}

}  // namespace sluicegate::net
