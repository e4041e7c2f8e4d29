#include "policy/rule.h"

#include <algorithm>
#include <charconv>

namespace sluicegate::policy {
namespace {

// Added to a part's kind when it is absent and the client's address stands in for it.
constexpr std::uint64_t kAbsent = 0x80;

// What tells the key of a network, or of all, from a client's. No part's kind and length are these.
constexpr std::uint64_t kParent = 0x40;
constexpr std::uint64_t kOverflow = 0x41;
constexpr std::uint64_t kCeiling = std::uint64_t{0x42} << 32U;

template <class Patterns>
bool OneMatches(const Patterns& patterns, std::string_view text) noexcept {
  return patterns.empty() ||
         std::ranges::any_of(patterns, [text](const Glob& glob) { return glob.Matches(text); });
}

std::string_view HeaderAt(const Request& request, std::size_t index) noexcept {
  return index < request.headers.size() ? request.headers[index] : std::string_view();
}

void FeedText(SipHasher& hasher, std::uint64_t kind, std::string_view text) noexcept {
  hasher.UpdateU64(kind | (static_cast<std::uint64_t>(text.size()) << 8U));
  hasher.Update(text);
}

void FeedClient(SipHasher& hasher, std::uint64_t kind, const IpAddress& client) noexcept {
  const auto bytes = client.bytes();
  FeedText(hasher, kind, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

}  // namespace

std::string_view TextOf(const KeyPart& part, const Request& request) noexcept {
  switch (part.kind) {
    case KeyKind::kUser:
      return request.user;
    case KeyKind::kApiKey:
      return request.api_key_id;
    case KeyKind::kMethod:
      return request.method;
    case KeyKind::kPath:
      return request.path;
    case KeyKind::kHost:
      return request.host;
    case KeyKind::kHeader:
      return HeaderAt(request, part.header);
    case KeyKind::kMcpMethod:
      return request.mcp_method;
    case KeyKind::kMcpTool:
      return request.mcp_tool;
    case KeyKind::kMcpArguments:
      return request.mcp_arguments_text;
    case KeyKind::kClient:
    case KeyKind::kEntry:
      break;
  }
  return {};
}

bool Who::OneHolds(const Request& request) const noexcept {
  return (!clients.empty() && clients.Contains(request.client)) ||
         (!request.user.empty() && users.contains(request.user)) ||
         (!request.api_key_id.empty() && api_keys.contains(request.api_key_id));
}

bool Who::All(const Request& request) const noexcept {
  return (clients.empty() || clients.Contains(request.client)) &&
         (users.empty() || users.contains(request.user)) &&
         (api_keys.empty() || api_keys.contains(request.api_key_id));
}

bool Match::EachHolds(const Request& request) const noexcept {
  if (!OneMatches(paths, request.path)) return false;
  if (!methods.empty() && std::ranges::find(methods, request.method) == methods.end()) return false;
  if (!OneMatches(hosts, request.host)) return false;
  for (const Header& header : headers) {
    const std::string_view value = HeaderAt(request, header.index);
    if (value.empty() || !OneMatches(header.values, value)) return false;
  }
  if (!mcp_methods.empty() &&
      (request.mcp_method.empty() || !OneMatches(mcp_methods, request.mcp_method)))
    return false;
  return mcp_tools.empty() ||
         (!request.mcp_tool.empty() && OneMatches(mcp_tools, request.mcp_tool));
}

std::uint8_t Rule::FindVariant(const Request& request) const noexcept {
  for (std::size_t i = 0; i < overrides_.size(); ++i) {
    if (overrides_[i].All(request)) return static_cast<std::uint8_t>(i + 1);
  }
  return 0;
}

SipHasher Rule::FeedKey(const HashSecret& secret, const Request& request,
                        const IpAddress& client) const noexcept {
  SipHasher hasher(secret);
  hasher.UpdateU64(name_hash_);
  for (const KeyPart& part : key_) {
    const auto kind = static_cast<std::uint64_t>(part.kind);
    if (part.kind == KeyKind::kClient) {
      FeedClient(hasher, kind, client);
      continue;
    }
    if (part.kind == KeyKind::kHeader) FeedText(hasher, kind, part.text);  // Which one.
    const std::string_view text = TextOf(part, request);
    if (text.empty()) {
      FeedClient(hasher, kind | kAbsent, client);
    } else {
      FeedText(hasher, kind, text);
    }
  }
  return hasher;
}

// An override's own hash goes on behind the parts, which a rule always has as many of.
std::uint64_t Rule::FinishKey(SipHasher hasher, std::uint8_t variant) const noexcept {
  if (variant != 0) hasher.UpdateU64(overrides_[variant - 1].hash);
  return hasher.Finish();
}

KeyHashes Rule::HashKeys(const HashSecret& secret, const Request& request,
                         std::uint8_t variant) const noexcept {
  const SipHasher hasher = FeedKey(secret, request, request.client.Client());
  const std::uint64_t limits = FinishKey(hasher, variant);
  return {.client = variant == 0 ? limits : FinishKey(hasher, 0), .limits = limits};
}

std::uint8_t Rule::ParentBits(const Request& request) const noexcept {
  constexpr std::uint8_t kV4Bits = 24;
  constexpr std::uint8_t kV6Bits = 48;
  if (std::ranges::find(key_, KeyKind::kClient, &KeyPart::kind) == key_.end()) return 0;
  return request.client.is_v4() ? kV4Bits : kV6Bits;
}

std::uint64_t Rule::HashParent(const HashSecret& secret, const Request& request,
                               std::uint8_t variant) const noexcept {
  SipHasher hasher(secret);
  hasher.UpdateU64(name_hash_);
  const std::uint8_t bits = ParentBits(request);
  if (bits == 0) {
    hasher.UpdateU64(kOverflow);
  } else {
    FeedClient(hasher, kParent, request.client.Masked(bits));
  }
  return FinishKey(hasher, variant);
}

std::uint64_t Rule::HashCeiling(const HashSecret& secret, const Request& request,
                                std::uint8_t variant, unsigned bits) const noexcept {
  SipHasher hasher = FeedKey(secret, request, request.client.Masked(bits));
  hasher.UpdateU64(kCeiling | bits);
  return FinishKey(hasher, variant);
}

std::uint64_t Rule::CostOf(const Request& request) const noexcept {
  if (request.cost != Request::kRuleCost) return request.cost;
  if (!cost_.argument || *cost_.argument >= request.mcp_arguments.size()) return cost_.fallback;
  const std::string_view text = request.mcp_arguments[*cost_.argument];
  if (text.empty()) return cost_.fallback;
  std::uint64_t units = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), units);
  // The client spells this number, and the upstream may read what is none here ("50", 5e1): it may
  // not make its request cheap.
  if (error != std::errc() || end != text.data() + text.size()) return cost_.max;
  return std::clamp<std::uint64_t>(units, 1, cost_.max);
}

}  // namespace sluicegate::policy
