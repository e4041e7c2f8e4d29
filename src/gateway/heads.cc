#include "gateway/heads.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "wire/hop_by_hop.h"

namespace sluicegate::gateway {
namespace {

using wire::EqualsIgnoreCase;
using wire::Field;
using wire::Framing;

void AppendNumber(std::uint64_t value, std::string& out) {
  std::array<char, 20> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  out.append(digits.data(), end);
}

void AppendField(std::string_view name, std::string_view value, std::string& out) {
  out += name;
  out += ": ";
  out += value;
  out += "\r\n";
}

void AppendConnection(bool keep_alive, unsigned client_minor, std::string& out) {
  if (!keep_alive) {
    out += "Connection: close\r\n";
  } else if (client_minor == 0) {
    out += "Connection: keep-alive\r\n";
  }
}

enum class Fate : std::uint8_t { kForward, kDrop, kForwardIfTrusted, kCollect };

// What becomes of a client's field. Most names differ from all of these in length or first letter.
Fate FateOf(std::string_view name, std::string_view identity_header) {
  if (!identity_header.empty() && EqualsIgnoreCase(name, identity_header)) {
    return Fate::kForwardIfTrusted;
  }
  switch (name.size()) {
    case 4:
      return EqualsIgnoreCase(name, "host") ? Fate::kDrop : Fate::kForward;
    case 6:
      return EqualsIgnoreCase(name, "expect") ? Fate::kDrop : Fate::kForward;
    case 9:
      if (EqualsIgnoreCase(name, "x-user-id")) return Fate::kForwardIfTrusted;
      if (EqualsIgnoreCase(name, "x-real-ip")) return Fate::kDrop;
      return EqualsIgnoreCase(name, "forwarded") ? Fate::kForwardIfTrusted : Fate::kForward;
    case 14:
      return EqualsIgnoreCase(name, "content-length") ? Fate::kDrop : Fate::kForward;
    case 15:
      return EqualsIgnoreCase(name, "x-forwarded-for") ? Fate::kCollect : Fate::kForward;
    case 16:
      return EqualsIgnoreCase(name, "x-forwarded-host") ? Fate::kForwardIfTrusted : Fate::kForward;
    case 17:
      return EqualsIgnoreCase(name, "x-forwarded-proto") ? Fate::kForwardIfTrusted : Fate::kForward;
    default:
      return Fate::kForward;
  }
}

// Servers behind CGI-like doors read X_Real_IP as X-Real-IP: a guarded name in such clothes is
// dropped.
Fate FateOfAnySpelling(std::string_view name, std::string_view identity_header) {
  if (name.find('_') == std::string_view::npos) return FateOf(name, identity_header);
  std::string dashed(name);
  std::ranges::replace(dashed, '_', '-');
  return FateOf(dashed, identity_header) == Fate::kForward ? Fate::kForward : Fate::kDrop;
}

void AppendForwardedFor(const ForwardedRequest& request, std::string& out) {
  out += "X-Forwarded-For: ";
  if (request.peer_trusted) {
    for (const Field& field : request.head.fields()) {
      if (!EqualsIgnoreCase(field.name, "x-forwarded-for") || field.value.empty()) continue;
      out += field.value;
      out += ", ";
    }
  }
  out += request.peer;
  out += "\r\n";
}

void AppendRequestFraming(const wire::RequestHead& head, std::string& out) {
  if (head.framing == Framing::kChunked) {
    out += "Transfer-Encoding: chunked\r\n";
  } else if (head.content_length) {
    out += "Content-Length: ";
    AppendNumber(*head.content_length, out);
    out += "\r\n";
  }
}

void AppendStatusLine(unsigned status, std::string_view reason, std::string& out) {
  out += "HTTP/1.1 ";
  AppendNumber(status, out);
  out += ' ';
  out += reason;
  out += "\r\n";
}

}  // namespace

void AppendUpstreamHead(const ForwardedRequest& request, std::string& out) {
  const wire::RequestHead& head = request.head;
  out += head.method;
  out += ' ';
  out += request.path;
  out += request.query;
  out += " HTTP/1.1\r\n";
  if (!head.authority.empty()) AppendField("Host", head.authority, out);
  bool has_proto = false;
  for (const Field& field : head.fields()) {
    if (wire::EndsHere(field.name, head.connection())) continue;
    const Fate fate = FateOfAnySpelling(field.name, request.identity_header);
    if (fate == Fate::kForward || (fate == Fate::kForwardIfTrusted && request.peer_trusted)) {
      AppendField(field.name, field.value, out);
      has_proto = has_proto || EqualsIgnoreCase(field.name, "x-forwarded-proto");
    }
  }
  if (head.authority.empty()) out += "Host: \r\n";
  AppendForwardedFor(request, out);
  AppendField("X-Real-IP", request.client, out);
  if (!has_proto) out += "X-Forwarded-Proto: http\r\n";
  AppendRequestFraming(head, out);
  out += "\r\n";
}

void AppendClientHead(const ForwardedResponse& response, std::string& out) {
  const wire::ResponseHead& head = response.head;
  AppendStatusLine(head.status, head.reason, out);
  for (const Field& field : head.fields()) {
    if (!wire::EndsHere(field.name, head.connection())) AppendField(field.name, field.value, out);
  }
  out += response.extra;
  if (response.chunked) out += "Transfer-Encoding: chunked\r\n";
  AppendConnection(response.keep_alive, response.client_minor, out);
  out += "\r\n";
}

void AppendOwnAnswer(const OwnAnswer& answer, std::string& out) {
  AppendStatusLine(answer.problem.status, wire::ReasonPhrase(answer.problem.status), out);
  AppendField("Date", answer.date, out);
  AppendField("Content-Type", wire::kProblemContentType, out);
  if (answer.no_store) out += "Cache-Control: no-store\r\n";
  out += answer.extra;
  AppendConnection(answer.keep_alive, answer.client_minor, out);
  // The body's length comes before it: formatted into a string of its own that keeps its room.
  thread_local std::string body;
  body.clear();
  wire::AppendProblem(answer.problem, body);
  out += "Content-Length: ";
  AppendNumber(body.size(), out);
  out += "\r\n\r\n";
  if (!answer.to_head) out += body;
}

}  // namespace sluicegate::gateway
