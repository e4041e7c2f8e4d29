// Headed: words, and the bytes that they head. In a region of a file the words are its first line
// or lines; in a process' own memory they lie apart, so that the bytes begin with a page. Owns its
// memory; moves, and does not copy.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include "table/mapping.h"

namespace sluicegate::table {

template <class Words>
class Headed {
 public:
  /// All bytes of the mapping, headed by words of their own.
  Headed(std::shared_ptr<Mapping> bytes, std::unique_ptr<Words> words) noexcept
      : mapping_(std::move(bytes)),
        own_(std::move(words)),
        words_(own_.get()),
        bytes_(mapping_->data(), mapping_->size()) {}
  /// A region that begins with the words. REQUIRES: it has room for them.
  explicit Headed(std::shared_ptr<Mapping> region) noexcept
      : mapping_(std::move(region)),
        words_(reinterpret_cast<Words*>(mapping_->data())),
        bytes_(mapping_->data() + sizeof(Words), mapping_->size() - sizeof(Words)) {}

  [[nodiscard]] Words* words() const noexcept { return words_; }
  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return bytes_; }

 private:
  std::shared_ptr<Mapping> mapping_;
  std::unique_ptr<Words> own_;  // Null in a region.
  Words* words_;
  std::span<std::byte> bytes_;
};

}  // namespace sluicegate::table
