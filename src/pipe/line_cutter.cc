#include "pipe/line_cutter.h"

#include <cstring>

namespace sluicegate::pipe {

void LineCutter::MakeRoom(std::size_t bytes) {
  if (begin_ == end_) {
    begin_ = scanned_ = end_ = 0;
    if (buffer_.size() > kMostKept) std::string().swap(buffer_);
  }
  if (end_ + bytes + padding_ <= buffer_.size()) return;
  // Bytes move when at least as many are gone, or when the buffer grows anyway.
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  scanned_ -= begin_;
  end_ -= begin_;
  begin_ = 0;
  const std::size_t needed = end_ + bytes + padding_;
  if (needed > buffer_.size() / 2) buffer_.resize(2 * needed);
}

void LineCutter::Add(std::string_view bytes) {
  MakeRoom(bytes.size());
  std::memcpy(buffer_.data() + end_, bytes.data(), bytes.size());
  end_ += bytes.size();
}

std::optional<LineCutter::Line> LineCutter::Next() {
  const std::string_view all(buffer_.data(), end_);
  const std::size_t found = all.find('\n', scanned_);
  if (found != std::string_view::npos) return Take(found + 1);
  scanned_ = end_;
  if (end_ - begin_ > most_) skipping_ = true;
  if (skipping_) begin_ = end_;
  return std::nullopt;
}

std::optional<LineCutter::Line> LineCutter::Last() {
  if (begin_ == end_ && !skipping_) return std::nullopt;
  return Take(end_);
}

std::optional<LineCutter::Line> LineCutter::Take(std::size_t end) {
  Line line{.text = {}, .too_long = skipping_ || end - begin_ > most_};
  if (!line.too_long) line.text = std::string_view(buffer_.data() + begin_, end - begin_);
  begin_ = scanned_ = end;
  skipping_ = false;
  return line;
}

}  // namespace sluicegate::pipe
