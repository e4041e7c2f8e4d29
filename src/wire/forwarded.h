// The elements of X-Forwarded-For and Forwarded, taken from the right. Private to wire. Pure.
//
// From the right, because the elements that trusted proxies appended stand there: whatever a
// stranger put before them cannot change how they are read.
#pragma once

#include <optional>
#include <string_view>

#include "base/ip.h"

namespace sluicegate::wire {

/// Cuts the last element of a comma-separated list off `list`, commas in quoted strings not
/// counted. `list` is empty when the element was the first. REQUIRES: !list.empty().
[[nodiscard]] std::string_view TakeLastElement(std::string_view& list) noexcept;
[[nodiscard]] std::string_view TakeLastQuotedElement(std::string_view& list) noexcept;

/// The address of an element of Forwarded ("for=192.0.2.43;proto=http"), or nothing: malformed,
/// `unknown`, `_obfuscated`, without `for` or with two.
[[nodiscard]] std::optional<IpAddress> ParseForwardedElement(std::string_view element) noexcept;

}  // namespace sluicegate::wire
