// Which fields belong to one connection and end at a proxy (RFC 9110 section 7.6.1). Pure.
#pragma once

#include <span>
#include <string_view>

namespace sluicegate::wire {

/// Connection, HTTP2-Settings, Keep-Alive, Proxy-Connection, Proxy-Authenticate,
/// Proxy-Authorization, TE, Trailer, Transfer-Encoding and Upgrade, whatever their case.
/// Content-Length is not one.
[[nodiscard]] bool IsHopByHop(std::string_view name) noexcept;

/// IsHopByHop, or named by Connection (MessageHead::connection()). A stranger cannot use Connection
/// to take away what a proxy or the upstream relies on: Host, Content-Length, Content-Type,
/// Authorization, Cookie, Cache-Control, Date, Set-Cookie, Retry-After, Forwarded, X-Real-IP and
/// X-Forwarded-* are kept.
[[nodiscard]] bool EndsHere(std::string_view name,
                            std::span<const std::string_view> connection) noexcept;

}  // namespace sluicegate::wire
