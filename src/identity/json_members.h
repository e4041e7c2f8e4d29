// JsonMembers: the members of a JSON object that somebody asks for, from a text by a stranger.
// Immutable, so thread-safe.
//
// Read strictly, so that no other reader can see another object in it: RFC 8259 and UTF-8 without a
// byte order mark, nothing behind the object, and no wanted member twice, however its name is
// spelled. What nobody asks for is checked to be JSON and thrown away; nothing recurses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace sluicegate::identity {

class JsonMembers {
 public:
  /// Objects and arrays within each other beyond which a text is refused.
  static constexpr std::size_t kMaxDepth = 16;

  struct Other {};  ///< A value of another kind.
  /// Numbers are whole: a fraction is dropped, what does not fit becomes the nearest that does. A
  /// list is one of texts alone.
  using Value = std::variant<Other, std::string, std::int64_t, std::vector<std::string>>;

  /// Nothing: the text is no such object. `wanted` outlives the result.
  [[nodiscard]] static std::optional<JsonMembers> Parse(std::string_view json,
                                                        std::span<const std::string_view> wanted);

  /// The member, if it is there. REQUIRES: `name` was wanted, or it is never there.
  [[nodiscard]] const Value* Find(std::string_view name) const noexcept;
  /// The member, if it is there and a text.
  [[nodiscard]] const std::string* FindText(std::string_view name) const noexcept;

 private:
  explicit JsonMembers(std::span<const std::string_view> wanted)
      : wanted_(wanted), values_(wanted.size()) {}
  class Handler;

  std::span<const std::string_view> wanted_;
  std::vector<std::optional<Value>> values_;  // As many as are wanted.
};

}  // namespace sluicegate::identity
