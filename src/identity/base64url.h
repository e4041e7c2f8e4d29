// Base64url without padding (RFC 4648 section 5), read strictly: there is one text for each run of
// bytes, so nobody makes a second token out of one that he has seen. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace sluicegate::identity {

/// The bytes; nothing where the text has a character outside the alphabet (padding included), a
/// length that no bytes have, or bits behind the last byte that are not zero.
[[nodiscard]] std::optional<std::string> DecodeBase64Url(std::string_view text);

}  // namespace sluicegate::identity
