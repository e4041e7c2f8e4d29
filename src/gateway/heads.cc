#include "gateway/heads.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "wire/hop_by_hop.h"
#include "wire/problem.h"

namespace sluicegate::gateway {
namespace {

using policy::ForwardedSource;
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

constexpr std::string_view kWebSocket = "Connection: Upgrade\r\nUpgrade: websocket\r\n";

void AppendRequestId(std::string_view header, std::string_view id, std::string& out) {
  if (!header.empty()) AppendField(header, id, out);
}

void AppendConnection(bool keep_alive, unsigned client_minor, std::string& out) {
  if (!keep_alive) {
    out += "Connection: close\r\n";
  } else if (client_minor == 0) {
    out += "Connection: keep-alive\r\n";
  }
}

enum class Fate : std::uint8_t { kForward, kDrop, kForwardIfTrusted };

// '_' and '-' are the same to servers behind CGI-like doors, which read X_Real_IP as X-Real-IP.
bool IsAlike(std::string_view a, std::string_view b) {
  const auto folded = [](char c) { return c == '_' ? '-' : wire::syntax::ToLower(c); };
  return std::ranges::equal(a, b, {}, folded, folded);
}

// What becomes of a field that says who the client is or where the message ends. Most names differ
// from all of these in length.
Fate FateOfGuarded(std::string_view name) {
  constexpr std::string_view kPrefix = "x-forwarded-";
  switch (name.size()) {
    case 4:
      return IsAlike(name, "host") ? Fate::kDrop : Fate::kForward;
    case 6:
      return IsAlike(name, "expect") ? Fate::kDrop : Fate::kForward;
    case 9:
      if (IsAlike(name, "x-user-id")) return Fate::kForwardIfTrusted;
      if (IsAlike(name, "x-real-ip")) return Fate::kDrop;
      return IsAlike(name, "forwarded") ? Fate::kDrop : Fate::kForward;  // Written anew.
    case 14:
      if (IsAlike(name, "content-length")) return Fate::kDrop;
      break;
    case 15:
      if (IsAlike(name, "x-forwarded-for")) return Fate::kDrop;  // Written anew.
      break;
    case 17:
      if (IsAlike(name, "transfer-encoding")) return Fate::kDrop;
      break;
    default:
      break;
  }
  return IsAlike(name.substr(0, kPrefix.size()), kPrefix) ? Fate::kForwardIfTrusted
                                                          : Fate::kForward;
}

Fate FateOf(std::string_view name, const ForwardedRequest& request) {
  if (EqualsIgnoreCase(name, request.request_id_header)) return Fate::kDrop;  // Written anew.
  const std::string_view identity = request.identity_header;
  if (!identity.empty() && IsAlike(name, identity)) {
    return EqualsIgnoreCase(name, identity) ? Fate::kForwardIfTrusted : Fate::kDrop;
  }
  const Fate fate = FateOfGuarded(name);
  if (fate == Fate::kForward || name.find('_') == std::string_view::npos) return fate;
  return Fate::kDrop;  // A guarded name in other clothes: no proxy vouches for it.
}

void AppendForwardedFor(const ForwardedRequest& request, std::string& out) {
  out += "X-Forwarded-For: ";
  if (request.peer_trusted && request.forwarded == ForwardedSource::kXForwardedFor) {
    for (const Field& field : request.head.fields()) {
      if (!EqualsIgnoreCase(field.name, "x-forwarded-for") || field.value.empty()) continue;
      out += field.value;
      out += ", ";
    }
  }
  out += request.peer;
  out += "\r\n";
}

// RFC 7239: what holds a colon stands in quotes. Neither an address nor an authority has any.
void AppendForwarded(const ForwardedRequest& request, std::string& out) {
  out += "Forwarded: ";
  // A proxy that is trusted for one of the two fields may relay a stranger's in the other.
  for (const Field& field : request.head.fields()) {
    if (!request.peer_trusted || !EqualsIgnoreCase(field.name, "forwarded")) continue;
    if (field.value.empty()) continue;
    out += field.value;
    out += ", ";
  }
  const bool v6 = request.peer.find(':') != std::string::npos;
  out += v6 ? "for=\"[" : "for=";
  out += request.peer;
  if (v6) out += "]\"";
  if (!request.head.authority.empty()) {
    out += ";host=\"";
    out += request.head.authority;
    out += '"';
  }
  out += request.tls ? ";proto=https\r\n" : ";proto=http\r\n";
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

// X-RateLimit-* are no lists: of two triples a client reads whichever it likes, so the tighter one
// stands alone.
bool IsEpochField(std::string_view name) {
  constexpr std::string_view kPrefix = "x-ratelimit-";
  if (!EqualsIgnoreCase(name.substr(0, kPrefix.size()), kPrefix)) return false;
  name.remove_prefix(kPrefix.size());
  return EqualsIgnoreCase(name, "limit") || EqualsIgnoreCase(name, "remaining") ||
         EqualsIgnoreCase(name, "reset");
}

bool IsTighterAtOrigin(const ForwardedResponse& response) {
  const auto value = response.head.Find("x-ratelimit-remaining");
  if (!value) return false;
  std::uint64_t remaining = 0;
  const auto [end, error] =
      std::from_chars(value->data(), value->data() + value->size(), remaining);
  return error == std::errc() && end == value->data() + value->size() &&
         remaining < response.quota.remaining;
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
  AppendField("Host", head.authority.empty() ? request.authority : head.authority, out);
  bool has_proto = false;
  bool has_host = false;
  for (const Field& field : head.fields()) {
    if (wire::EndsHere(field.name, head.connection())) continue;
    const Fate fate = FateOf(field.name, request);
    if (fate == Fate::kForward || (fate == Fate::kForwardIfTrusted && request.peer_trusted)) {
      AppendField(field.name, field.value, out);
      has_proto = has_proto || EqualsIgnoreCase(field.name, "x-forwarded-proto");
      has_host = has_host || EqualsIgnoreCase(field.name, "x-forwarded-host");
    }
  }
  AppendForwardedFor(request, out);
  AppendField("X-Real-IP", request.client, out);
  if (!has_proto)
    out += request.tls ? "X-Forwarded-Proto: https\r\n" : "X-Forwarded-Proto: http\r\n";
  if (!has_host && !head.authority.empty()) AppendField("X-Forwarded-Host", head.authority, out);
  if (request.forwarded == ForwardedSource::kForwarded) AppendForwarded(request, out);
  AppendRequestId(request.request_id_header, request.request_id, out);
  out += head.minor_version == 0 ? "Via: 1.0 sluicegate\r\n" : "Via: 1.1 sluicegate\r\n";
  if (request.websocket) out += kWebSocket;
  AppendRequestFraming(head, out);
  out += "\r\n";
}

void AppendClientHead(const ForwardedResponse& response, std::string& out) {
  const wire::ResponseHead& head = response.head;
  const bool ours = !response.quota.epoch.empty() && !IsTighterAtOrigin(response);
  AppendStatusLine(head.status, head.reason, out);
  for (const Field& field : head.fields()) {
    if (wire::EndsHere(field.name, head.connection())) continue;
    if (ours && IsEpochField(field.name)) continue;
    if (EqualsIgnoreCase(field.name, response.request_id_header)) continue;
    AppendField(field.name, field.value, out);
  }
  AppendRequestId(response.request_id_header, response.request_id, out);
  if (!response.date.empty()) AppendField("Date", response.date, out);
  out += response.quota.lines;
  if (ours) out += response.quota.epoch;
  if (response.chunked) out += "Transfer-Encoding: chunked\r\n";
  if (response.websocket) {
    out += kWebSocket;
  } else {
    AppendConnection(response.keep_alive, response.client_minor, out);
  }
  out += "\r\n";
}

void AppendInterimHead(const wire::ResponseHead& head, std::string& out) {
  AppendStatusLine(head.status, head.reason, out);
  for (const Field& field : head.fields()) {
    if (!wire::EndsHere(field.name, head.connection())) AppendField(field.name, field.value, out);
  }
  out += "\r\n";
}

void AppendOwnAnswer(const OwnAnswer& answer, std::string& out) {
  AppendStatusLine(answer.status, wire::ReasonPhrase(answer.status), out);
  AppendField("Date", answer.date, out);
  if (!answer.body.empty()) AppendField("Content-Type", answer.content_type, out);
  if (answer.no_store) out += "Cache-Control: no-store\r\n";
  AppendRequestId(answer.request_id_header, answer.request_id, out);
  out += answer.quota.lines;
  out += answer.quota.epoch;
  AppendConnection(answer.keep_alive, answer.client_minor, out);
  out += "Content-Length: ";
  AppendNumber(answer.body.size(), out);
  out += "\r\n\r\n";
  if (!answer.to_head) out += answer.body;
}

}  // namespace sluicegate::gateway
