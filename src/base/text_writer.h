// TextWriter: many short pieces behind one another in a string, at what copying them costs. A
// string's own append asks for room at each piece and ends the text anew.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sluicegate {

/// Appends to a string that is whole again when the writer is gone; until then only the writer may
/// touch it. Bound to one thread. Grows where more is put than was expected.
class TextWriter {
 public:
  /// `expected`: about how many bytes will be put.
  TextWriter(std::string& out, std::size_t expected)
      : out_(out), room_(Grow(out, out.size(), expected)) {}
  TextWriter(const TextWriter&) = delete;
  TextWriter& operator=(const TextWriter&) = delete;
  ~TextWriter() { out_.resize(Written(out_, room_.begin)); }  // Shorter: nothing is thrown.

  void Put(std::string_view text) {
    if (left() < text.size()) MakeRoom(text.size());
    room_.begin = std::copy(text.begin(), text.end(), room_.begin);
  }
  /// In decimal digits.
  void PutNumber(std::uint64_t number) {
    constexpr std::size_t kMostDigits = 20;  // 2^64 has 20.
    if (left() < kMostDigits) MakeRoom(kMostDigits);
    if (number < 10) {  // As most remainders and seconds are.
      *room_.begin++ = static_cast<char>('0' + number);
    } else {
      room_.begin = std::to_chars(room_.begin, room_.begin + kMostDigits, number).ptr;
    }
  }

 private:
  struct Room {
    char* begin;
    char* end;
  };
  static std::size_t Written(const std::string& out, const char* at) {
    return static_cast<std::size_t>(at - out.data());
  }
  // Static, so that a writer's address is not known outside of the function that uses it, and the
  // compiler can keep it in registers.
  [[gnu::noinline]] static Room Grow(std::string& out, std::size_t written, std::size_t bytes) {
    out.resize(written + bytes);
    return {.begin = out.data() + written, .end = out.data() + out.size()};
  }

  [[nodiscard]] std::size_t left() const {
    return static_cast<std::size_t>(room_.end - room_.begin);
  }
  void MakeRoom(std::size_t bytes) {
    room_ = Grow(out_, Written(out_, room_.begin), bytes + out_.size());
  }

  std::string& out_;
  Room room_;
};

}  // namespace sluicegate
