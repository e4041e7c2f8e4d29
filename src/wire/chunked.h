// The chunked transfer coding (RFC 9112 section 7.1): a strict decoder that copies nothing, and the
// encoder of a chunk's head.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "wire/refusal.h"

namespace sluicegate::wire {

/// Bounds of what is read and dropped; beyond is refused with 400.
inline constexpr std::size_t kMaxChunkSizeDigits = 16;
inline constexpr std::size_t kMaxChunkExtensionBytes = 256;                      ///< Of one chunk.
inline constexpr std::size_t kMaxChunkExtensionsBytes = std::size_t{16} * 1024;  ///< Of one body.
inline constexpr std::size_t kMaxTrailerBytes =
    std::size_t{8} * 1024;  ///< All lines, their CRLFs too.

/// Reads one chunked body in pieces of any size. Every line ends in CRLF; no white space around a
/// size; sizes below 2^63. Extensions and trailers are checked, and no payload. Bound to one
/// connection; owns nothing.
///
///     while (!bytes.empty()) {
///       const auto step = decoder.Read(bytes);
///       use(step.payload);
///       bytes.remove_prefix(step.consumed);
///       if (step.state != ParseState::kNeedMore) break;
///     }
class ChunkedDecoder {
 public:
  struct Step {
    ParseState state = ParseState::kNeedMore;
    std::size_t consumed = 0;  ///< Bytes from the front that are dealt with, `payload` included.
    std::string_view payload;  ///< Body bytes within what was passed in; may be empty.
  };

  /// Reads up to the end of the next piece of payload, of the body, or of `bytes`. With kNeedMore
  /// and consumed < bytes.size(): call again with the rest. On kDone the bytes behind `consumed`
  /// belong to the next message. Not to be called after kDone or kRefused.
  [[nodiscard]] Step Read(std::string_view bytes) noexcept;

  /// Bytes of the trailer section that were read, the empty line behind it included: they are the
  /// last ones that were. 0: the body has no trailers, or they are still to come.
  [[nodiscard]] std::size_t trailer_bytes() const noexcept {
    return has_trailers_ ? trailer_bytes_ : 0;
  }

  /// Why Read answered kRefused.
  [[nodiscard]] const Refusal& refusal() const noexcept { return refusal_; }

 private:
  enum class At : std::uint8_t {
    kSize,
    kExtension,
    kSizeLf,
    kPayload,
    kPayloadCr,
    kPayloadLf,
    kTrailerBegin,
    kTrailerName,
    kTrailerValue,
    kTrailerLf,
    kEndLf,
    kEnd,
  };

  ParseState Eat(char c) noexcept;
  ParseState EatSize(char c) noexcept;
  ParseState EatExtension(char c) noexcept;
  ParseState EatTrailer(char c) noexcept;
  ParseState Expect(char c, char wanted, At next) noexcept;
  ParseState Refuse(std::string_view detail) noexcept;

  At at_ = At::kSize;
  bool has_trailers_ = false;
  std::uint8_t digits_ = 0;
  std::uint64_t left_ = 0;  // The size read so far, then the payload bytes to come.
  std::size_t extension_bytes_ = 0;
  std::size_t extensions_bytes_ = 0;
  std::size_t trailer_bytes_ = 0;
  Refusal refusal_;
};

/// A chunk's head, "1a\r\n", without an allocation. A value type.
class ChunkHead {
 public:
  /// REQUIRES: size > 0, as a chunk of size 0 ends the body.
  explicit ChunkHead(std::uint64_t size) noexcept;
  [[nodiscard]] std::string_view view() const noexcept { return {text_.data(), size_}; }

 private:
  std::array<char, kMaxChunkSizeDigits + 2> text_;
  std::size_t size_ = 0;
};

inline constexpr std::string_view kChunkEnd = "\r\n";        ///< Behind each chunk's payload.
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";  ///< The body's end, no trailers.

}  // namespace sluicegate::wire
