// Mapping: the bytes of a table, private to the process or a part of a file that processes share,
// populated at start so that a flood meets no page fault. Owns its memory; neither copies nor
// moves. The one place of the core that asks the system for memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>

namespace sluicegate::table {

inline constexpr std::size_t kPage = 4096;

/// Up to the next multiple of a page, or of another unit.
[[nodiscard]] constexpr std::uint64_t RoundUp(std::uint64_t bytes,
                                              std::uint64_t unit = kPage) noexcept {
  return (bytes + unit - 1) / unit * unit;
}

class Mapping {
 public:
  /// Maps `bytes` zeroed bytes, aligned to a page, and touches all of them. The error says what the
  /// system said and what to lower.
  [[nodiscard]] static std::expected<std::unique_ptr<Mapping>, std::string> Create(
      std::size_t bytes);
  /// Maps a part of a file, from a whole page on, and touches all of it. REQUIRES: the file has so
  /// many bytes, all with room on the disk.
  [[nodiscard]] static std::expected<std::unique_ptr<Mapping>, std::string> OfFile(
      int file, std::uint64_t offset, std::size_t bytes);
  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  [[nodiscard]] std::byte* data() const noexcept { return bytes_.data(); }
  [[nodiscard]] std::size_t size() const noexcept { return bytes_.size(); }

 private:
  explicit Mapping(std::span<std::byte> bytes) noexcept : bytes_(bytes) {}
  const std::span<std::byte> bytes_;
};

}  // namespace sluicegate::table
