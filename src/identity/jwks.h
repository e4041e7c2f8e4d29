// A JSON Web Key Set (RFC 7517, RFC 8037), as issuers publish them. Pure.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "identity/token_key.h"

namespace sluicegate::identity {

/// The keys of `{"keys": [...]}` that can sign tokens here; those that are for something else
/// (encryption, another curve) are passed over, as RFC 7517 section 5 wants it. The error is a
/// sentence that says which key is wrong, and the mend; it quotes nothing of a key.
[[nodiscard]] std::expected<std::vector<TokenKey>, std::string> ParseJwks(std::string_view json);

}  // namespace sluicegate::identity
