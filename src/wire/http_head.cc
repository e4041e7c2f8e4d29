#include "wire/http_head.h"

#include <algorithm>
#include <bit>
#include <cstring>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace sluicegate::wire {
namespace {

#ifdef __SSE2__
// The places among 16 bytes of what is no visible character of ASCII and no space, as bits. A value
// may hold some of these.
unsigned FindUnusual(const char* at) noexcept {
  const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
  // Signed: one more than DEL is the least number there is, and bytes above ASCII are below zero.
  const __m128i more = _mm_add_epi8(block, _mm_set1_epi8(1));
  return static_cast<unsigned>(_mm_movemask_epi8(_mm_cmplt_epi8(more, _mm_set1_epi8(' ' + 1))));
}
#endif

// The first byte of [at, end) that no field's value may hold (the CR of the line's end, if all is
// well). Values are most of a head's bytes, so they are looked at 16 at a time; `begin`: of the
// buffer, as the last time some are looked at again.
const char* SkipValue(const char* begin, const char* at, const char* end) noexcept {
#ifdef __SSE2__
  unsigned unusual = 0;
  for (; end - at >= 16 && unusual == 0; at += 16) unusual = FindUnusual(at);
  if (unusual != 0) {
    at += std::countr_zero(unusual) - 16;
  } else if (end - begin >= 16) {
    unusual = FindUnusual(end - 16) >> static_cast<unsigned>(16 - (end - at));
    at = unusual != 0 ? at + std::countr_zero(unusual) : end;
  }
#endif
  while (at != end && syntax::IsFieldValue(*at)) ++at;
  return at;
}

// The first byte of [at, end) that is no token character (the colon, if all is well). Most names
// are letters, digits and dashes, so these are looked at 16 at a time.
const char* SkipName(const char* at, const char* end) noexcept {
#ifdef __SSE2__
  // Unsigned block - first <= last - first, that is min(block - first, last - first) == itself.
  const auto within = [](__m128i block, char first, char last) {
    const __m128i above = _mm_sub_epi8(block, _mm_set1_epi8(first));
    return _mm_cmpeq_epi8(_mm_min_epu8(above, _mm_set1_epi8(static_cast<char>(last - first))),
                          above);
  };
  while (end - at >= 16) {
    const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const __m128i lower = _mm_or_si128(block, _mm_set1_epi8('a' - 'A'));  // Of a letter.
    const __m128i word = _mm_or_si128(within(lower, 'a', 'z'), within(block, '0', '9'));
    const __m128i fine = _mm_or_si128(word, _mm_cmpeq_epi8(block, _mm_set1_epi8('-')));
    const unsigned other = ~static_cast<unsigned>(_mm_movemask_epi8(fine)) & 0xFFFFU;
    at += other != 0 ? std::countr_zero(other) : 16;
    if (other != 0) break;
  }
#endif
  while (at != end && syntax::IsToken(*at)) ++at;
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
  constexpr std::string_view kTooLarge =
      "The header fields exceed 32 KiB; send fewer or shorter ones.";
  // A line that was there in part before is looked at again when its end is known.
  if (searched_ == line_begin_) TakeFields(buffer);
  for (;;) {
    // The empty line at the end is not counted among the fields' bytes.
    if (buffer.substr(line_begin_, 2) == "\r\n") {
      line_begin_ = searched_ = line_begin_ + 2;
      return ParseState::kDone;
    }
    const std::size_t used = line_begin_ - fields_begin_;
    std::string_view line;
    switch (FindLine(buffer, kMaxFieldBytes + 2 - used, line)) {
      case LineState::kNeedMore:
        return ParseState::kNeedMore;
      case LineState::kTooLong:
        return Refuse(431, kTooLarge);
      case LineState::kLine:
        break;
    }
    if (used + line.size() > kMaxFieldBytes) return Refuse(431, kTooLarge);
    const std::size_t before = line_begin_;
    TakeFields(buffer);
    if (line_begin_ == before) return RefuseField(line);
  }
}

void HeadParser::TakeFields(std::string_view buffer) noexcept {
  const char* const begin = buffer.data();
  const char* const end = begin + std::min(buffer.size(), fields_begin_ + kMaxFieldBytes);
  const char* line = begin + line_begin_;
  while (span_count_ < kMaxFields) {
    const char* const colon = SkipName(line, end);
    if (colon == line || colon == end || *colon != ':') break;
    const char* value = colon + 1;
    if (value != end && *value == ' ') ++value;  // In most lines all there is.
    while (value != end && syntax::IsBlank(*value)) ++value;
    const char* const line_end = SkipValue(begin, value, end);
    if (end - line_end < 2 || line_end[0] != '\r' || line_end[1] != '\n') break;
    const char* value_end = line_end;
    while (value_end != value && syntax::IsBlank(value_end[-1])) --value_end;
    TakeField(buffer, {line, colon}, {value, value_end});
    line = line_end + 2;
  }
  line_begin_ = static_cast<std::size_t>(line - begin);
  searched_ = std::max(searched_, line_begin_);
}

inline void HeadParser::TakeField(std::string_view buffer, std::string_view name,
                                  std::string_view value) noexcept {
  const auto span = [&buffer](std::string_view text) {
    return Span{.begin = static_cast<std::uint16_t>(text.data() - buffer.data()),
                .size = static_cast<std::uint16_t>(text.size())};
  };
  spans_[span_count_] = {.name = span(name), .value = span(value)};
  if (const std::size_t known = KnownIndex(name); known != kNotKnown) {
    known_at_[known] = static_cast<std::uint8_t>(span_count_);
    ++known_count_[known];
  }
  ++span_count_;
}

ParseState HeadParser::RefuseField(std::string_view line) noexcept {
  if (span_count_ == kMaxFields) {
    return Refuse(431, "There are more than 100 header fields; send fewer.");
  }
  std::size_t name = 0;                        // Its size.
  while (syntax::IsToken(line[name])) ++name;  // The LF is no token character, so this ends.
  if (name > 0 && line[name] == ':') {
    return Refuse(400,
                  "A header's value holds a control character, or its line does not end in CR LF; "
                  "send neither bare CR, bare LF nor NUL.");
  }
  if (syntax::IsBlank(line.front())) {
    return Refuse(400, "A header line begins with white space; send each field on one line.");
  }
  if (syntax::IsBlank(line[name])) {
    return Refuse(400, "White space stands before a header's colon; write `Name: value`.");
  }
  return Refuse(400, "A header line is not `Name: value`; mend the name.");
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
    head.field_storage[i] = {.name = {buffer.data() + span.name.begin, span.name.size},
                             .value = {buffer.data() + span.value.begin, span.value.size}};
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
