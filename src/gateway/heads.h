// The heads that the gateway writes: to the upstream, to the client, and its own answers. Pure but
// for the strings that they append to.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "http/quota_fields.h"
#include "policy/settings.h"
#include "wire/http_head.h"

namespace sluicegate::gateway {

/// Invites the body of a request with `Expect: 100-continue`.
inline constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

/// What the upstream is told beside the client's own fields.
struct ForwardedRequest {
  const wire::RequestHead& head;
  std::string_view path;       ///< Normalised.
  std::string_view query;      ///< With its '?', as sent.
  std::string_view authority;  ///< The upstream's, for a request that names no host.
  std::string peer;            ///< The peer's address as text.
  std::string client;          ///< The client's.
  bool peer_trusted = false;
  policy::ForwardedSource forwarded = policy::ForwardedSource::kNone;  ///< The field that counts.
  std::string_view identity_header;                                    ///< Lower case; empty: none.
  std::string_view request_id_header;  ///< Lower case; empty: off. The client's own is dropped.
  std::string_view request_id;
  bool tls = false;        ///< The client's connection is encrypted.
  bool websocket = false;  ///< The client's offer to go on in WebSocket goes on.
};

/// The request's head as the upstream gets it: no hop-by-hop fields, framing anew, and of the
/// fields that say who the client is only what a trusted proxy said or the gateway knows.
/// REQUIRES: head.max_forwards is not 0.
void AppendUpstreamHead(const ForwardedRequest& request, std::string& out);

/// The head of an upstream's response as the client gets it. The origin's own fields stay, but of
/// two triples of one name (X-RateLimit-*, or RateLimit-Limit, -Remaining and -Reset) only the
/// tighter one is sent.
struct ForwardedResponse {
  const wire::ResponseHead& head;
  const http::QuotaLines& quota;
  std::string_view date;               ///< Empty: the answer tells its own.
  std::string_view request_id_header;  ///< Lower case; empty: off. The origin's own is dropped.
  std::string_view request_id;
  bool chunked = false;  ///< The body goes on in chunks.
  bool keep_alive = true;
  bool websocket = false;     ///< The connection goes on in WebSocket.
  unsigned client_minor = 1;  ///< The client's HTTP/1 version.
};
void AppendClientHead(const ForwardedResponse& response, std::string& out);

/// Whether the first Upgrade names WebSocket.
[[nodiscard]] bool NamesWebSocket(const wire::MessageHead& head) noexcept;

/// An interim response (1xx) as the client gets it.
void AppendInterimHead(const wire::ResponseHead& head, std::string& out);

/// An answer of the gateway's own.
struct OwnAnswer {
  std::uint16_t status = 0;
  std::string_view content_type;
  std::string_view body;  ///< Empty: none, and no type.
  const http::QuotaLines& quota;
  std::string_view date;               ///< The Date field's text.
  std::string_view request_id_header;  ///< Lower case; empty: off.
  std::string_view request_id;
  bool no_store = true;
  bool keep_alive = true;
  bool to_head = false;  ///< It answers HEAD: no body.
  unsigned client_minor = 1;
};
void AppendOwnAnswer(const OwnAnswer& answer, std::string& out);

}  // namespace sluicegate::gateway
