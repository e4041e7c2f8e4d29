#include <algorithm>
#include <charconv>
#include <limits>

#include "wire/authority.h"
#include "wire/http_head.h"

namespace sluicegate::wire {
namespace {

// RFC 9110: visible ASCII. Bytes above ASCII are let through, as clients send them bare;
// NormalizePath escapes them.
bool IsTargetCharacter(char c) noexcept {
  const auto byte = static_cast<std::uint8_t>(c);
  return byte > 0x20 && byte != 0x7F && byte != '#';
}

}  // namespace

ParseState RequestParser::Parse(std::string_view buffer, RequestHead& head) noexcept {
  if (refusal()) return ParseState::kRefused;
  if (!in_fields_) {
    // One empty line before a request is skipped: old clients send one behind a body.
    if (line_begin_ == 0 && buffer.starts_with('\r')) {
      if (buffer.size() == 1) return ParseState::kNeedMore;
      if (buffer[1] == '\n') line_begin_ = searched_ = 2;
    }
    // Says at once what no HTTP/1.1 request begins with, such as TLS on a plain port.
    if (buffer.size() > line_begin_ && !syntax::IsToken(buffer[line_begin_])) {
      return Refuse(400, "This is no HTTP/1.1 request; speak plain HTTP/1.1 on this port.");
    }
    std::string_view line;
    switch (FindLine(buffer, kMaxStartLineBytes + 2, line)) {
      case LineState::kNeedMore:
        return ParseState::kNeedMore;
      case LineState::kTooLong:
        return Refuse(414, "The request line exceeds 8 KiB; send a shorter target.");
      case LineState::kLine:
        break;
    }
    if (!ParseStartLine(buffer, line)) return ParseState::kRefused;
    line_begin_ = searched_ = fields_begin_ = line_begin_ + line.size();
    in_fields_ = true;
  }
  const ParseState state = ParseFields(buffer);
  if (state != ParseState::kDone) return state;
  return Finish(buffer, head) ? ParseState::kDone : ParseState::kRefused;
}

bool RequestParser::ParseStartLine(std::string_view buffer, std::string_view line) noexcept {
  const auto refuse = [this](std::uint16_t status, std::string_view detail) {
    Refuse(status, detail);
    return false;
  };
  if (!line.ends_with("\r\n")) {
    return refuse(400, "The request line ends in a bare LF; end lines in CR LF.");
  }
  const auto offset = static_cast<std::size_t>(line.data() - buffer.data());
  line.remove_suffix(2);
  const std::size_t method = std::min(line.find(' '), line.size());
  if (!syntax::IsToken(line.substr(0, method))) {
    return refuse(400, "The method is no word of HTTP; send one such as GET.");
  }
  if (method > kMaxMethodBytes)
    return refuse(501, "No method has so long a name; send a known one.");
  const std::size_t target = std::min(method + 1, line.size());
  const std::size_t end = line.find(' ', target);
  if (end == std::string_view::npos) {
    return refuse(400, "The request line has no version; write `METHOD target HTTP/1.1`.");
  }
  const std::string_view text = line.substr(target, end - target);
  if (text.empty() || !std::ranges::all_of(text, IsTargetCharacter)) {
    return refuse(400,
                  "The target is empty or holds a control character, white space or `#`; "
                  "escape them as %XX.");
  }
  if (!ParseVersion(line.substr(end + 1))) return false;
  start_.method = {.begin = static_cast<std::uint16_t>(offset),
                   .size = static_cast<std::uint16_t>(method)};
  start_.target = {.begin = static_cast<std::uint16_t>(offset + target),
                   .size = static_cast<std::uint16_t>(text.size())};
  return true;
}

bool RequestParser::ParseVersion(std::string_view version) noexcept {
  if (version == "HTTP/1.1" || version == "HTTP/1.0") {
    start_.minor_version = version.back() == '1' ? 1 : 0;
    return true;
  }
  const bool well_formed = version.size() == 8 && version.starts_with("HTTP/") &&
                           syntax::IsDigit(version[5]) && version[6] == '.' &&
                           syntax::IsDigit(version[7]);
  if (well_formed) {
    Refuse(505, "Only HTTP/1.1 and HTTP/1.0 are spoken here; send one of them.");
  } else {
    Refuse(400, "The request line does not end in a version; write `METHOD target HTTP/1.1`.");
  }
  return false;
}

bool RequestParser::Finish(std::string_view buffer, RequestHead& head) noexcept {
  head.method = buffer.substr(start_.method.begin, start_.method.size);
  head.target = buffer.substr(start_.target.begin, start_.target.size);
  head.minor_version = start_.minor_version;
  return Fill(buffer, head) && FinishTarget(head) && FinishFraming(head) && FinishForwards(head);
}

bool RequestParser::FinishTarget(RequestHead& head) noexcept {
  const auto refuse = [this](std::uint16_t status, std::string_view detail) {
    Refuse(status, detail);
    return false;
  };
  const unsigned hosts = CountOf(Known::kHost);
  if (hosts > 1) return refuse(400, "Host is sent more than once; send it once.");
  if (hosts == 0 && head.minor_version == 1) {
    return refuse(400, "Host is missing; HTTP/1.1 demands one.");
  }
  head.authority = hosts == 1 ? ValueOf(Known::kHost, head) : std::string_view();
  if (hosts == 1 && !IsAuthority(head.authority)) {
    return refuse(400, "Host is not `name` or `name:port`; mend it.");
  }
  if (head.method == "CONNECT") {
    return refuse(501,
                  "CONNECT is not supported: this is no forward proxy; send the request itself.");
  }
  head.form = TargetForm::kOrigin;
  head.path_and_query = head.target;
  if (head.target.front() == '/') return true;
  if (head.target != "*") return FinishAbsolute(head);
  if (head.method != "OPTIONS") {
    return refuse(400, "Only OPTIONS may have the target `*`; send a path.");
  }
  head.form = TargetForm::kAsterisk;
  return true;
}

bool RequestParser::FinishAbsolute(RequestHead& head) noexcept {
  const std::size_t colon = head.target.find("://");
  const std::string_view scheme = head.target.substr(0, std::min(colon, head.target.size()));
  const bool https = EqualsIgnoreCase(scheme, "https");
  if (colon == std::string_view::npos || (!https && !EqualsIgnoreCase(scheme, "http"))) {
    Refuse(400, "The target is neither a path nor an http URL; begin it with `/`.");
    return false;
  }
  const std::string_view rest = head.target.substr(colon + 3);
  const std::size_t end = std::min(rest.find_first_of("/?"), rest.size());
  const std::string_view authority = rest.substr(0, end);
  if (!IsAuthority(authority)) {
    Refuse(400, "The target's host is not `name` or `name:port`; mend it.");
    return false;
  }
  if (!head.authority.empty() && !SameAuthority(authority, head.authority, https ? "443" : "80")) {
    Refuse(400, "Host and the target name different hosts; send the same in both.");
    return false;
  }
  head.authority = authority;
  head.path_and_query = rest.substr(end);
  head.form = TargetForm::kAbsolute;
  if (head.method == "OPTIONS" && head.path_and_query.empty()) {
    // That asks about the server, not about its path "/" (RFC 9112 section 3.2.4).
    head.form = TargetForm::kAsterisk;
    head.path_and_query = "*";
  }
  return true;
}

bool RequestParser::FinishFraming(RequestHead& head) noexcept {
  const auto refuse = [this](std::uint16_t status, std::string_view detail) {
    Refuse(status, detail);
    return false;
  };
  head.expect_continue = false;
  head.framing = head.content_length.value_or(0) > 0 ? Framing::kLength : Framing::kNone;
  if (const unsigned codings = CountOf(Known::kTransferEncoding); codings > 0) {
    if (head.content_length) {
      return refuse(400, "Content-Length and Transfer-Encoding are both sent; send one of them.");
    }
    if (head.minor_version == 0) {
      return refuse(400, "HTTP/1.0 has no Transfer-Encoding; send Content-Length, or HTTP/1.1.");
    }
    if (codings > 1 || ValueOf(Known::kTransferEncoding, head) != "chunked") {
      return refuse(400, "Transfer-Encoding is not `chunked`; send exactly that, once.");
    }
    head.framing = Framing::kChunked;
  }
  if (CountOf(Known::kExpect) == 0 || head.minor_version == 0) return true;
  if (CountOf(Known::kExpect) > 1 ||
      !EqualsIgnoreCase(ValueOf(Known::kExpect, head), "100-continue")) {
    return refuse(417, "Expect asks for what is not known here; send `100-continue` or none.");
  }
  head.expect_continue = head.framing != Framing::kNone;
  return true;
}

// RFC 9110 section 7.6.2. To the other methods the field means nothing.
bool RequestParser::FinishForwards(RequestHead& head) noexcept {
  head.max_forwards.reset();
  if (head.method != "OPTIONS" && head.method != "TRACE") return true;
  for (const Field& field : head.fields()) {
    if (!EqualsIgnoreCase(field.name, "max-forwards")) continue;
    const std::string_view value = field.value;
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(value.begin(), value.end(), number);
    if (head.max_forwards || error == std::errc::invalid_argument || end != value.end()) {
      Refuse(400, "Max-Forwards is no number, or is sent more than once; send one number.");
      return false;
    }
    const bool huge = error == std::errc::result_out_of_range;
    head.max_forwards = huge ? std::numeric_limits<std::uint64_t>::max() : number;
  }
  return true;
}

}  // namespace sluicegate::wire
