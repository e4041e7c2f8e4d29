// Who the client is, behind proxies that are trusted (doc/gateway.md). Pure; allocates nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/ip.h"
#include "wire/syntax.h"

namespace sluicegate::wire {

/// The field that names the client. Never two: a proxy sets one and lets strangers set the other.
enum class ClientField : std::uint8_t {
  kNone,           ///< The peer is the client.
  kXForwardedFor,  ///< Elements may carry ports: "192.0.2.1:99", "[2001:db8::1]:99".
  kForwarded,      ///< RFC 7239.
};

struct ClientAddressOptions {
  const PrefixSet& trusted_proxies;
  /// Proxies between the client and here, the peer included: 1 takes the last element, 2 the one
  /// before. Without it, trusted addresses are walked past. Counts only if the peer is trusted.
  std::optional<unsigned> trusted_hops;
  ClientField field = ClientField::kXForwardedFor;
};

struct ClientAddress {
  IpAddress address;          ///< Not yet folded to its /64.
  bool peer_trusted = false;  ///< The peer may name users, and its forwarding fields count.
};

/// At most this many elements are walked; then the last one reached is the client.
inline constexpr unsigned kMaxHops = 16;

/// Walks the field's elements from the right (all its lines joined in order), beginning with the
/// peer, and stops at the first address that is not trusted. An element that is no address (also
/// `unknown` and `_obfuscated`) stops the walk at the last good hop, never further left: so a
/// stranger who sends the field himself only adds elements that are not reached.
[[nodiscard]] ClientAddress FindClientAddress(const IpAddress& peer,
                                              const ClientAddressOptions& options,
                                              std::span<const Field> fields) noexcept;

/// Reads an element of X-Forwarded-For, or a node of Forwarded without its quotes: an address, a
/// port or none. Pure.
[[nodiscard]] std::optional<IpAddress> ParseNode(std::string_view node) noexcept;

}  // namespace sluicegate::wire
