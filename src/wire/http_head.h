// The heads of HTTP/1.1 messages: a strict parser that copies nothing (RFC 9112; what is refused
// beyond it is told at each rule).
//
// Threads: a parser and a head are bound to one connection. Ownership: a head's views point into
// the buffer of the last call to Parse and live as long as its bytes do.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "wire/refusal.h"
#include "wire/syntax.h"

namespace sluicegate::wire {

/// Bounds of a head. What goes beyond is refused with the status named here (a response: 502).
inline constexpr std::size_t kMaxStartLineBytes =
    std::size_t{8} * 1024;  ///< 414. Without its CRLF.
inline constexpr std::size_t kMaxFieldBytes =
    std::size_t{32} * 1024;                              ///< 431. All lines with their CRLFs.
inline constexpr std::size_t kMaxFields = 100;           ///< 431.
inline constexpr std::size_t kMaxMethodBytes = 32;       ///< 501.
inline constexpr std::size_t kMaxConnectionTokens = 16;  ///< 400.
/// The most bytes that Parse ever asks for: a read buffer of this size suffices.
inline constexpr std::size_t kMaxHeadBytes = 2 + kMaxStartLineBytes + 2 + kMaxFieldBytes + 2;

/// How a message's end is found.
enum class Framing : std::uint8_t {
  kNone,        ///< No body.
  kLength,      ///< `content_length` bytes.
  kChunked,     ///< Until the last chunk (chunked.h).
  kUntilClose,  ///< Responses only: until the peer closes.
};

/// What requests and responses have in common.
struct MessageHead {
  std::size_t size = 0;        ///< Bytes of the head, its empty line included.
  unsigned minor_version = 1;  ///< HTTP/1.0 or HTTP/1.1.
  Framing framing = Framing::kNone;
  /// The field's value where there was one; where `framing` is kNone it tells nothing about a body.
  std::optional<std::uint64_t> content_length;
  bool keep_alive = true;  ///< The peer will take another message on this connection.
  bool upgrade = false;    ///< Upgrade is there, and Connection names it.

  [[nodiscard]] std::span<const Field> fields() const noexcept {
    return std::span(field_storage).first(field_count);
  }
  /// The first field of that name (compared without case).
  [[nodiscard]] std::optional<std::string_view> Find(std::string_view name) const noexcept;
  /// What Connection names, "close" and "keep-alive" included.
  [[nodiscard]] std::span<const std::string_view> connection() const noexcept {
    return std::span(connection_storage).first(connection_count);
  }

  std::array<Field, kMaxFields> field_storage;  // Use fields().
  std::size_t field_count = 0;
  std::array<std::string_view, kMaxConnectionTokens> connection_storage;  // Use connection().
  std::size_t connection_count = 0;
};

enum class TargetForm : std::uint8_t {
  kOrigin,    ///< /path?query
  kAbsolute,  ///< http://host/path?query
  kAsterisk,  ///< OPTIONS *, or OPTIONS of a URL without path and query.
};

struct RequestHead : MessageHead {
  std::string_view method;
  std::string_view target;  ///< As it was sent.
  TargetForm form = TargetForm::kOrigin;
  /// The path and query of the target, for NormalizePath; "*" for kAsterisk. May be empty or begin
  /// with '?' after an absolute form without a path.
  std::string_view path_and_query;
  /// HOST[:PORT] from the target if that is absolute, else from Host; valid, never with userinfo.
  /// Empty only for HTTP/1.0 without either.
  std::string_view authority;
  bool expect_continue = false;  ///< Answer 100 before reading the body. Never with HTTP/1.0.
  /// How often an OPTIONS or TRACE may go on, by its Max-Forwards; nothing: there is none, or the
  /// method is another. Numbers of 2^64 and more are 2^64 - 1.
  std::optional<std::uint64_t> max_forwards;
};

struct ResponseHead : MessageHead {
  std::uint16_t status = 0;  ///< 100 to 599.
  std::string_view reason;   ///< May be empty.

  /// An interim response: another one follows (101 is final).
  [[nodiscard]] bool interim() const noexcept { return status < 200 && status != 101; }
};

/// What both parsers share: where they are within a head, in offsets, as the buffer may move
/// between two calls.
class HeadParser {
 public:
  /// Ready for the next head.
  void Reset() noexcept;
  /// Why the last Parse answered kRefused.
  [[nodiscard]] const Refusal& refusal() const noexcept { return refusal_; }

 protected:
  HeadParser() noexcept = default;
  ~HeadParser() = default;

  // Offsets into the buffer; all are below kMaxHeadBytes, so 16 bits hold them.
  struct Span {
    std::uint16_t begin = 0;
    std::uint16_t size = 0;
  };
  struct FieldSpan {
    Span name;
    Span value;
  };
  static_assert(kMaxHeadBytes < 65536);

