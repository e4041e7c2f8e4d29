#include "gateway/heads.h"

#include <algorithm>
#include <charconv>
#include <span>

#include "base/text_writer.h"
#include "wire/forwarded.h"
#include "wire/hop_by_hop.h"
#include "wire/problem.h"

namespace sluicegate::gateway {
namespace {

using policy::ForwardedSource;
using wire::EqualsIgnoreCase;
using wire::Field;
using wire::Framing;

// Inlined, as the names are mostly constants, which are copied without a call then.
[[gnu::always_inline]] inline void PutField(std::string_view name, std::string_view value,
                                            TextWriter& out) {
  out.Put(name);
  out.Put(": ");
  out.Put(value);
  out.Put("\r\n");
}

// A field of a message that is relayed: its name and its value lie in one buffer, and nearly always
// as they are to be written.
void PutRelayed(const Field& field, TextWriter& out) {
  const char* const name_end = field.name.data() + field.name.size();
  if (field.value.data() != name_end + 2 || std::string_view(name_end, 2) != ": ") {
    return PutField(field.name, field.value, out);
  }
  out.Put({field.name.data(), field.name.size() + 2 + field.value.size()});
  out.Put("\r\n");
}

constexpr std::string_view kWebSocket = "Connection: Upgrade\r\nUpgrade: websocket\r\n";

void PutRequestId(std::string_view header, std::string_view id, TextWriter& out) {
  if (!header.empty()) PutField(header, id, out);
}

void PutConnection(bool keep_alive, unsigned client_minor, TextWriter& out) {
  if (!keep_alive) {
    out.Put("Connection: close\r\n");
  } else if (client_minor == 0) {
    out.Put("Connection: keep-alive\r\n");
  }
}

// A 426 says what to upgrade to (RFC 9110 section 15.5.22).
void PutUpgrade(const wire::ResponseHead& head, TextWriter& out) {
  for (const Field& field : head.fields()) {
    if (!EqualsIgnoreCase(field.name, "upgrade")) continue;
    PutField("Upgrade", field.value, out);
    out.Put("Connection: upgrade\r\n");
  }
}

constexpr std::string_view kContentLength = "content-length";

// RFC 9110 section 8.6: some servers send one of 0 all the same.
bool MayHaveLength(unsigned status) { return status >= 200 && status != 204; }

void PutQuota(const http::QuotaLines& quota, bool draft03, bool x_ratelimit, TextWriter& out) {
  out.Put(quota.lines);
  if (draft03) out.Put(quota.draft03);
  if (x_ratelimit) out.Put(quota.x_ratelimit);
}

std::size_t SizeOf(const http::QuotaLines& quota) {
  return quota.lines.size() + quota.draft03.size() + quota.x_ratelimit.size();
}

// About what is written of our own beside texts of others: names of fields, numbers, a date.
constexpr std::size_t kAboutOwn = 384;

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
  const std::string_view id = request.request_id_header;
  if (name.size() == id.size() && IsAlike(name, id)) return Fate::kDrop;  // Written anew.
  const std::string_view identity = request.identity_header;
  if (!identity.empty() && IsAlike(name, identity)) {
    return EqualsIgnoreCase(name, identity) ? Fate::kForwardIfTrusted : Fate::kDrop;
  }
  const Fate fate = FateOfGuarded(name);
  if (fate == Fate::kForward || name.find('_') == std::string_view::npos) return fate;
  return Fate::kDrop;  // A guarded name in other clothes: no proxy vouches for it.
}

void PutForwardedFor(const ForwardedRequest& request, TextWriter& out) {
  out.Put("X-Forwarded-For: ");
  if (request.peer_trusted && request.forwarded == ForwardedSource::kXForwardedFor) {
    for (const Field& field : request.head.fields()) {
      if (!EqualsIgnoreCase(field.name, "x-forwarded-for") || field.value.empty()) continue;
      out.Put(field.value);
      out.Put(", ");
    }
  }
  out.Put(request.peer);
  out.Put("\r\n");
}

// The fields behind the last malformed Forwarded. A quote that it leaves open would take in the
// elements behind it, ours among them; and for what stands before it nobody vouches.
std::span<const Field> FieldsBehindMalformed(std::span<const Field> fields) {
  for (std::size_t at = fields.size(); at > 0; --at) {
    const Field& field = fields[at - 1];
    if (!EqualsIgnoreCase(field.name, "forwarded")) continue;
    if (!wire::IsForwardedList(field.value)) return fields.subspan(at);
  }
  return fields;
}

// RFC 7239: what holds a colon stands in quotes. Neither an address nor an authority has any.
void PutForwarded(const ForwardedRequest& request, TextWriter& out) {
  out.Put("Forwarded: ");
  // A proxy that is trusted for one of the two fields may relay a stranger's in the other.
  std::span<const Field> relayed;
  if (request.peer_trusted) relayed = FieldsBehindMalformed(request.head.fields());
  for (const Field& field : relayed) {
    if (!EqualsIgnoreCase(field.name, "forwarded") || field.value.empty()) continue;
    out.Put(field.value);
    out.Put(", ");
  }
  const bool v6 = request.peer.find(':') != std::string::npos;
  out.Put(v6 ? "for=\"[" : "for=");
  out.Put(request.peer);
  if (v6) out.Put("]\"");
  if (!request.head.authority.empty()) {
    out.Put(";host=\"");
    out.Put(request.head.authority);
    out.Put("\"");
  }
  out.Put(request.tls ? ";proto=https\r\n" : ";proto=http\r\n");
}

void PutRequestFraming(const wire::RequestHead& head, TextWriter& out) {
  if (head.framing == Framing::kChunked) {
    out.Put("Transfer-Encoding: chunked\r\n");
  } else if (head.content_length) {
    out.Put("Content-Length: ");
    out.PutNumber(*head.content_length);
    out.Put("\r\n");
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
        !EqualsIgnoreCase(field.name.substr(prefix.size()), kRemaining) ||
        wire::EndsHere(field.name, response.head.connection())) {
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

[[gnu::always_inline]] inline void PutStatusLine(unsigned status, std::string_view reason,
                                                 TextWriter& out) {
  out.Put("HTTP/1.1 ");
  out.PutNumber(status);
  out.Put(" ");
  out.Put(reason);
  out.Put("\r\n");
}

}  // namespace

void AppendUpstreamHead(const ForwardedRequest& request, std::string& to) {
  const wire::RequestHead& head = request.head;
  TextWriter out(to, head.size + request.path.size() + kAboutOwn);
  out.Put(head.method);
  out.Put(" ");
  out.Put(request.path);
  out.Put(request.query);
  out.Put(" HTTP/1.1\r\n");
  PutField("Host", head.authority.empty() ? request.authority : head.authority, out);
  bool has_proto = false;
  bool has_host = false;
  for (const Field& field : head.fields()) {
    const bool is_identity = EqualsIgnoreCase(field.name, request.identity_header);
    if (!is_identity && wire::EndsHere(field.name, head.connection())) continue;
    if (head.max_forwards && EqualsIgnoreCase(field.name, "max-forwards")) {
      out.Put("Max-Forwards: ");
      out.PutNumber(*head.max_forwards - 1);
      out.Put("\r\n");
      continue;
    }
    const Fate fate = FateOf(field.name, request);
    if (fate == Fate::kForward || (fate == Fate::kForwardIfTrusted && request.peer_trusted)) {
      PutRelayed(field, out);
      has_proto = has_proto || EqualsIgnoreCase(field.name, "x-forwarded-proto");
      has_host = has_host || EqualsIgnoreCase(field.name, "x-forwarded-host");
    }
  }
  PutForwardedFor(request, out);
  PutField("X-Real-IP", request.client, out);
  if (!has_proto)
    out.Put(request.tls ? "X-Forwarded-Proto: https\r\n" : "X-Forwarded-Proto: http\r\n");
  if (!has_host && !head.authority.empty()) PutField("X-Forwarded-Host", head.authority, out);
  if (request.forwarded == ForwardedSource::kForwarded) PutForwarded(request, out);
  PutRequestId(request.request_id_header, request.request_id, out);
  out.Put(head.minor_version == 0 ? "Via: 1.0 sluicegate\r\n" : "Via: 1.1 sluicegate\r\n");
  if (request.websocket) out.Put(kWebSocket);
  PutRequestFraming(head, out);
  out.Put("\r\n");
}

void AppendClientHead(const ForwardedResponse& response, std::string& to) {
  const wire::ResponseHead& head = response.head;
  const http::QuotaLines& quota = response.quota;
  const bool x_ratelimit = IsOurs(response, quota.x_ratelimit, kXRateLimit);
  const bool draft03 = IsOurs(response, quota.draft03, kDraft03);
  TextWriter out(to, head.size + SizeOf(quota) + kAboutOwn);
  PutStatusLine(head.status, head.reason, out);
  const bool may_have_length = MayHaveLength(head.status);
  for (const Field& field : head.fields()) {
    if (wire::EndsHere(field.name, head.connection())) continue;
    if (!may_have_length && EqualsIgnoreCase(field.name, kContentLength)) continue;
    if (x_ratelimit && IsOfTriple(field.name, kXRateLimit)) continue;
    if (draft03 && IsOfTriple(field.name, kDraft03)) continue;
    if (EqualsIgnoreCase(field.name, response.request_id_header)) continue;
    PutRelayed(field, out);
  }
  PutRequestId(response.request_id_header, response.request_id, out);
  if (!response.date.empty()) PutField("Date", response.date, out);
  PutQuota(quota, draft03, x_ratelimit, out);
  if (response.chunked) out.Put("Transfer-Encoding: chunked\r\n");
  if (response.websocket) {
    out.Put(kWebSocket);
  } else {
    if (head.status == 426) PutUpgrade(head, out);
    PutConnection(response.keep_alive, response.client_minor, out);
  }
  out.Put("\r\n");
}

bool NamesWebSocket(const wire::MessageHead& head) noexcept {
  return EqualsIgnoreCase(head.Find("upgrade").value_or(std::string_view()), "websocket");
}

void AppendInterimHead(const wire::ResponseHead& head, std::string& to) {
  TextWriter out(to, head.size);
  PutStatusLine(head.status, head.reason, out);
  for (const Field& field : head.fields()) {
    if (wire::EndsHere(field.name, head.connection())) continue;
    if (!EqualsIgnoreCase(field.name, kContentLength)) PutRelayed(field, out);
  }
  out.Put("\r\n");
}

void AppendOwnAnswer(const OwnAnswer& answer, std::string& to) {
  TextWriter out(to, SizeOf(answer.quota) + answer.body.size() + kAboutOwn);
  PutStatusLine(answer.status, wire::ReasonPhrase(answer.status), out);
  PutField("Date", answer.date, out);
  if (!answer.body.empty()) PutField("Content-Type", answer.content_type, out);
  if (answer.no_store) out.Put("Cache-Control: no-store\r\n");
  PutRequestId(answer.request_id_header, answer.request_id, out);
  PutQuota(answer.quota, true, true, out);
  PutConnection(answer.keep_alive, answer.client_minor, out);
  out.Put("Content-Length: ");
  out.PutNumber(answer.body.size());
  out.Put("\r\n\r\n");
  if (!answer.to_head) out.Put(answer.body);
}

}  // namespace sluicegate::gateway
