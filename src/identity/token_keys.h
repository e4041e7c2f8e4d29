// TokenKeys: the file that clients.identity.jwt.key names, read once. Immutable, so thread-safe.
//
// The file is one of
// - public keys in PEM, one or several ("PUBLIC KEY" or "RSA PUBLIC KEY"; text between them is
//   passed over);
// - a JSON Web Key Set: {"keys": [...]};
// - secrets for HMAC, a line each: hmac:hex:..., hmac:base64url:... or hmac:text:..., of at least
// 32
//   bytes; empty lines and those that begin with '#' are passed over.
// A file of bytes without such a mark is never a secret: a public key in DER would pass for one,
// and everybody could sign with it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "identity/token_key.h"

namespace sluicegate::identity {

class TokenKeys {
 public:
  using Digest = std::array<std::uint8_t, 32>;
  static constexpr std::size_t kMaxKeys = 64;
  /// Keys without a name that are for the same algorithms: a token is checked against each.
  static constexpr std::size_t kMaxNameless = 4;

  /// The error is a sentence that says which key is wrong, and the mend. It quotes nothing of the
  /// file.
  [[nodiscard]] static std::expected<TokenKeys, std::string> Parse(std::string_view file);

  [[nodiscard]] std::span<const TokenKey> keys() const noexcept { return keys_; }
  /// Whether who reads the file can sign tokens.
  [[nodiscard]] bool has_secret() const noexcept;
  /// SHA-256 of the file.
  [[nodiscard]] const Digest& digest() const noexcept { return digest_; }

 private:
  std::vector<TokenKey> keys_;
  Digest digest_{};
};

}  // namespace sluicegate::identity
