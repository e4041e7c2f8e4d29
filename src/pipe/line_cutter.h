// LineCutter: a stream of bytes as lines. Bound to one thread. Owns the bytes that are no whole
// line yet.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace sluicegate::pipe {

class LineCutter {
 public:
  struct Line {
    std::string_view text;  ///< With its end; empty: too long.
    bool too_long = false;  ///< It had more bytes than are taken. It was skipped.
  };

  /// Bytes of a buffer that is kept when a longer line is gone.
  static constexpr std::size_t kMostKept = std::size_t{1} << 20U;

  /// `most`: bytes of a line with its end, beyond which it is skipped. `padding`: bytes that are
  /// readable behind each line.
  LineCutter(std::size_t most, std::size_t padding) : most_(most), padding_(padding) {}

  /// Takes what comes next. Views of lines end.
  void Add(std::string_view bytes);
  /// The next line that is whole. Its view stays until the next Add.
  [[nodiscard]] std::optional<Line> Next();
  /// Once Next has none: what stands behind the last line's end, as the stream has ended.
  [[nodiscard]] std::optional<Line> Last();

 private:
  [[nodiscard]] std::optional<Line> Take(std::size_t end);
  void MakeRoom(std::size_t bytes);

  const std::size_t most_;
  const std::size_t padding_;
  std::string buffer_;       // At least padding_ bytes more than end_.
  std::size_t begin_ = 0;    // Of the first line.
  std::size_t scanned_ = 0;  // No line ends between begin_ and here.
  std::size_t end_ = 0;
  bool skipping_ = false;  // The first line is too long, and what it had is gone.
};

}  // namespace sluicegate::pipe
