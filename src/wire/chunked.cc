#include "wire/chunked.h"

#include <algorithm>
#include <charconv>

#include "wire/syntax.h"

namespace sluicegate::wire {

ParseState ChunkedDecoder::Refuse(std::string_view detail) noexcept {
  refusal_ = {.status = 400, .detail = detail};
  return ParseState::kRefused;
}

ChunkedDecoder::Step ChunkedDecoder::Read(std::string_view bytes) noexcept {
  Step step;
  while (step.consumed < bytes.size()) {
    if (at_ == At::kPayload) {
      step.payload = bytes.substr(step.consumed);
      if (step.payload.size() >= left_) {
        step.payload = step.payload.substr(0, static_cast<std::size_t>(left_));
        at_ = At::kPayloadCr;
      }
      left_ -= step.payload.size();
      step.consumed += step.payload.size();
      return step;
    }
    step.state = Eat(bytes[step.consumed]);
    if (step.state == ParseState::kRefused) return step;
    ++step.consumed;
    if (step.state == ParseState::kDone) return step;
  }
  return step;
}

ParseState ChunkedDecoder::Eat(char c) noexcept {
  switch (at_) {
    case At::kSize:
      return EatSize(c);
    case At::kExtension:
      return EatExtension(c);
    case At::kSizeLf:
      digits_ = 0;
      extension_bytes_ = 0;
      return Expect(c, '\n', left_ > 0 ? At::kPayload : At::kTrailerBegin);
    case At::kPayloadCr:
      return Expect(c, '\r', At::kPayloadLf);
    case At::kPayloadLf:
      return Expect(c, '\n', At::kSize);
    case At::kEndLf: {
      const ParseState state = Expect(c, '\n', At::kEnd);
      if (state == ParseState::kRefused) return state;
      ++trailer_bytes_;
      return ParseState::kDone;
    }
    case At::kPayload:  // Dealt with in Read.
    case At::kEnd:
      return Refuse("Bytes follow the end of a chunked body.");
    case At::kTrailerBegin:
    case At::kTrailerName:
    case At::kTrailerValue:
    case At::kTrailerLf:
      break;
  }
  const ParseState state = EatTrailer(c);
  if (state == ParseState::kNeedMore) ++trailer_bytes_;
  return state;
}

ParseState ChunkedDecoder::Expect(char c, char wanted, At next) noexcept {
  if (c != wanted) {
    return Refuse(
        "A line of the chunked body does not end in CR LF, or a chunk is longer than its "
        "size; mend the framing.");
  }
  at_ = next;
  return ParseState::kNeedMore;
}

ParseState ChunkedDecoder::EatSize(char c) noexcept {
  const int digit = syntax::HexValue(c);
  if (digit >= 0) {
    // Below 2^63, so that sums with it do not overflow.
    if (digits_ == kMaxChunkSizeDigits || left_ >= (std::uint64_t{1} << 59U)) {
      return Refuse(
          "A chunk's size has more than 16 digits or is 2^63 or more; send smaller chunks.");
    }
    ++digits_;
    left_ = left_ * 16 + static_cast<std::uint64_t>(digit);
    return ParseState::kNeedMore;
  }
  if (digits_ == 0 || (c != ';' && c != '\r')) {
    return Refuse("A chunk's size is no hexadecimal number; send digits and CR LF.");
  }
  at_ = c == '\r' ? At::kSizeLf : At::kExtension;
  return ParseState::kNeedMore;
}

ParseState ChunkedDecoder::EatExtension(char c) noexcept {
  if (c == '\r') {
    at_ = At::kSizeLf;
    return ParseState::kNeedMore;
  }
  if (!syntax::IsFieldValue(c)) {
    return Refuse("A chunk extension holds a control character; send none.");
  }
  if (++extension_bytes_ > kMaxChunkExtensionBytes ||
      ++extensions_bytes_ > kMaxChunkExtensionsBytes) {
    return Refuse("Chunk extensions exceed 256 bytes, or 16 KiB in one body; send none.");
  }
  return ParseState::kNeedMore;
}

ParseState ChunkedDecoder::EatTrailer(char c) noexcept {
  if (trailer_bytes_ == kMaxTrailerBytes) return Refuse("The trailers exceed 8 KiB; send fewer.");
  switch (at_) {
    case At::kTrailerBegin:
      if (c == '\r') {
        at_ = At::kEndLf;
        return ParseState::kNeedMore;
      }
      if (!syntax::IsToken(c)) break;
      has_trailers_ = true;
      at_ = At::kTrailerName;
      return ParseState::kNeedMore;
    case At::kTrailerName:
      if (c == ':') {
        at_ = At::kTrailerValue;
      } else if (!syntax::IsToken(c)) {
        break;
      }
      return ParseState::kNeedMore;
    case At::kTrailerValue:
      if (c == '\r') {
        at_ = At::kTrailerLf;
      } else if (!syntax::IsFieldValue(c)) {
        break;
      }
      return ParseState::kNeedMore;
    default:
      return Expect(c, '\n', At::kTrailerBegin);
  }
  return Refuse("A trailer line is not `Name: value`; mend or drop it.");
}

ChunkHead::ChunkHead(std::uint64_t size) noexcept {
  char* const end = std::to_chars(text_.data(), text_.data() + kMaxChunkSizeDigits, size, 16).ptr;
  end[0] = '\r';
  end[1] = '\n';
  size_ = static_cast<std::size_t>(end - text_.data()) + 2;
}

}  // namespace sluicegate::wire
