// LineMerger: one stream of lines out of two: another's, whose bytes pass as they come, and our
// own lines, which stand between its lines and never within one. Bound to one thread. Owns what was
// not consumed yet; how much that is, is its user's to bound.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sluicegate::pipe {

class LineMerger {
 public:
  /// Bytes of the other stream.
  void Pass(std::string_view bytes);
  /// Lines of our own, with their ends. They wait while a line of the other is unfinished.
  void Insert(std::string_view lines);
  /// The other stream has ended. A line that it left unfinished gets an end if a line of ours
  /// follows.
  void End();

  /// What comes next.
  [[nodiscard]] std::string_view ready() const noexcept {
    return std::string_view(ready_).substr(consumed_);
  }
  void Consume(std::size_t bytes);
  /// Bytes of our own lines that wait for an end of the other's.
  [[nodiscard]] std::size_t waiting() const noexcept { return waiting_.size(); }

 private:
  std::string ready_;
  std::size_t consumed_ = 0;  // Of ready_.
  std::string waiting_;
  bool within_line_ = false;  // The other's last line is unfinished.
  bool ended_ = false;
};

}  // namespace sluicegate::pipe
