// TokenKey: a key that tokens are signed with, and the algorithms of JWS (RFC 7518, RFC 8037) that
// it is for. Which algorithm a token may name is decided by the key's own type, so a public key is
// never taken for a secret. Immutable and shared when copied, so thread-safe.
#pragma once

#include <openssl/types.h>

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>

namespace sluicegate::identity {

enum class KeyKind : std::uint8_t { kRsa, kP256, kP384, kEd25519, kSecret };

/// A row of the table of algorithms. Lives as long as the program.
struct Algorithm {
  std::string_view name;  ///< As a token's header has it: "RS256".
  KeyKind kind;
  const char* hash;             ///< OpenSSL's name; null: the algorithm has its own.
  bool pss;                     ///< RSA's padding.
  std::size_t signature_bytes;  ///< 0: the key decides.
  std::size_t least_secret;     ///< A secret has at least as many bytes as its hash (RFC 7518 3.2).
};

/// Null: none that is known here, "none" among them. Pure.
[[nodiscard]] const Algorithm* FindAlgorithm(std::string_view name) noexcept;

class TokenKey {
 public:
  static constexpr std::size_t kLeastSecretBytes = 32;
  using Public = std::shared_ptr<EVP_PKEY>;

  /// The error says what is wrong with the key, as the end of a sentence, and the mend.
  [[nodiscard]] static std::expected<TokenKey, std::string> OfPublic(Public key);
  [[nodiscard]] static std::expected<TokenKey, std::string> OfSecret(std::string secret);

  /// Binds the key to a name, and to one algorithm if `only` is not null.
  void Restrict(std::string id, const Algorithm* only);

  [[nodiscard]] KeyKind kind() const noexcept { return kind_; }
  [[nodiscard]] const std::string& id() const noexcept { return id_; }  ///< kid; empty: none.
  /// Whether a token of this algorithm can be this key's.
  [[nodiscard]] bool Fits(const Algorithm& algorithm) const noexcept;
  /// Whether `signature` is this key's under `text`. REQUIRES: Fits(algorithm).
  [[nodiscard]] bool Verifies(const Algorithm& algorithm, std::string_view text,
                              std::string_view signature) const;

 private:
  TokenKey(KeyKind kind, Public key, std::string secret)
      : kind_(kind), public_(std::move(key)), secret_(std::move(secret)) {}

  KeyKind kind_;
  Public public_;  // Null: a secret.
  std::string secret_;
  std::string id_;
  const Algorithm* only_ = nullptr;
};

}  // namespace sluicegate::identity
