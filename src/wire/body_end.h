// Finds where a message's body ends while its bytes are relayed as they are, all but its trailers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "wire/chunked.h"
#include "wire/http_head.h"

namespace sluicegate::wire {

/// Follows one body. Bound to one connection; owns nothing.
class BodyEnd {
 public:
  /// For the body that follows `head`.
  explicit BodyEnd(const MessageHead& head) noexcept;

  struct Step {
    ParseState state = ParseState::kNeedMore;
    std::size_t body = 0;  ///< Bytes from the front that belong to the body: relay them,
    /// but for so many, the last of them: they are its trailers' (trailers.h). An empty trailer
    /// section, as most are, is none.
    std::size_t trailers = 0;
  };

  /// Looks at the next bytes. On kDone those behind `body` are not this message's: an anomaly on an
  /// upstream connection. On kRefused the connection must be closed. A body that is over before its
  /// first byte says kDone for empty `bytes`.
  [[nodiscard]] Step Advance(std::string_view bytes) noexcept;

  /// The peer closed: was that the body's end? True only for kUntilClose and bodies already done.
  [[nodiscard]] bool DoneAtClose() const noexcept;
  [[nodiscard]] const Refusal& refusal() const noexcept { return chunks_.refusal(); }

 private:
  Step AdvanceChunks(std::string_view bytes) noexcept;

  Framing framing_;
  bool done_ = false;
  std::uint64_t left_ = 0;  // kLength only.
  ChunkedDecoder chunks_;
};

}  // namespace sluicegate::wire
