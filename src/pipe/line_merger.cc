#include "pipe/line_merger.h"

namespace sluicegate::pipe {

void LineMerger::Pass(std::string_view bytes) {
  if (bytes.empty()) return;
  within_line_ = bytes.back() != '\n';
  const std::size_t end = bytes.find('\n');
  if (!waiting_.empty() && end != std::string_view::npos) {
    ready_ += bytes.substr(0, end + 1);
    ready_ += waiting_;
    waiting_.clear();
    bytes.remove_prefix(end + 1);
  }
  ready_ += bytes;
}

void LineMerger::Insert(std::string_view lines) {
  if (lines.empty()) return;
  if (within_line_ && !ended_) {
    waiting_ += lines;
    return;
  }
  if (within_line_) ready_ += '\n';
  within_line_ = false;
  ready_ += lines;
}

void LineMerger::End() {
  ended_ = true;
  const std::string lines = std::move(waiting_);
  waiting_.clear();
  Insert(lines);
}

void LineMerger::Consume(std::size_t bytes) {
  consumed_ += bytes;
  if (consumed_ < ready_.size() / 2) return;  // Each byte moves at most once on the average.
  ready_.erase(0, consumed_);
  consumed_ = 0;
}

}  // namespace sluicegate::pipe
