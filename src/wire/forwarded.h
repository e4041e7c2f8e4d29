// The elements of X-Forwarded-For and Forwarded, taken from the right; and whether a Forwarded is
// well-formed, which alone is others' than wire's. Pure.
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

/// Whether a value of Forwarded is well-formed to its end (RFC 7239 section 4), so that elements
/// that are put behind it are read as they are meant: pairs `token=token` or `token="quoted
/// string"` between semicolons and commas. Blanks around these, and none between two of them, are
/// taken, as above. In one pass.
[[nodiscard]] bool IsForwardedList(std::string_view list) noexcept;

/// The address of an element of Forwarded ("for=192.0.2.43;proto=http"), or nothing: malformed,
/// `unknown`, `_obfuscated`, without `for` or with two.
[[nodiscard]] std::optional<IpAddress> ParseForwardedElement(std::string_view element) noexcept;

}  // namespace sluicegate::wire
