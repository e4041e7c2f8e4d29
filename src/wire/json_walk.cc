#include "wire/json_walk.h"

#include <simdjson.h>

#include <optional>

#include "wire/syntax.h"

namespace sluicegate::wire {
namespace {

static_assert(kJsonPadding >= simdjson::SIMDJSON_PADDING);

constexpr bool IsSpace(char c) noexcept { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

bool EatDigits(std::string_view& text) noexcept {
  std::size_t digits = 0;
  while (digits < text.size() && syntax::IsDigit(text[digits])) ++digits;
  text.remove_prefix(digits);
  return digits > 0;
}

bool EatFront(std::string_view& text, char c) noexcept {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

bool IsNumber(std::string_view text) noexcept {
  EatFront(text, '-');
  if (!EatFront(text, '0') && !EatDigits(text)) return false;
  if (EatFront(text, '.') && !EatDigits(text)) return false;
  if (EatFront(text, 'e') || EatFront(text, 'E')) {
    if (!EatFront(text, '+')) EatFront(text, '-');
    if (!EatDigits(text)) return false;
  }
  return text.empty();
}

// The UTF-16 unit of "uXXXX" at the front, which it takes away.
std::optional<std::uint32_t> EatUnit(std::string_view& text) noexcept {
  constexpr std::size_t kSize = 5;
  if (text.size() < kSize || text.front() != 'u') return std::nullopt;
  std::uint32_t unit = 0;
  for (const char c : text.substr(1, kSize - 1)) {
    const int digit = syntax::HexValue(c);
    if (digit < 0) return std::nullopt;
    unit = unit * 16 + static_cast<std::uint32_t>(digit);
  }
  text.remove_prefix(kSize);
  return unit;
}

// The code point of "uXXXX" or "uXXXX\uXXXX" at the front.
std::optional<std::uint32_t> EatCodePoint(std::string_view& text) noexcept {
  const auto unit = EatUnit(text);
  if (!unit || *unit < 0xD800 || *unit > 0xDFFF) return unit;
  if (*unit > 0xDBFF || !EatFront(text, '\\')) return std::nullopt;
  const auto low = EatUnit(text);
  if (!low || *low < 0xDC00 || *low > 0xDFFF) return std::nullopt;
  return 0x10000 + ((*unit - 0xD800) << 10U) + (*low - 0xDC00);
}

void AppendUtf8(std::uint32_t point, std::string& out) {
  const auto tail = [&out, point](unsigned shift) {
    out += static_cast<char>(0x80U | ((point >> shift) & 0x3FU));
  };
  if (point < 0x80) {
    out += static_cast<char>(point);
  } else if (point < 0x800) {
    out += static_cast<char>(0xC0U | (point >> 6U));
    tail(0);
  } else if (point < 0x10000) {
    out += static_cast<char>(0xE0U | (point >> 12U));
    tail(6);
    tail(0);
  } else {
    out += static_cast<char>(0xF0U | (point >> 18U));
    tail(12);
    tail(6);
    tail(0);
  }
}

// What the letter of a two-character escape stands for; '\0': nothing.
char ShortEscape(char letter) noexcept {
  constexpr std::string_view kLetters = "\"\\/bfnrt";
  constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
  const std::size_t at = kLetters.find(letter);
  return at == kLetters.npos ? '\0' : kMeanings[at];
}

// Takes the escape behind a backslash; `on_point` hears what it stands for.
template <typename OnPoint>
bool EatEscape(std::string_view& text, const OnPoint& on_point) {
  if (text.empty()) return false;
  if (const char meaning = ShortEscape(text.front()); meaning != '\0') {
    text.remove_prefix(1);
    on_point(static_cast<std::uint8_t>(meaning));
    return true;
  }
  const auto point = EatCodePoint(text);
  if (point) on_point(*point);
  return point.has_value();
}

bool AreEscapesValid(std::string_view raw) noexcept {
  for (std::size_t at = raw.find('\\'); at != raw.npos; at = raw.find('\\')) {
    raw.remove_prefix(at + 1);
    if (!EatEscape(raw, [](std::uint32_t) {})) return false;
  }
  return true;
}

}  // namespace

bool AppendUnescaped(std::string_view raw, std::string& out) {
  for (std::size_t at = raw.find('\\'); at != raw.npos; at = raw.find('\\')) {
    out += raw.substr(0, at);
    raw.remove_prefix(at + 1);
    if (!EatEscape(raw, [&out](std::uint32_t point) { AppendUtf8(point, out); })) return false;
  }
  out += raw;
  return true;
}

// simdjson's parser of the instructions that this processor has; only its first stage is used.
struct JsonWalk::Scanner {
  std::unique_ptr<simdjson::internal::dom_parser_implementation> parser;

  simdjson::error_code Scan(std::string_view text) noexcept {
    simdjson::error_code error = simdjson::SUCCESS;
    if (parser == nullptr) {
      // Levels are the second stage's.
      error = simdjson::get_active_implementation()->create_dom_parser_implementation(text.size(),
                                                                                      1, parser);
    } else if (parser->capacity() < text.size()) {
      error = parser->set_capacity(text.size());
    }
    if (error != simdjson::SUCCESS) return error;
    return parser->stage1(reinterpret_cast<const std::uint8_t*>(text.data()), text.size(),
                          simdjson::stage1_mode::regular);
  }
};

JsonWalk::JsonWalk() : scanner_(std::make_unique<Scanner>()) {}
JsonWalk::~JsonWalk() = default;

void JsonWalk::Release() noexcept {
  scanner_->parser.reset();
  at_ = nullptr;
  count_ = next_ = 0;
}

bool JsonWalk::Start(std::string_view text) {
  text_ = text;
  count_ = next_ = end_ = 0;
  depth_ = 0;
  fault_ = Fault::kNone;
  too_deep_ = false;
  if (text.empty()) return Fail(Fault::kEmpty);
  switch (scanner_->Scan(text)) {
    case simdjson::SUCCESS:
      break;
    case simdjson::EMPTY:
      return Fail(Fault::kEmpty);
    case simdjson::UTF8_ERROR:
      return Fail(Fault::kNoUtf8);
    case simdjson::UNCLOSED_STRING:
    case simdjson::UNESCAPED_CHARS:
      return Fail(Fault::kString);
    case simdjson::MEMALLOC:
    case simdjson::CAPACITY:
      scanner_->parser.reset();  // It may have lost one of its buffers.
      return Fail(Fault::kMemory);
    default:
      return Fail(Fault::kGrammar);
  }
  at_ = scanner_->parser->structural_indexes.get();
  count_ = scanner_->parser->n_structural_indexes;
  return true;
}

bool JsonWalk::Value(std::string_view& text) {
  const std::size_t mark = Mark();
  if (!Value()) return false;
  text = Since(mark);
  return true;
}

bool JsonWalk::Value() {
  std::string_view raw;
  switch (Peek()) {
    case '{':
      return Object([this](std::string_view) { return Value(); });
    case '[':
      return Array([this] { return Value(); });
    case '"':
      return String(raw);
    default:
      return Scalar();
  }
}

bool JsonWalk::Fail(Fault fault) noexcept {
  fault_ = fault;
  return false;
}

bool JsonWalk::Eat(char c) noexcept {
  if (Peek() != c) return false;
  end_ = at_[next_++] + 1;
  return true;
}

// The next token without the white space behind it. REQUIRES: !AtEnd().
std::string_view JsonWalk::Take() noexcept {
  const std::size_t begin = at_[next_++];
  end_ = Mark();
  while (end_ > begin && IsSpace(text_[end_ - 1])) --end_;
  return text_.substr(begin, end_ - begin);
}

bool JsonWalk::String(std::string_view& raw) noexcept {
  if (Peek() != '"') return Fail(Fault::kGrammar);
  raw = Take();
  if (raw.size() < 2 || raw.back() != '"') return Fail(Fault::kGrammar);
  raw = raw.substr(1, raw.size() - 2);
  return AreEscapesValid(raw) || Fail(Fault::kEscape);
}

bool JsonWalk::Scalar() noexcept {
  if (AtEnd()) return Fail(Fault::kGrammar);
  const std::string_view token = Take();
  const bool literal = token == "true" || token == "false" || token == "null";
  return literal || IsNumber(token) || Fail(Fault::kGrammar);
}

bool JsonWalk::PassOver() noexcept {
  too_deep_ = true;
  std::size_t open = 0;
  while (!AtEnd()) {
    const char c = Take().front();
    if (c == '{' || c == '[') ++open;
    if ((c == '}' || c == ']') && --open == 0) return true;
  }
  return Fail(Fault::kGrammar);
}

}  // namespace sluicegate::wire
