// AdminToken: the secret that admin writes need. Only its hash stays in memory. A value type;
// immutable, so thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace sluicegate::admin {

class AdminToken {
 public:
  /// A token shorter than this is refused: it could be guessed.
  static constexpr std::size_t kMinBytes = 16;
  static constexpr std::size_t kMaxBytes = 1024;

  /// Whose the file must be: this user's or root's; or, where root looks for another user who will
  /// start the program, anybody's.
  enum class Owner : std::uint8_t { kThisUser, kAnybody };

  /// Reads a file that holds the token on one line. The error says what is wrong with it and the
  /// mend: it must be a regular file that nobody but its owner may read or write.
  [[nodiscard]] static std::expected<AdminToken, std::string> Load(const std::string& path,
                                                                   Owner owner = Owner::kThisUser);

  /// Whether `presented` is the token. Takes the same time wherever the two differ.
  [[nodiscard]] bool Matches(std::string_view presented) const noexcept;

 private:
  using Digest = std::array<std::uint8_t, 32>;
  explicit AdminToken(const Digest& digest) : digest_(digest) {}
  Digest digest_;  // SHA-256: comparing digests also hides the token's length.
};

}  // namespace sluicegate::admin
