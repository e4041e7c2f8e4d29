// The file of keys for tokens: any bytes are keys, or an error that says the mend and quotes
// nothing; a file with one more good key is still what it was.
#include <openssl/err.h>

#include <string>

#include "fuzz_target.h"
#include "identity/token_keys.h"

using sluicegate::fuzz::Require;
using sluicegate::identity::FindAlgorithm;
using sluicegate::identity::KeyKind;
using sluicegate::identity::TokenKey;
using sluicegate::identity::TokenKeys;

SG_FUZZ_TARGET(token_keys) {
  const auto keys = TokenKeys::Parse(bytes);
  Require(::ERR_peek_error() == 0);
  if (!keys) {
    Require(keys.error().ends_with('.') && keys.error().size() < 250);
    return;
  }
  Require(!keys->keys().empty() && keys->keys().size() <= TokenKeys::kMaxKeys);
  for (const TokenKey& key : keys->keys()) {
    unsigned fits = 0;
    for (const char* name : {"RS256", "PS512", "ES256", "ES384", "EdDSA", "HS256"}) {
      const auto& algorithm = *FindAlgorithm(name);
      if (!key.Fits(algorithm)) continue;
      ++fits;
      Require(algorithm.kind == key.kind());
      Require(!key.Verifies(algorithm, "text", "") && !key.Verifies(algorithm, "text", bytes));
    }
    Require(fits <= (key.kind() == KeyKind::kRsa ? 2U : 1U));
  }
}
