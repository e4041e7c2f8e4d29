// What must hold for every head that a parser read, whatever the bytes.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "fuzz_target.h"
#include "wire/http_head.h"

namespace sluicegate::fuzz {

inline void RequireSound(const wire::MessageHead& head, std::string_view bytes) {
  using wire::Framing;
  Require(head.size <= bytes.size() && head.size <= wire::kMaxHeadBytes);
  Require(bytes.substr(0, head.size).ends_with("\r\n\r\n"));
  Require((head.framing != Framing::kLength) || head.content_length.value_or(0) > 0);
  Require(head.framing != Framing::kChunked || !head.content_length);
  for (const wire::Field& field : head.fields()) {
    Require(wire::syntax::IsToken(field.name));
    Require(std::ranges::all_of(field.value, [](char c) { return wire::syntax::IsFieldValue(c); }));
    Require(wire::syntax::Trim(field.value) == field.value);
  }
}

/// The same refusal, or the same head from other memory.
template <typename Head>
void RequireSame(const Head& a, const Head& b) {
  Require(a.size == b.size && a.framing == b.framing && a.content_length == b.content_length &&
          a.keep_alive == b.keep_alive && a.minor_version == b.minor_version);
  Require(std::ranges::equal(a.fields(), b.fields(), [](const auto& x, const auto& y) {
    return x.name == y.name && x.value == y.value;
  }));
}

/// Feeds `bytes` at once and in growing pieces from fresh memory; how they were cut must not show.
/// `parse(parser, bytes, head)` calls the parser.
template <typename Parser, typename Head, typename Parse>
void RequireCutsDoNotShow(std::string_view bytes, Parse parse) {
  Parser whole;
  Head head;
  const wire::ParseState state = parse(whole, bytes, head);
  if (state == wire::ParseState::kDone) RequireSound(head, bytes);

  Parser pieces;
  Head piece_head;
  wire::ParseState piece_state = wire::ParseState::kNeedMore;
  std::string memory;
  // At most some hundred pieces, so that long inputs stay fast; their length comes from the input.
  const std::size_t step = 1 + bytes.size() / 200;
  for (std::size_t end = 0; piece_state == wire::ParseState::kNeedMore && end < bytes.size();) {
    end = std::min(bytes.size(), end + step);
    memory = std::string(bytes.substr(0, end));
    piece_state = parse(pieces, memory, piece_head);
  }
  Require(piece_state == state);
  if (state == wire::ParseState::kDone) RequireSame(head, piece_head);
  if (state == wire::ParseState::kRefused) Require(whole.refusal() == pieces.refusal());
}

}  // namespace sluicegate::fuzz
