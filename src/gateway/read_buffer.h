// ReadBuffer: the bytes that a client sent and nobody has used yet. Bound to one connection. Takes
// no more memory than what lies in it needs, so that a slow or silent client costs little.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

namespace sluicegate::gateway {

class ReadBuffer {
 public:
  [[nodiscard]] std::string_view unread() const noexcept {
    return {bytes_.data() + begin_, end_ - begin_};
  }
  void Consume(std::size_t bytes) noexcept {
    begin_ += bytes;
    if (begin_ == end_) begin_ = end_ = 0;
  }
  /// Puts `bytes` behind the unread ones.
  void Append(std::string_view bytes);
  /// Room for at least one more byte; moves or grows where there is none.
  [[nodiscard]] std::span<char> Room();
  void Filled(std::size_t bytes) noexcept { end_ += bytes; }
  /// Room for many bytes, as of a body that streams through.
  void Widen();
  /// Makes so many bytes behind the unread ones readable. True: the bytes moved.
  bool Pad(std::size_t bytes);
  /// Puts `text` in the place of the first `bytes` unread ones. REQUIRES: it is no longer.
  void ReplaceFront(std::size_t bytes, std::string_view text) noexcept;
  /// Lets go of room that a body or a long head took. REQUIRES: nothing is viewed.
  void Shrink();

 private:
  static constexpr std::size_t kStep = 512;  // Sizes are multiples of it.
  static constexpr std::size_t kWide = std::size_t{64} * 1024;
  static constexpr std::size_t kMostKept = std::size_t{2} * 1024;

  void MoveToFront() noexcept;

  std::vector<char> bytes_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace sluicegate::gateway
