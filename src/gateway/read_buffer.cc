#include "gateway/read_buffer.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

namespace sluicegate::gateway {

void ReadBuffer::MoveToFront() noexcept {
  if (begin_ == 0) return;
  std::memmove(room_.data(), room_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
}

void ReadBuffer::Resize(std::size_t bytes) {
  const std::size_t rounded = (bytes + kStep - 1) / kStep * kStep;
  if (lent_ != nullptr) {  // What outgrows a block is one's own from then on.
    own_.assign(lent_->begin(), lent_->begin() + static_cast<std::ptrdiff_t>(end_));
    lent_.reset();
  }
  own_.resize(rounded);
  room_ = own_;
}

void ReadBuffer::Append(std::string_view bytes) {
  if (room_.size() - end_ < bytes.size()) MoveToFront();
  if (room_.size() - end_ < bytes.size()) Resize(end_ + bytes.size());
  std::ranges::copy(bytes, room_.begin() + static_cast<std::ptrdiff_t>(end_));
  end_ += bytes.size();
}

std::span<char> ReadBuffer::Room() {
  if (end_ == room_.size()) MoveToFront();
  if (end_ == room_.size()) Resize(std::max(room_.size() * 2, kStep));
  return room_.subspan(end_);
}

bool ReadBuffer::Pad(std::size_t bytes) {
  if (room_.size() - end_ >= bytes) return false;
  Resize(end_ + bytes);
  return true;
}

void ReadBuffer::ReplaceFront(std::size_t bytes, std::string_view text) noexcept {
  begin_ += bytes - text.size();
  std::ranges::copy(text, room_.begin() + static_cast<std::ptrdiff_t>(begin_));
}

void ReadBuffer::Borrow(std::unique_ptr<Block> block) noexcept {
  assert(unread().empty() && !borrows());
  lent_ = std::move(block);
  room_ = *lent_;
}

std::unique_ptr<ReadBuffer::Block> ReadBuffer::GiveBack() {
  if (lent_ == nullptr) return nullptr;
  const std::string_view left = unread();
  own_.assign(left.begin(), left.end());
  room_ = own_;
  end_ = left.size();
  begin_ = 0;
  return std::move(lent_);
}

void ReadBuffer::Shrink() {
  if (lent_ != nullptr || own_.size() <= kMostKept) return;
  own_ = std::vector<char>(own_.begin() + static_cast<std::ptrdiff_t>(begin_),
                           own_.begin() + static_cast<std::ptrdiff_t>(end_));
  room_ = own_;
  end_ -= begin_;
  begin_ = 0;
}

}  // namespace sluicegate::gateway
