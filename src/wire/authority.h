// HOST[:PORT] as a target or the Host field carries it. Pure. Private to wire.
#pragma once

#include <string_view>

namespace sluicegate::wire {

/// Letters, digits and -._~!$&'()*+=; with an optional port, or an IPv6 address in brackets. Not
/// empty, without userinfo. Escapes and commas are refused: servers disagree about them.
[[nodiscard]] bool IsAuthority(std::string_view authority) noexcept;

/// The same host without case, and the same port; `default_port` may be left out.
[[nodiscard]] bool SameAuthority(std::string_view a, std::string_view b,
                                 std::string_view default_port) noexcept;

}  // namespace sluicegate::wire
