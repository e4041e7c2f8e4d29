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

// Three fields that are no lists, as their names begin: of two triples a client reads whichever it
// likes, so the tighter one stands alone.
constexpr std::string_view kXRateLimit = "x-ratelimit-";
constexpr std::string_view kDraft03 = "ratelimit-";

bool IsOfTriple(std::string_view name, std::string_view prefix) {
  if (!EqualsIgnoreCase(name.substr(0, prefix.size()), prefix)) return false;
  name.remove_prefix(prefix.size());
  return EqualsIgnoreCase(name, "limit") || EqualsIgnoreCase(name, "remaining") ||
         EqualsIgnoreCase(name, "reset");
}

// Whether one of the origin's lines leaves less. Its Reset may have whichever form; what is no
// number says nothing.
bool IsTighterAtOrigin(const ForwardedResponse& response, std::string_view prefix) {
  constexpr std::string_view kRemaining = "remaining";
  const auto leaves_less = [&](const Field& field) {
    if (field.name.size() != prefix.size() + kRemaining.size() ||
        !EqualsIgnoreCase(field.name.substr(0, prefix.size()), prefix) ||
        !EqualsIgnoreCase(field.name.substr(prefix.size()), kRemaining)) {
      return false;
    }
    std::uint64_t remaining = 0;
    const std::string_view value = field.value;
    const auto [end, error] = std::from_chars(value.begin(), value.end(), remaining);
    return error == std::errc() && end == value.end() && remaining < response.quota.remaining;
  };
  return std::ranges::any_of(response.head.fields(), leaves_less);
}

// Whether our triple takes the place of the origin's.
bool IsOurs(const ForwardedResponse& response, std::string_view triple, std::string_view prefix) {
  return !triple.empty() && !IsTighterAtOrigin(response, prefix);
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
  const http::QuotaLines& quota = response.quota;
  const bool x_ratelimit = IsOurs(response, quota.x_ratelimit, kXRateLimit);
  const bool draft03 = IsOurs(response, quota.draft03, kDraft03);
  AppendStatusLine(head.status, head.reason, out);
  for (const Field& field : head.fields()) {
    if (wire::EndsHere(field.name, head.connection())) continue;
    if (x_ratelimit && IsOfTriple(field.name, kXRateLimit)) continue;
    if (draft03 && IsOfTriple(field.name, kDraft03)) continue;
    if (EqualsIgnoreCase(field.name, response.request_id_header)) continue;
    AppendField(field.name, field.value, out);
  }
  AppendRequestId(response.request_id_header, response.request_id, out);
  if (!response.date.empty()) AppendField("Date", response.date, out);
  out += quota.lines;
  if (draft03) out += quota.draft03;
  if (x_ratelimit) out += quota.x_ratelimit;
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
  out += answer.quota.draft03;
  out += answer.quota.x_ratelimit;
  AppendConnection(answer.keep_alive, answer.client_minor, out);
  out += "Content-Length: ";
  AppendNumber(answer.body.size(), out);
  out += "\r\n\r\n";
  if (!answer.to_head) out += answer.body;
}

}  // namespace sluicegate::gateway
