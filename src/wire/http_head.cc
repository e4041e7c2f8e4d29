#include "wire/http_head.h"

#include <algorithm>
#include <bit>
#include <cstring>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace sluicegate::wire {
namespace {

// The first byte of [at, end) that no field's value may hold (the CR of the line's end, if all is
// well). Values are most of a head's bytes, so they are looked at 16 at a time.
const char* SkipValue(const char* at, const char* end) noexcept {
#ifdef __SSE2__
  const __m128i space = _mm_set1_epi8(' ');
  const __m128i tab = _mm_set1_epi8('\t');
  const __m128i del = _mm_set1_epi8(0x7F);
  while (end - at >= 16) {
    const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    // Unsigned block < ' ', that is max(block, ' ') != block.
    const __m128i visible = _mm_cmpeq_epi8(_mm_max_epu8(block, space), block);
    const __m128i good = _mm_or_si128(visible, _mm_cmpeq_epi8(block, tab));
    const __m128i fine = _mm_andnot_si128(_mm_cmpeq_epi8(block, del), good);
    const unsigned bad = ~static_cast<unsigned>(_mm_movemask_epi8(fine)) & 0xFFFFU;
    if (bad != 0) return at + std::countr_zero(bad);
    at += 16;
  }
#endif
  while (at != end && syntax::IsFieldValue(*at)) ++at;
  return at;
}

constexpr std::size_t kNotKnown = ~std::size_t{0};

}  // namespace

std::optional<std::string_view> MessageHead::Find(std::string_view name) const noexcept {
  return FindField(fields(), name);
}

void HeadParser::Reset() noexcept {
  line_begin_ = 0;
  searched_ = 0;
  fields_begin_ = 0;
  in_fields_ = false;
  span_count_ = 0;
  known_count_.fill(0);
  refusal_ = {};
}

ParseState HeadParser::Refuse(std::uint16_t status, std::string_view detail) noexcept {
  refusal_ = {.status = status, .detail = detail};
  return ParseState::kRefused;
}

// `max_bytes` counts the line with its CRLF.
HeadParser::LineState HeadParser::FindLine(std::string_view buffer, std::size_t max_bytes,
                                           std::string_view& line) {
  const std::size_t limit = std::min(buffer.size(), line_begin_ + max_bytes);
  const void* found =
      searched_ < limit ? std::memchr(buffer.data() + searched_, '\n', limit - searched_) : nullptr;
  if (found == nullptr) {
    searched_ = std::max(searched_, limit);
    return limit == line_begin_ + max_bytes ? LineState::kTooLong : LineState::kNeedMore;
  }
  const auto end = static_cast<std::size_t>(static_cast<const char*>(found) - buffer.data()) + 1;
  line = buffer.substr(line_begin_, end - line_begin_);
  return LineState::kLine;
}

ParseState HeadParser::ParseFields(std::string_view buffer) noexcept {
  for (;;) {
    // The empty line at the end is not counted among the fields' bytes.
    const std::size_t used = line_begin_ - fields_begin_;
    std::string_view line;
    switch (FindLine(buffer, kMaxFieldBytes + 2 - used, line)) {
      case LineState::kNeedMore:
        return ParseState::kNeedMore;
      case LineState::kTooLong:
        return Refuse(431, "The header fields exceed 32 KiB; send fewer or shorter ones.");
      case LineState::kLine:
        break;
    }
    const std::size_t end = line_begin_ + line.size();
    if (line == "\r\n") {
      line_begin_ = searched_ = end;
      return ParseState::kDone;
    }
    if (used + line.size() > kMaxFieldBytes) {
      return Refuse(431, "The header fields exceed 32 KiB; send fewer or shorter ones.");
    }
    if (!ParseFieldLine(buffer, line)) return ParseState::kRefused;
    line_begin_ = searched_ = end;
  }
}

