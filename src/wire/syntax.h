// The alphabets of HTTP (RFC 9110 section 5.6) as tables, and comparing without case. Everything
// here is pure and constexpr.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace sluicegate::wire {

/// One field of a head: views into the caller's read buffer.
struct Field {
  std::string_view name;
  std::string_view value;  ///< Without the white space around it.
};

namespace syntax {

constexpr bool IsDigit(char c) noexcept { return c >= '0' && c <= '9'; }
constexpr bool IsAlpha(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/// -1: no hexadecimal digit.
constexpr int HexValue(char c) noexcept {
  if (IsDigit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

constexpr char ToLower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

constexpr std::array<bool, 256> MakeTokenTable() noexcept {
  std::array<bool, 256> table{};
  for (unsigned c = 0; c < table.size(); ++c) {
    const auto character = static_cast<char>(c);
    table[c] = IsDigit(character) || IsAlpha(character);
  }
  for (const char c : std::string_view("!#$%&'*+-.^_`|~"))
    table[static_cast<std::uint8_t>(c)] = true;
  return table;
}
inline constexpr std::array<bool, 256> kTokenTable = MakeTokenTable();

/// tchar: what names and methods are made of.
constexpr bool IsToken(char c) noexcept { return kTokenTable[static_cast<std::uint8_t>(c)]; }

constexpr bool IsToken(std::string_view text) noexcept {
  for (const char c : text) {
    if (!IsToken(c)) return false;
  }
  return !text.empty();
}

/// What a field's value may hold: visible characters, space, tab and bytes above ASCII.
constexpr bool IsFieldValue(char c) noexcept {
  const auto byte = static_cast<std::uint8_t>(c);
  return (byte >= 0x20 && byte != 0x7F) || byte == '\t';
}

constexpr bool IsBlank(char c) noexcept { return c == ' ' || c == '\t'; }

constexpr std::string_view Trim(std::string_view text) noexcept {
  while (!text.empty() && IsBlank(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsBlank(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace syntax

/// Compares ASCII without case; other bytes must be equal.
constexpr bool EqualsIgnoreCase(std::string_view a, std::string_view b) noexcept {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    // Most names differ in their first character, and most that do not are written alike.
    if (a[i] != b[i] && syntax::ToLower(a[i]) != syntax::ToLower(b[i])) return false;
  }
  return true;
}

/// The value of the first field of that name.
[[nodiscard]] constexpr std::optional<std::string_view> FindField(std::span<const Field> fields,
                                                                  std::string_view name) noexcept {
  for (const Field& field : fields) {
    if (EqualsIgnoreCase(field.name, name)) return field.value;
  }
  return std::nullopt;
}

}  // namespace sluicegate::wire
