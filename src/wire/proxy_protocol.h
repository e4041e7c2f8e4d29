// The PROXY protocol, versions 1 and 2: the header with which a proxy begins a connection to say
// for whom it made it (haproxy.org/download/3.0/doc/proxy-protocol.txt). Pure; allocates nothing.
//
// Only for a listener that is declared so, and only from a peer that is trusted: there the header
// is required, and what does not begin with one is refused. Nothing is guessed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/ip.h"
#include "wire/refusal.h"

namespace sluicegate::wire {

/// Bytes of a line of version 1, its CRLF included: the longest that the protocol has.
inline constexpr std::size_t kMaxProxyLine = 107;
/// Bytes of a header of version 2 behind its addresses. The protocol allows 64 KiB; what proxies
/// send of a connection (names, TLS's facts, checksums) is some hundred bytes.
inline constexpr std::size_t kMaxProxyTlvs = 4096;
/// Bytes of a header: the fixed part, the longest addresses (of Unix sockets), the TLVs.
inline constexpr std::size_t kMaxProxyHeader = 16 + 216 + kMaxProxyTlvs;

/// Whom the connection is for. An IPv4-mapped address is its IPv4 form.
struct ProxySource {
  IpAddress address;
  std::uint16_t port = 0;
  friend bool operator==(const ProxySource&, const ProxySource&) = default;
};

struct ProxyHeader {
  ParseState state = ParseState::kNeedMore;
  std::size_t consumed = 0;  ///< Done: bytes of the header; what is behind is the connection's.
  /// Done: absent where the proxy speaks for itself (LOCAL) or says nobody that has an address
  /// (UNKNOWN, UNSPEC, a Unix socket): then the peer is the client.
  std::optional<ProxySource> source = {};
  std::string_view reason = {};  ///< Refused: what is wrong, a literal, for the log.

  friend bool operator==(const ProxyHeader&, const ProxyHeader&) = default;
};

/// Reads the header at the beginning of `bytes`: all that came of the connection so far. Needs
/// never more than kMaxProxyHeader bytes; a call that needs more costs no more for a long header
/// than for a short one. What was refused stays so with more bytes.
[[nodiscard]] ProxyHeader ParseProxyHeader(std::string_view bytes) noexcept;

}  // namespace sluicegate::wire
