// ReadBuffer: the bytes that a client sent and nobody has used yet. Bound to one connection. Takes
// no more memory than what lies in it needs, so that a slow or silent client costs little; while a
// body streams through it works in a block that is lent to it.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace sluicegate::gateway {

class ReadBuffer {
 public:
  using Block = std::array<char, std::size_t{64} * 1024>;

  [[nodiscard]] std::string_view unread() const noexcept {
    return {room_.data() + begin_, end_ - begin_};
  }
  void Consume(std::size_t bytes) noexcept {
    begin_ += bytes;
    if (begin_ == end_) begin_ = end_ = 0;
  }
  /// Puts `bytes` behind the unread ones.
  void Append(std::string_view bytes);
  /// Room for at least one more byte; moves or grows where there is none.
  [[nodiscard]] std::span<char> Room();
  /// That which is there already, behind the unread bytes.
  [[nodiscard]] std::span<char> FreeRoom() const noexcept { return room_.subspan(end_); }
  void Filled(std::size_t bytes) noexcept { end_ += bytes; }
  /// Makes so many bytes behind the unread ones readable. True: the bytes moved.
  bool Pad(std::size_t bytes);
  /// Puts `text` in the place of the first `bytes` unread ones. REQUIRES: it is no longer.
  void ReplaceFront(std::size_t bytes, std::string_view text) noexcept;

  [[nodiscard]] bool borrows() const noexcept { return lent_ != nullptr; }
  /// Works in `block` from now on. REQUIRES: nothing is unread, and it does not borrow.
  void Borrow(std::unique_ptr<Block> block) noexcept;
  /// Gives it back, if there is one; what is unread moves.
  [[nodiscard]] std::unique_ptr<Block> GiveBack();
  /// Lets go of room that a message or a long head took. REQUIRES: nothing is viewed.
  void Shrink();

 private:
  static constexpr std::size_t kStep = 512;  // Sizes are multiples of it.
  static constexpr std::size_t kMostKept = std::size_t{2} * 1024;

  void MoveToFront() noexcept;
  // REQUIRES: bytes >= end_.
  void Resize(std::size_t bytes);

  std::vector<char> own_;
  std::unique_ptr<Block> lent_;
  std::span<char> room_;  // One of the two.
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace sluicegate::gateway
