// FreeList: large objects that one loop lends to whoever needs them for a moment: the one that was
// used last is the next, as it lies in the processor's cache. Bound to one loop.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace sluicegate::gateway {

/// Keeps at most `kMostKept`; more are freed.
template <class T, std::size_t kMostKept = 64>
class FreeList {
 public:
  [[nodiscard]] std::unique_ptr<T> Take() {
    if (free_.empty()) return std::make_unique_for_overwrite<T>();
    std::unique_ptr<T> taken = std::move(free_.back());
    free_.pop_back();
    return taken;
  }
  /// Null is nothing.
  void Return(std::unique_ptr<T> object) {
    if (object != nullptr && free_.size() < kMostKept) free_.push_back(std::move(object));
  }

 private:
  std::vector<std::unique_ptr<T>> free_;
};

}  // namespace sluicegate::gateway
