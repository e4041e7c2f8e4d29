#include "wire/body_end.h"

#include <algorithm>

namespace sluicegate::wire {

BodyEnd::BodyEnd(const MessageHead& head) noexcept
    : framing_(head.framing),
      done_(framing_ == Framing::kNone),
      left_(framing_ == Framing::kLength ? head.content_length.value_or(0) : 0) {
  if (framing_ == Framing::kLength && left_ == 0) done_ = true;
}

BodyEnd::Step BodyEnd::Advance(std::string_view bytes) noexcept {
  if (done_) return {.state = ParseState::kDone, .body = 0};
  switch (framing_) {
    case Framing::kChunked:
      return AdvanceChunks(bytes);
    case Framing::kLength: {
      const auto body = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), left_));
      left_ -= body;
      done_ = left_ == 0;
      return {.state = done_ ? ParseState::kDone : ParseState::kNeedMore, .body = body};
    }
    case Framing::kNone:
    case Framing::kUntilClose:
      break;
  }
  return {.state = ParseState::kNeedMore, .body = bytes.size()};
}

BodyEnd::Step BodyEnd::AdvanceChunks(std::string_view bytes) noexcept {
  Step step;
  if (chunks_.refusal()) return {.state = ParseState::kRefused, .body = 0};
  while (step.body < bytes.size() && step.state == ParseState::kNeedMore) {
    const auto read = chunks_.Read(bytes.substr(step.body));
    step.body += read.consumed;
    step.state = read.state;
  }
  step.trailers = std::min(step.body, chunks_.trailer_bytes());
  done_ = step.state == ParseState::kDone;
  return step;
}

bool BodyEnd::DoneAtClose() const noexcept { return done_ || framing_ == Framing::kUntilClose; }

}  // namespace sluicegate::wire
