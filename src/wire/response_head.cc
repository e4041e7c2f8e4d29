#include <algorithm>

#include "wire/http_head.h"

namespace sluicegate::wire {
namespace {

// To a client every fault of an upstream is the same status.
constexpr std::uint16_t kBadGateway = 502;

}  // namespace

ParseState ResponseParser::Parse(std::string_view buffer, bool to_head,
                                 ResponseHead& head) noexcept {
  if (refusal()) return ParseState::kRefused;
  if (!in_fields_) {
    std::string_view line;
    switch (FindLine(buffer, kMaxStartLineBytes + 2, line)) {
      case LineState::kNeedMore:
        return ParseState::kNeedMore;
      case LineState::kTooLong:
        return Refuse(kBadGateway, "The upstream's status line exceeds 8 KiB.");
      case LineState::kLine:
        break;
    }
    if (!ParseStartLine(buffer, line)) {
      return Refuse(kBadGateway,
                    "The upstream did not answer with an HTTP/1.1 status line; check that it "
                    "speaks plain HTTP on that port.");
    }
    line_begin_ = searched_ = fields_begin_ = line_begin_ + line.size();
    in_fields_ = true;
  }
  const ParseState state = ParseFields(buffer);
  if (state == ParseState::kNeedMore) return state;
  if (state == ParseState::kDone) {
    head.status = status_;
    head.reason = buffer.substr(reason_.begin, reason_.size);
    head.minor_version = minor_version_;
    if (Fill(buffer, head) && FinishFraming(to_head, head)) return state;
  }
  // What the shared parts say is addressed to a client; here the upstream is at fault.
  return refusal().status == kBadGateway
             ? ParseState::kRefused
             : Refuse(kBadGateway,
                      "The upstream's response has header fields that cannot be relayed safely; "
                      "mend the upstream.");
}

bool ResponseParser::ParseStartLine(std::string_view buffer, std::string_view line) noexcept {
  constexpr std::size_t kVersionBytes = 9;  // "HTTP/1.1 "
  constexpr std::size_t kStatusEnd = kVersionBytes + 3;
  if (!line.ends_with("\r\n")) return false;
  const auto offset = static_cast<std::size_t>(line.data() - buffer.data());
  line.remove_suffix(2);
  if (!line.starts_with("HTTP/1.1 ") && !line.starts_with("HTTP/1.0 ")) return false;
  minor_version_ = line[kVersionBytes - 2] == '1' ? 1 : 0;
  const std::string_view digits = line.substr(kVersionBytes, 3);
  if (digits.size() < 3 || !std::ranges::all_of(digits, syntax::IsDigit)) return false;
  status_ = static_cast<std::uint16_t>((digits[0] - '0') * 100 + (digits[1] - '0') * 10 +
                                       (digits[2] - '0'));
  if (status_ < 100 || status_ > 599) return false;
  std::string_view reason = line.substr(kStatusEnd);
  // Real servers leave out the reason, and some the space before it.
  if (!reason.empty() && reason.front() != ' ') return false;
  if (!reason.empty()) reason.remove_prefix(1);
  if (!std::ranges::all_of(reason, syntax::IsFieldValue)) return false;
  reason_ = {.begin = static_cast<std::uint16_t>(offset + (line.size() - reason.size())),
             .size = static_cast<std::uint16_t>(reason.size())};
  return true;
}

bool ResponseParser::FinishFraming(bool to_head, ResponseHead& head) noexcept {
  const auto refuse = [this](std::string_view detail) {
    Refuse(kBadGateway, detail);
    return false;
  };
  const unsigned codings = CountOf(Known::kTransferEncoding);
  if (codings > 0) {
    if (head.content_length) {
      return refuse("The upstream sent Content-Length and Transfer-Encoding; mend the upstream.");
    }
    if (head.minor_version == 0 || codings > 1 ||
        !EqualsIgnoreCase(ValueOf(Known::kTransferEncoding, head), "chunked")) {
      return refuse(
          "The upstream sent another Transfer-Encoding than `chunked`; mend the upstream.");
    }
  }
  const bool bodiless = head.status < 200 || head.status == 204;
  if (bodiless && (codings > 0 || head.content_length.value_or(0) > 0)) {
    return refuse("The upstream framed a body where its status allows none; mend the upstream.");
  }
  if (bodiless || head.status == 304 || to_head) {
    head.framing = Framing::kNone;
  } else if (codings > 0) {
    head.framing = Framing::kChunked;
  } else if (head.content_length) {
    head.framing = *head.content_length > 0 ? Framing::kLength : Framing::kNone;
  } else {
    head.framing = Framing::kUntilClose;
    head.keep_alive = false;
  }
  return true;
}

}  // namespace sluicegate::wire