  // Finds the line's end in buffer from line_begin_ on, and remembers how far it looked, so that
  // bytes that drip in are looked at once.
  enum class LineState : std::uint8_t { kNeedMore, kLine, kTooLong };
  LineState FindLine(std::string_view buffer, std::size_t max_bytes, std::string_view& line);

  ParseState ParseFields(std::string_view buffer) noexcept;
  ParseState Refuse(std::uint16_t status, std::string_view detail) noexcept;
  // Copies the fields as views and reads what both kinds of head need of them.
  bool Fill(std::string_view buffer, MessageHead& head) noexcept;

  // Only the fields that decide about framing are known here.
  enum class Known : std::uint8_t {
    kContentLength,
    kTransferEncoding,
    kHost,
    kConnection,
    kExpect,
    kUpgrade,
    kCount,
  };
  [[nodiscard]] unsigned CountOf(Known known) const noexcept {
    return known_count_[static_cast<std::size_t>(known)];
  }
  // The last field of that kind. REQUIRES: CountOf(known) > 0.
  [[nodiscard]] std::string_view ValueOf(Known known, const MessageHead& head) const noexcept {
    return head.field_storage[known_at_[static_cast<std::size_t>(known)]].value;
  }

  std::size_t line_begin_ = 0;  // Of the line that is not yet complete.
  std::size_t searched_ = 0;    // No LF lies in [line_begin_, searched_).
  std::size_t fields_begin_ = 0;
  bool in_fields_ = false;

 private:
  static std::size_t KnownIndex(std::string_view name) noexcept;
  // Takes the fields from line_begin_ on, each in one pass, up to the first whose line is not whole
  // or is refused, or which is none.
  void TakeFields(std::string_view buffer) noexcept;
  void TakeField(std::string_view buffer, std::string_view name, std::string_view value) noexcept;
  // Says why TakeFields did not take the line, which is whole and short enough.
  ParseState RefuseField(std::string_view line) noexcept;
  bool FillLength(MessageHead& head) noexcept;
  bool FillConnection(MessageHead& head) noexcept;

  static constexpr std::size_t kKnown = static_cast<std::size_t>(Known::kCount);

  std::array<FieldSpan, kMaxFields> spans_;
  std::size_t span_count_ = 0;
  std::array<std::uint8_t, kKnown> known_at_{};
  std::array<std::uint8_t, kKnown> known_count_{};
  Refusal refusal_;
};

/// Reads a request's head. Refused with 400 beyond the grammar: Content-Length with
/// Transfer-Encoding or twice; Transfer-Encoding other than `chunked`, or with HTTP/1.0; a second
/// or missing Host; Max-Forwards twice or no number, where it counts; bytes that servers disagree
/// about (bare CR or LF, folding, controls, a space before the colon). One empty line before the
/// request is skipped (RFC 9112 section 2.2).
class RequestParser : public HeadParser {
 public:
  /// `buffer` is every byte since the head's first; it may have moved and grown since the last
  /// call. Lines are judged when they are complete, so how the bytes were cut never changes the
  /// answer. On kDone `head` is filled and bytes from head.size on belong to the body.
  ParseState Parse(std::string_view buffer, RequestHead& head) noexcept;

 private:
  struct StartLine {
    Span method;
    Span target;
    std::uint8_t minor_version = 1;
  };
  bool ParseStartLine(std::string_view buffer, std::string_view line) noexcept;
  bool ParseVersion(std::string_view version) noexcept;
  bool Finish(std::string_view buffer, RequestHead& head) noexcept;
  bool FinishTarget(RequestHead& head) noexcept;
  bool FinishAbsolute(RequestHead& head) noexcept;
  bool FinishFraming(RequestHead& head) noexcept;
  bool FinishForwards(RequestHead& head) noexcept;

  StartLine start_;
};

/// Reads a response's head, as strict about framing; every refusal has status 502.
class ResponseParser : public HeadParser {
 public:
  /// As RequestParser::Parse. `to_head`: it answers a HEAD request, so no body follows.
  ParseState Parse(std::string_view buffer, bool to_head, ResponseHead& head) noexcept;

 private:
  bool ParseStartLine(std::string_view buffer, std::string_view line) noexcept;
  bool FinishFraming(bool to_head, ResponseHead& head) noexcept;

  Span reason_;
  std::uint16_t status_ = 0;
  std::uint8_t minor_version_ = 1;
};

/// An authority without its port: "a.test:8080" -> "a.test", "[::1]:80" -> "[::1]". Pure.
[[nodiscard]] std::string_view HostOf(std::string_view authority) noexcept;

/// Appends what rules compare: HostOf in lower case, without dots at its end.
void AppendRuleHost(std::string_view authority, std::string& out);

}  // namespace sluicegate::wire
