// Why a codec refuses what it was given: a status and a sentence. A value type; the sentence is a
// literal, so nothing is owned.
#pragma once

#include <cstdint>
#include <string_view>

namespace sluicegate::wire {

struct Refusal {
  std::uint16_t status = 0;      ///< The HTTP status that answers it; 0: nothing is refused.
  std::string_view detail = {};  ///< What is wrong and the mend, for a problem body.

  [[nodiscard]] explicit operator bool() const noexcept { return status != 0; }
  friend bool operator==(const Refusal&, const Refusal&) = default;
};

/// What an incremental parser says after each call.
enum class ParseState : std::uint8_t {
  kNeedMore,  ///< All well so far; call again with more bytes.
  kDone,      ///< The whole was read.
  kRefused,   ///< It can never become valid; answer and close.
};

}  // namespace sluicegate::wire