bool HeadParser::ParseFieldLine(std::string_view buffer, std::string_view line) noexcept {
  const auto refuse = [this](std::uint16_t status, std::string_view detail) {
    Refuse(status, detail);
    return false;
  };
  if (span_count_ == kMaxFields) {
    return refuse(431, "There are more than 100 header fields; send fewer.");
  }
  const char* const begin = line.data();
  const char* const end = begin + line.size();  // Behind the LF.
  const char* at = begin;
  while (syntax::IsToken(*at)) ++at;  // The LF is no token character, so this ends.
  const char* const name_end = at;
  if (*at != ':' || at == begin) {
    if (syntax::IsBlank(*begin)) {
      return refuse(400, "A header line begins with white space; send each field on one line.");
    }
    if (syntax::IsBlank(*at)) {
      return refuse(400, "White space stands before a header's colon; write `Name: value`.");
    }
    return refuse(400, "A header line is not `Name: value`; mend the name.");
  }
  ++at;
  while (syntax::IsBlank(*at)) ++at;
  const char* const value = at;
  at = SkipValue(at, end);
  if (end - at != 2 || *at != '\r') {
    return refuse(400,
                  "A header's value holds a control character, or its line does not end in CR LF; "
                  "send neither bare CR, bare LF nor NUL.");
  }
  while (at != value && syntax::IsBlank(at[-1])) --at;
  const auto span = [&buffer](const char* from, const char* to) {
    return Span{.begin = static_cast<std::uint16_t>(from - buffer.data()),
                .size = static_cast<std::uint16_t>(to - from)};
  };
  spans_[span_count_] = {.name = span(begin, name_end), .value = span(value, at)};
  const std::size_t known = KnownIndex({begin, static_cast<std::size_t>(name_end - begin)});
  if (known != kNotKnown) {
    known_at_[known] = static_cast<std::uint8_t>(span_count_);
    ++known_count_[known];
  }
  ++span_count_;
  return true;
}

std::size_t HeadParser::KnownIndex(std::string_view name) noexcept {
  // The lengths of the known names differ, but for a few strangers that share them.
  const auto if_equal = [name](std::string_view text, Known known) {
    return EqualsIgnoreCase(name, text) ? static_cast<std::size_t>(known) : kNotKnown;
  };
  switch (name.size()) {
    case 4:
      return if_equal("host", Known::kHost);
    case 6:
      return if_equal("expect", Known::kExpect);
    case 7:
      return if_equal("upgrade", Known::kUpgrade);
    case 10:
      return if_equal("connection", Known::kConnection);
    case 14:
      return if_equal("content-length", Known::kContentLength);
    case 17:
      return if_equal("transfer-encoding", Known::kTransferEncoding);
    default:
      return kNotKnown;
  }
}

bool HeadParser::Fill(std::string_view buffer, MessageHead& head) noexcept {
  for (std::size_t i = 0; i < span_count_; ++i) {
    const FieldSpan& span = spans_[i];
    head.field_storage[i] = {.name = buffer.substr(span.name.begin, span.name.size),
                             .value = buffer.substr(span.value.begin, span.value.size)};
  }
  head.field_count = span_count_;
  head.size = line_begin_;
  return FillLength(head) && FillConnection(head);
}

bool HeadParser::FillLength(MessageHead& head) noexcept {
  head.content_length.reset();
  const unsigned count = CountOf(Known::kContentLength);
  if (count == 0) return true;
  if (count > 1) {
    Refuse(400, "Content-Length is sent more than once; send it once.");
    return false;
  }
  // 18 digits are below 2^63, so sums with it cannot overflow.
  constexpr std::size_t kMaxDigits = 18;
  const std::string_view value = ValueOf(Known::kContentLength, head);
  if (value.empty() || value.size() > kMaxDigits || !std::ranges::all_of(value, syntax::IsDigit)) {
    Refuse(400, "Content-Length is not one plain number; send decimal digits only.");
    return false;
  }
  std::uint64_t length = 0;
  for (const char c : value) length = length * 10 + static_cast<std::uint64_t>(c - '0');
  head.content_length = length;
  return true;
}

bool HeadParser::FillConnection(MessageHead& head) noexcept {
  head.connection_count = 0;
  bool close = false;
  bool keep_alive = false;
  bool upgrade = false;
  for (const Field& field : head.fields()) {
    if (CountOf(Known::kConnection) == 0) break;
    if (!EqualsIgnoreCase(field.name, "connection")) continue;
    std::string_view rest = field.value;
    while (!rest.empty()) {
      const std::size_t comma = std::min(rest.find(','), rest.size());
      const std::string_view token = syntax::Trim(rest.substr(0, comma));
      rest.remove_prefix(std::min(comma + 1, rest.size()));
      if (token.empty()) continue;
      if (!syntax::IsToken(token) || head.connection_count == kMaxConnectionTokens) {
        Refuse(400, "Connection is not a list of at most 16 names; mend it.");
        return false;
      }
      head.connection_storage[head.connection_count++] = token;
      close = close || EqualsIgnoreCase(token, "close");
      keep_alive = keep_alive || EqualsIgnoreCase(token, "keep-alive");
      upgrade = upgrade || EqualsIgnoreCase(token, "upgrade");
    }
  }
  head.keep_alive = !close && (head.minor_version == 1 || keep_alive);
  head.upgrade = upgrade && CountOf(Known::kUpgrade) > 0;
  return true;
}

}  // namespace sluicegate::wire
