// Glob: a pattern with stars. In a path `*` is any run of characters but '/', `**` any run at all;
// "/**/" also matches a single '/', and a trailing "/**" the path before it as well ("/api/**"
// covers /api). Any other text has no segments: `*` and `**` are any run. Everything else is
// itself.
//
// Immutable after Compile, so thread-safe. Matching is linear in the text, whatever the pattern:
// the set of places in the pattern that the text so far can have reached is a few words of bits
// (Baeza-Yates and Gonnet, "A new approach to text searching", 1992), so no pattern and no text
// makes it backtrack.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace sluicegate::policy {

class Glob {
 public:
  static constexpr std::size_t kMaxLength = 250;  ///< Bytes of a pattern.
  /// What is matched: a path, or a text without segments (a field's value, a host, a tool's name).
  enum class Subject : std::uint8_t { kPath, kText };

  /// nullopt if the pattern is empty or longer than kMaxLength.
  [[nodiscard]] static std::optional<Glob> Compile(std::string_view pattern, Subject subject);

  [[nodiscard]] bool Matches(std::string_view text) const noexcept {
    switch (kind_) {
      case Kind::kAll:
        return true;
      case Kind::kExact:
        return text == pattern_;
      case Kind::kPrefix:
        return text.starts_with(prefix_);
      case Kind::kSubtree:
        return text.starts_with(prefix_) &&
               (text.size() == prefix_.size() || text[prefix_.size()] == '/');
      case Kind::kGeneral:
        break;
    }
    return Simulate(text);
  }
  [[nodiscard]] const std::string& pattern() const noexcept { return pattern_; }

 private:
  enum class Kind : std::uint8_t { kAll, kExact, kPrefix, kSubtree, kGeneral };
  static constexpr std::size_t kWords = 4;  // 256 places: one more than the longest pattern has.
  using Places = std::array<std::uint64_t, kWords>;
  struct Tables {
    std::array<Places, 256> literal{};  // Places that this byte leads on from.
    Places star{};                      // Places that hold `*`: they stay for any byte but '/'.
    Places double_star{};               // Places that hold `**`: they stay for any byte.
    Places skip_two{};  // Places of a `**` in "/**/": it and the '/' may be left out.
    Places accept{};
  };

  [[nodiscard]] bool Simulate(std::string_view text) const noexcept;

  Kind kind_ = Kind::kAll;
  std::string pattern_;
  std::string prefix_;
  std::shared_ptr<const Tables> tables_;  // kGeneral only.
};

}  // namespace sluicegate::policy
