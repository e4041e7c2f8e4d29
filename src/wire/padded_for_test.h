// A text with exactly the padding that a reader may look at, so that ASan sees it look further.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>

#include "wire/json_walk.h"

namespace sluicegate::wire {

/// Owns a copy of the text; what lies behind it would go on where the text ends. A value that
/// moves.
class PaddedText {
 public:
  explicit PaddedText(std::string_view text, std::string_view behind = "]}\"")
      : bytes_(std::make_unique_for_overwrite<char[]>(text.size() + kJsonPadding)),
        size_(text.size()) {
    std::memcpy(bytes_.get(), text.data(), size_);
    for (std::size_t i = 0; i < kJsonPadding; ++i) bytes_[size_ + i] = behind[i % behind.size()];
  }

  [[nodiscard]] std::string_view view() const noexcept { return {bytes_.get(), size_}; }

 private:
  std::unique_ptr<char[]> bytes_;
  std::size_t size_;
};

}  // namespace sluicegate::wire
