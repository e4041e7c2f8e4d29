// TokenCache: the tokens that one thread has verified, so that a client that goes on showing one
// costs a hash instead of a signature check. Bound to one thread; takes no memory before it is
// used.
//
// A token is remembered by SHA-256 over a secret of this cache, the verifier's fingerprint and the
// token, never as itself. So what was verified with other keys or settings is not found after a
// reload, and nobody outside can choose tokens that push each other out. Only verified ones are
// remembered: junk pushes nobody out.
//
// Inaccuracies: a token of which the issuer says that it ended early (revocation) counts until its
// `exp`, as it would without the cache. Who has more than 8 valid tokens in one of the 2,048 sets
// pushes the one out that was not used for longest; it is verified again when it comes.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "base/ip.h"
#include "base/siphash.h"
#include "identity/token_verifier.h"
#include "sluicegate/time.h"

namespace sluicegate::identity {

class TokenCache {
 public:
  static constexpr std::size_t kWays = 8;
  static constexpr std::size_t kSets = 2048;
  /// `secret`: what places of tokens and clients are chosen with.
  explicit TokenCache(const HashSecret& secret = HashSecret::Random());
  ~TokenCache();
  TokenCache(const TokenCache&) = delete;
  TokenCache& operator=(const TokenCache&) = delete;

  /// The user whom a token names; empty: nobody. `client` is whom a signature that does not hold is
  /// charged on (ForgeryGuard). The view lives until the next call.
  [[nodiscard]] std::string_view UserOf(const TokenVerifier& verifier, std::string_view token,
                                        const IpAddress& client, Now now);

 private:
  struct Entry;
  struct Memory;
  [[nodiscard]] Memory& memory();

  const HashSecret secret_;
  std::unique_ptr<Memory> memory_;  // Null: nobody has shown a token yet.
};

}  // namespace sluicegate::identity
