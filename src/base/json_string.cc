#include "base/json_string.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace sluicegate {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// Bytes of the UTF-8 sequence at the front of `text` (RFC 3629: no surrogates, no overlong forms),
// or 0 if there is none. REQUIRES: !text.empty().
std::size_t SequenceBytes(std::string_view text) noexcept {
  const auto byte = [text](std::size_t i) {
    return i < text.size() ? static_cast<std::uint8_t>(text[i]) : std::uint8_t{0};
  };
  const auto tail = [&byte](std::size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
  const std::uint8_t first = byte(0);
  const std::uint8_t second = byte(1);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return tail(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    const bool overlong = first == 0xE0 && second < 0xA0;
    const bool surrogate = first == 0xED && second > 0x9F;
    return !overlong && !surrogate && tail(1) && tail(2) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const bool overlong = first == 0xF0 && second < 0x90;
    const bool above = first == 0xF4 && second > 0x8F;
    return !overlong && !above && tail(1) && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

void AppendEscaped(char c, std::string& out) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      break;
  }
  const auto byte = static_cast<std::uint8_t>(c);
  if (byte >= 0x20 && byte != 0x7F) {
    out += c;
    return;
  }
  out += "\\u00";
  out += kDigits[byte >> 4U];
  out += kDigits[byte & 0xFU];
}

// Bytes at the front that stand for themselves: nearly always all of them.
std::size_t PlainBytes(std::string_view text) noexcept {
  const auto special = [](char c) { return c < 0x20 || c >= 0x7F || c == '"' || c == '\\'; };
  return static_cast<std::size_t>(std::ranges::find_if(text, special) - text.begin());
}

}  // namespace

void AppendJsonString(std::string_view text, std::string& out) {
  out += '"';
  for (;;) {
    const std::size_t plain = PlainBytes(text);
    out += text.substr(0, plain);
    text.remove_prefix(plain);
    if (text.empty()) break;
    const std::size_t bytes = SequenceBytes(text);
    if (bytes == 1) {
      AppendEscaped(text.front(), out);
    } else if (bytes == 0) {
      out += kReplacement;
    } else {
      out += text.substr(0, bytes);
    }
    text.remove_prefix(bytes == 0 ? 1 : bytes);
  }
  out += '"';
}

}  // namespace sluicegate
