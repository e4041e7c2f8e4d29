#include "gateway/read_buffer.h"

#include <algorithm>
#include <cstring>

namespace sluicegate::gateway {

void ReadBuffer::MoveToFront() noexcept {
  if (begin_ == 0) return;
  std::memmove(bytes_.data(), bytes_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
}

void ReadBuffer::Append(std::string_view bytes) {
  if (bytes_.size() - end_ < bytes.size()) MoveToFront();
  if (bytes_.size() - end_ < bytes.size()) {
    const std::size_t needed = end_ + bytes.size();
    bytes_.resize((needed + kStep - 1) / kStep * kStep);
  }
  std::ranges::copy(bytes, bytes_.begin() + static_cast<std::ptrdiff_t>(end_));
  end_ += bytes.size();
}

std::span<char> ReadBuffer::Room() {
  if (end_ == bytes_.size()) MoveToFront();
  if (end_ == bytes_.size()) bytes_.resize(std::max(bytes_.size() * 2, kStep));
  return std::span(bytes_).subspan(end_);
}

void ReadBuffer::Widen() {
  if (bytes_.size() < kWide) bytes_.resize(kWide);
}

bool ReadBuffer::Pad(std::size_t bytes) {
  if (bytes_.size() - end_ >= bytes) return false;
  bytes_.resize(end_ + bytes);
  return true;
}

void ReadBuffer::ReplaceFront(std::size_t bytes, std::string_view text) noexcept {
  begin_ += bytes - text.size();
  std::ranges::copy(text, bytes_.begin() + static_cast<std::ptrdiff_t>(begin_));
}

void ReadBuffer::Shrink() {
  if (bytes_.size() <= kMostKept) return;
  bytes_ = std::vector<char>(bytes_.begin() + static_cast<std::ptrdiff_t>(begin_),
                             bytes_.begin() + static_cast<std::ptrdiff_t>(end_));
  end_ -= begin_;
  begin_ = 0;
}

}  // namespace sluicegate::gateway
