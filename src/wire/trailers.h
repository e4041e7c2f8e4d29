// The trailers of an answer in chunks: the section is held back until it is whole, and only those
// that may stand there go on (RFC 9110 sections 6.5.1 and 7.6.1).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "wire/http_head.h"

namespace sluicegate::wire {

/// Whether a field may stand among the trailers of an answer. Not one that says how the answer is
/// framed, routed or authenticated, how it may be kept or where to go on, what its content is, or
/// what is left of a quota, as a client that joins trailers with the head would act on it:
///
/// - hop-by-hop fields (hop_by_hop.h), Host, Expect, Max-Forwards, Range, Pragma and If-*;
/// - Authorization, WWW-Authenticate, Proxy-Authentication-Info, Cookie and Set-Cookie;
/// - Age, Cache-Control, Date, Expires, Location, Vary and Warning;
/// - Content-*, but for Content-Digest and Content-MD5, which are known only at a body's end;
/// - Retry-After, RateLimit, RateLimit-* and X-RateLimit-*.
///
/// Pure.
[[nodiscard]] bool MayTrail(std::string_view name) noexcept;

/// The trailer section of one answer. Bound to one connection. Owns its bytes, kMaxTrailerBytes and
/// a line's end at most, and the names that the answer's Connection names; nothing where it has
/// neither.
class Trailers {
 public:
  /// For the answer that `head` begins.
  explicit Trailers(const MessageHead& head);

  /// The section's next bytes, as BodyEnd finds them.
  void Add(std::string_view bytes) { section_ += bytes; }
  [[nodiscard]] bool empty() const noexcept { return section_.empty(); }

  /// What goes on of the section: the lines of trailers that may stand there, as they came and in
  /// their order, and the empty line. Dropped are the others, what the answer's Connection named,
  /// and `own`, a field that the gateway writes in heads (empty: none). A view of this.
  /// REQUIRES: the section is whole.
  [[nodiscard]] std::string_view Filter(std::string_view own);

 private:
  [[nodiscard]] bool GoesOn(std::string_view name, std::string_view own) const noexcept;

  std::string section_;
  std::vector<std::string> named_;  // Copies: the head is gone when the trailers come.
};

}  // namespace sluicegate::wire
