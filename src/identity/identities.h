// Identities: whom the files of a policy vouch for: the holders of API keys, and of tokens that
// somebody signed. Immutable, so thread-safe.
#pragma once

#include <optional>

#include "identity/api_keys.h"
#include "identity/token_verifier.h"

namespace sluicegate::identity {

struct Identities {
  ApiKeys api_keys;                     ///< Without a file there are none.
  std::optional<TokenVerifier> tokens;  ///< Absent: no token says who somebody is.

  [[nodiscard]] bool empty() const noexcept { return api_keys.size() == 0 && !tokens; }
};

}  // namespace sluicegate::identity
