// ApiKeys: the keys that clients may show, by their hashes; the keys themselves are never kept.
// Immutable, so thread-safe.
//
// The file has a line a key, `sha256:<64 hex digits> <id>`; empty lines and those that begin with
// '#' are passed over. Keys are 256 random bits (sluicegate api-key makes them), so a plain SHA-256
// cannot be guessed backwards.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <map>
#include <string>
#include <string_view>

namespace sluicegate::identity {

class ApiKeys {
 public:
  using Digest = std::array<std::uint8_t, 32>;

  /// The error says which line is wrong and how it should look.
  [[nodiscard]] static std::expected<ApiKeys, std::string> Parse(std::string_view text);
  /// Whether a text can be an id: 1 to 64 letters, digits and the characters - _ . @
  [[nodiscard]] static bool IsId(std::string_view id) noexcept;

  /// The id of a key; empty: nobody knows it. Looking a digest up tells nothing about others.
  [[nodiscard]] std::string_view IdOf(std::string_view key) const;
  [[nodiscard]] std::size_t size() const noexcept { return ids_.size(); }

 private:
  std::map<Digest, std::string> ids_;
};

}  // namespace sluicegate::identity
