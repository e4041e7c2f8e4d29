#include "base/json_string.h"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

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

void PutEscaped(char c, TextWriter& out) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  switch (c) {
    case '"':
      return out.Put("\\\"");
    case '\\':
      return out.Put("\\\\");
    case '\n':
      return out.Put("\\n");
    case '\r':
      return out.Put("\\r");
    case '\t':
      return out.Put("\\t");
    default:
      break;
  }
  const auto byte = static_cast<std::uint8_t>(c);
  out.Put("\\u00");
  out.Put(kDigits.substr(byte >> 4U, 1));
  out.Put(kDigits.substr(byte & 0xFU, 1));
}

constexpr std::array<bool, 256> MakePlainTable() noexcept {
  std::array<bool, 256> table{};
  for (unsigned c = 0x20; c < 0x7F; ++c) table[c] = c != '"' && c != '\\';
  return table;
}
constexpr std::array<bool, 256> kPlain = MakePlainTable();

// Bytes at the front that stand for themselves: nearly always all of them.
std::size_t PlainBytes(std::string_view text) noexcept {
  const char* at = text.data();
  const char* const end = at + text.size();
#ifdef __SSE2__
  for (; end - at >= 16; at += 16) {
    const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    // Signed, so that what is above ASCII counts as a control.
    const __m128i control = _mm_cmplt_epi8(block, _mm_set1_epi8(' '));
    const __m128i special = _mm_or_si128(_mm_cmpeq_epi8(block, _mm_set1_epi8('"')),
                                         _mm_cmpeq_epi8(block, _mm_set1_epi8('\\')));
    const __m128i del = _mm_cmpeq_epi8(block, _mm_set1_epi8(0x7F));
    const __m128i any = _mm_or_si128(_mm_or_si128(control, del), special);
    if (const auto found = static_cast<unsigned>(_mm_movemask_epi8(any)); found != 0) {
      return static_cast<std::size_t>(at - text.data() + std::countr_zero(found));
    }
  }
#endif
  while (at != end && kPlain[static_cast<std::uint8_t>(*at)]) ++at;
  return static_cast<std::size_t>(at - text.data());
}

}  // namespace

void AppendJsonString(std::string_view text, std::string& out) {
  TextWriter writer(out, text.size() + 2);
  PutJsonString(text, writer);
}

void PutJsonString(std::string_view text, TextWriter& out) {
  out.Put("\"");
  for (;;) {
    const std::size_t plain = PlainBytes(text);
    out.Put(text.substr(0, plain));
    text.remove_prefix(plain);
    if (text.empty()) break;
    const std::size_t bytes = SequenceBytes(text);
    if (bytes == 1) {
      PutEscaped(text.front(), out);
    } else {
      out.Put(bytes == 0 ? kReplacement : text.substr(0, bytes));
    }
    text.remove_prefix(bytes == 0 ? 1 : bytes);
  }
  out.Put("\"");
}

}  // namespace sluicegate
