// Where a response's body ends, and its trailers begin: however its bytes are cut, at the same
// place; never behind it; and what goes on of the trailers ends the body and names nothing else.
// The input is a response, head and body, and perhaps what a hostile upstream sends behind it.
#include <algorithm>
#include <string>

#include "fuzz_target.h"
#include "wire/body_end.h"
#include "wire/trailers.h"

using sluicegate::fuzz::Require;
namespace wire = sluicegate::wire;

namespace {

struct End {
  wire::ParseState state = wire::ParseState::kNeedMore;
  std::size_t body = 0;
  std::size_t trailers = 0;
  bool done_at_close = false;
  friend bool operator==(const End&, const End&) = default;
};

End Follow(const wire::MessageHead& head, std::string_view bytes, std::size_t step) {
  wire::BodyEnd body(head);
  End end;
  end.state = body.Advance({}).state;
  while (end.state == wire::ParseState::kNeedMore && end.body < bytes.size()) {
    const std::string_view piece = bytes.substr(end.body, step);
    const auto advanced = body.Advance(piece);
    Require(advanced.body <= piece.size() && advanced.trailers <= advanced.body);
    // Behind the first trailer nothing but trailers comes.
    Require(end.trailers == 0 || advanced.trailers == advanced.body);
    // What is not the body's stays unread only behind its end.
    Require(advanced.state != wire::ParseState::kNeedMore || advanced.body == piece.size());
    end.state = advanced.state;
    end.body += advanced.body;
    end.trailers += advanced.trailers;
  }
  end.done_at_close = body.DoneAtClose();
  Require((end.state == wire::ParseState::kRefused) == static_cast<bool>(body.refusal()));
  if (end.state == wire::ParseState::kNeedMore) return end;
  // It stays where it is, whatever comes then.
  const auto again = body.Advance("0\r\n\r\n");
  Require(again.state == end.state && again.body == 0 && again.trailers == 0);
  return end;
}

End Expected(const wire::MessageHead& head, std::string_view bytes) {
  const std::uint64_t length = head.content_length.value_or(0);
  switch (head.framing) {
    case wire::Framing::kNone:
      return {.state = wire::ParseState::kDone, .body = 0, .done_at_close = true};
    case wire::Framing::kLength:
      if (length > bytes.size()) return {.body = bytes.size()};
      return {.state = wire::ParseState::kDone,
              .body = static_cast<std::size_t>(length),
              .done_at_close = true};
    case wire::Framing::kUntilClose:
      return {.body = bytes.size(), .done_at_close = true};
    case wire::Framing::kChunked:
      break;
  }
  End end;
  wire::ChunkedDecoder decoder;
  while (end.state == wire::ParseState::kNeedMore && end.body < bytes.size()) {
    const auto read = decoder.Read(bytes.substr(end.body));
    end.state = read.state;
    end.body += read.consumed;
  }
  end.trailers = decoder.trailer_bytes();
  end.done_at_close = end.state == wire::ParseState::kDone;
  return end;
}

// What goes on of a whole section, `0\r\n` before it: a decoder takes it, and it lacks what it
// must.
void CheckTrailers(const wire::MessageHead& head, std::string_view section) {
  wire::Trailers trailers(head);
  trailers.Add(section);
  const std::string kept(trailers.Filter("x-request-id"));
  Require(kept.size() <= section.size() && kept.ends_with("\r\n"));
  wire::ChunkedDecoder decoder;
  const std::string body = "0\r\n" + kept;
  const auto read = decoder.Read(body);
  Require(read.state == wire::ParseState::kDone && read.consumed == body.size());
  for (std::string_view rest = kept; rest != "\r\n";) {
    const std::string_view line = rest.substr(0, rest.find("\r\n") + 2);
    const std::string_view name = line.substr(0, line.find(':'));
    Require(section.contains(line) && wire::MayTrail(name));
    Require(!wire::EqualsIgnoreCase(name, "x-request-id"));
    rest.remove_prefix(line.size());
  }
}

}  // namespace

SG_FUZZ_TARGET(body_end) {
  wire::ResponseParser parser;
  wire::ResponseHead head;
  if (parser.Parse(bytes, false, head) != wire::ParseState::kDone) return;
  const std::string_view body = bytes.substr(head.size);
  const End whole = Follow(head, body, body.size() + 1);
  Require(whole == Expected(head, body));
  Require(Follow(head, body, 1) == whole && Follow(head, body, 7) == whole);
  if (whole.state != wire::ParseState::kDone || whole.trailers == 0) return;
  CheckTrailers(head, body.substr(whole.body - whole.trailers, whole.trailers));
}
