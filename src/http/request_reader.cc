#include "http/request_reader.h"

#include "wire/http_head.h"

namespace sluicegate::http {
namespace {

using policy::ForwardedSource;
using wire::EqualsIgnoreCase;
using wire::Field;

wire::ClientField FieldOf(ForwardedSource source) {
  switch (source) {
    case ForwardedSource::kXForwardedFor:
      return wire::ClientField::kXForwardedFor;
    case ForwardedSource::kForwarded:
      return wire::ClientField::kForwarded;
    case ForwardedSource::kNone:
      break;
  }
  return wire::ClientField::kNone;
}

std::string_view BearerToken(std::span<const Field> fields) {
  constexpr std::string_view kBearer = "bearer ";
  const std::string_view authorization = OnlyValue(fields, "authorization");
  if (authorization.size() <= kBearer.size() ||
      !EqualsIgnoreCase(authorization.substr(0, kBearer.size()), kBearer)) {
    return {};
  }
  return wire::syntax::Trim(authorization.substr(kBearer.size()));
}

}  // namespace

FieldLines FindLines(std::span<const Field> fields, std::string_view name) {
  FieldLines lines;
  for (const Field& field : fields) {
    if (!EqualsIgnoreCase(field.name, name)) continue;
    lines.value = field.value;
    ++lines.count;
  }
  return lines;
}

std::string_view OnlyValue(std::span<const Field> fields, std::string_view name) {
  const FieldLines lines = FindLines(fields, name);
  return lines.count == 1 ? lines.value : std::string_view();
}

Request RequestReader::Read(const policy::Policy& policy, const Vouchers& vouchers,
                            const Head& head) {
  const policy::Clients& clients = policy.settings().clients;
  client_ = wire::FindClientAddress(head.peer,
                                    {.trusted_proxies = clients.trusted_proxies,
                                     .trusted_hops = clients.trusted_hops,
                                     .field = FieldOf(clients.forwarded)},
                                    head.fields);
  host_.clear();
  wire::AppendRuleHost(head.authority, host_);
  asked_headers_.clear();
  for (const std::string& name : policy.asked_headers()) {
    asked_headers_.push_back(wire::FindField(head.fields, name).value_or(""));
  }
  Request request{.client = client_.address,
                  .method = head.method,
                  .path = head.path,
                  .host = host_,
                  .headers = asked_headers_};
  ReadIdentity(clients.identity, vouchers, head.fields, request);
  return request;
}

// Who was verified wins: a token says who the user is, a key whose program asks. What a client or
// a proxy says without proof is the last, and only a trusted proxy may.
void RequestReader::ReadIdentity(const policy::Identity& settings, const Vouchers& vouchers,
                                 std::span<const Field> fields, Request& request) const {
  if (vouchers.known != nullptr && !vouchers.known->empty()) {
    const std::string_view token = BearerToken(fields);
    const std::string_view key = OnlyValue(fields, "x-api-key");
    request.api_key_id = vouchers.known->api_keys.IdOf(key.empty() ? token : key);
    if (vouchers.known->tokens) {
      request.user =
          vouchers.verified->UserOf(*vouchers.known->tokens, token, client_.address, vouchers.now);
    }
    if (request.user.empty()) request.user = request.api_key_id;
  }
  if (request.user.empty() && client_.peer_trusted && !settings.header.empty()) {
    request.user = OnlyValue(fields, settings.header);
  }
}

}  // namespace sluicegate::http
