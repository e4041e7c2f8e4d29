// JSON text (RFC 8259), read once from front to back, with every rule checked: what was accepted
// here every other JSON parser reads, too, and reads alike where keys do not repeat.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace sluicegate::wire {

/// Bytes that must be readable, and may hold anything, behind a text that is walked over.
inline constexpr std::size_t kJsonPadding = 64;

/// Levels of objects and arrays that a walk follows.
inline constexpr unsigned kMaxJsonDepth = 64;

/// A walk over the tokens of one text. simdjson's first stage finds the tokens, and sees to UTF-8
/// and to strings that end and hold no control characters. The grammar is checked here and not by
/// its on-demand interface, which checks what it is asked for only and tells no key's end, nor by
/// its tree, which forgets how a number was written and refuses integers of more than 64 bits.
///
/// A step that answers false has found what is no JSON; the walk is over then. Bound to one thread.
/// Its buffers take 4 bytes for each byte of the longest text so far and stay from text to text.
class JsonWalk {
 public:
  enum class Fault : std::uint8_t {
    kNone,
    kEmpty,    ///< No token at all.
    kNoUtf8,   ///< Not UTF-8 (RFC 3629) throughout.
    kString,   ///< A string does not end, or holds a control character.
    kEscape,   ///< An escape that JSON does not have, or half of a surrogate pair.
    kGrammar,  ///< Anything else.
    kMemory,   ///< No fault of the text: there is no memory for its tokens.
  };

  JsonWalk();
  ~JsonWalk();
  JsonWalk(const JsonWalk&) = delete;
  JsonWalk& operator=(const JsonWalk&) = delete;

  /// Finds the tokens and stands before the first one.
  /// REQUIRES: kJsonPadding bytes are readable behind `text`; it is below 4 GiB and stays until the
  /// walk is over.
  [[nodiscard]] bool Start(std::string_view text);

  /// Takes an object. `on_field(raw_key)` must take the field's value and hand back what that
  /// answered; a raw key is what stands between the quotes, its escapes valid but not undone.
  template <typename OnField>
  [[nodiscard]] bool Object(const OnField& on_field);

  /// Takes an array; `on_element()` must take one value.
  template <typename OnElement>
  [[nodiscard]] bool Array(const OnElement& on_element);

  /// Takes a value of any kind; `text` becomes its text as it stands there.
  [[nodiscard]] bool Value(std::string_view& text);
  [[nodiscard]] bool Value();

  /// The first character of what comes next, which tells its kind: { [ " - 0-9 t f n.
  [[nodiscard]] char Peek() const noexcept { return AtEnd() ? '\0' : text_[at_[next_]]; }
  [[nodiscard]] bool AtEnd() const noexcept { return next_ == count_; }

  /// Where the next token begins; and the text from there up to the end of the last token taken.
  [[nodiscard]] std::size_t Mark() const noexcept { return AtEnd() ? text_.size() : at_[next_]; }
  [[nodiscard]] std::string_view Since(std::size_t mark) const noexcept {
    return text_.substr(mark, end_ - mark);
  }

  [[nodiscard]] Fault fault() const noexcept { return fault_; }

  /// Something lay deeper than kMaxJsonDepth. It was passed over with its brackets counted and
  /// nothing checked, so the text must be refused; what lies around it was read.
  [[nodiscard]] bool too_deep() const noexcept { return too_deep_; }

  /// Lets go of the buffers. The next Start makes new ones.
  void Release() noexcept;

 private:
  struct Scanner;

  bool Fail(Fault fault) noexcept;
  // The next token is the character `c`: takes it.
  bool Eat(char c) noexcept;
  std::string_view Take() noexcept;
  bool String(std::string_view& raw) noexcept;
  bool Scalar() noexcept;
  bool PassOver() noexcept;

  std::unique_ptr<Scanner> scanner_;
  std::string_view text_;
  const std::uint32_t* at_ = nullptr;  // Where each token begins.
  std::size_t count_ = 0;              // Of tokens.
  std::size_t next_ = 0;
  std::size_t end_ = 0;  // Where the last token taken ends in the text.
  unsigned depth_ = 0;
  Fault fault_ = Fault::kNone;
  bool too_deep_ = false;
};

/// Appends what a raw string, without its quotes, stands for. False: an escape is none of JSON's or
/// half of a surrogate pair; `out` has then what came before it. Pure.
[[nodiscard]] bool AppendUnescaped(std::string_view raw, std::string& out);

template <typename OnField>
bool JsonWalk::Object(const OnField& on_field) {
  if (depth_ == kMaxJsonDepth) return PassOver();
  if (!Eat('{')) return Fail(Fault::kGrammar);
  ++depth_;
  if (!Eat('}')) {
    do {
      std::string_view key;
      if (!String(key)) return false;
      if (!Eat(':')) return Fail(Fault::kGrammar);
      if (!on_field(key)) return false;
    } while (Eat(','));
    if (!Eat('}')) return Fail(Fault::kGrammar);
  }
  --depth_;
  return true;
}

template <typename OnElement>
bool JsonWalk::Array(const OnElement& on_element) {
  if (depth_ == kMaxJsonDepth) return PassOver();
  if (!Eat('[')) return Fail(Fault::kGrammar);
  ++depth_;
  if (!Eat(']')) {
    do {
      if (!on_element()) return false;
    } while (Eat(','));
    if (!Eat(']')) return Fail(Fault::kGrammar);
  }
  --depth_;
  return true;
}

}  // namespace sluicegate::wire
