// TokenVerifier: who a signed token (JWT, RFC 7519) says its bearer is, if it may be believed.
// Immutable, so thread-safe. Time is an argument.
//
// Everything is checked that is cheap before a signature is, so that junk costs no more than
// reading it. What is checked and why: RFC 8725.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "identity/json_members.h"
#include "identity/token_keys.h"

namespace sluicegate::identity {

/// Why a token is not believed, in the order of the checks.
enum class TokenFault : std::uint8_t {
  kShape,      ///< Not three parts, or over 8 KiB.
  kEncoding,   ///< A part is no base64url.
  kHeader,     ///< No JSON object, or twice what decides, or without `alg`.
  kCritical,   ///< `crit`: it wants something understood that is not.
  kAlgorithm,  ///< None of ours; "none" as well.
  kKey,        ///< No key of that name is for that algorithm.
  kClaims,     ///< No JSON object, twice what decides, a time that is no number, or no `exp`.
  kExpired,
  kNotYet,  ///< `nbf` or `iat` lie in the future.
  kIssuer,
  kAudience,
  kUser,       ///< The claim is no text of 1 to 256 bytes.
  kSignature,  ///< All of the above is well, and nobody of ours signed it.
};

/// A value type.
struct VerifiedToken {
  std::string user;
  // Seconds since 1970 between which it holds, leeway included: from the first, before the second.
  std::int64_t valid_from = 0;
  std::int64_t valid_until = 0;
};

class TokenVerifier {
 public:
  static constexpr std::size_t kMaxTokenBytes = 8192;
  static constexpr std::size_t kMaxUserBytes = 256;
  /// How far the clocks of who signs and of this machine may be apart.
  static constexpr std::int64_t kLeewaySeconds = 60;

  struct Options {
    std::string issuer;                  ///< Empty: any.
    std::vector<std::string> audiences;  ///< One must be among the token's; empty: any.
    std::string claim = "sub";
  };
  TokenVerifier(TokenKeys keys, Options options);

  /// `unix_seconds`: the wall clock.
  [[nodiscard]] std::expected<VerifiedToken, TokenFault> Verify(std::string_view token,
                                                                std::int64_t unix_seconds) const;

  /// The same for verifiers that give the same answers.
  [[nodiscard]] const TokenKeys::Digest& fingerprint() const noexcept { return fingerprint_; }

 private:
  struct Header;
  [[nodiscard]] static std::expected<Header, TokenFault> ReadHeader(std::string_view part);
  [[nodiscard]] std::vector<const TokenKey*> KeysFor(const Header& header) const;
  [[nodiscard]] std::expected<VerifiedToken, TokenFault> ReadClaims(std::string_view part,
                                                                    std::int64_t now) const;
  [[nodiscard]] bool IsForUs(const JsonMembers& claims) const;

  // Constant after construction.
  TokenKeys keys_;
  Options options_;
  TokenKeys::Digest fingerprint_;
};

}  // namespace sluicegate::identity
