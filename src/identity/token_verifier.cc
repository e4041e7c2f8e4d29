#include "identity/token_verifier.h"

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <utility>

#include "identity/base64url.h"
#include "identity/openssl.h"

namespace sluicegate::identity {
namespace {

// The year 36,558,901: so far from the edge that leeway cannot overflow.
constexpr std::int64_t kMostSeconds = std::int64_t{1} << 60U;

struct Parts {
  std::string_view header;
  std::string_view claims;
  std::string_view signature;
  std::string_view signed_text;  // What the signature is for: the first two and their dot.
};

std::optional<Parts> Split(std::string_view token) {
  if (token.size() > TokenVerifier::kMaxTokenBytes) return std::nullopt;
  const std::size_t first = token.find('.');
  const std::size_t second = token.find('.', first == std::string_view::npos ? first : first + 1);
  if (second == std::string_view::npos || token.find('.', second + 1) != std::string_view::npos) {
    return std::nullopt;
  }
  return Parts{.header = token.substr(0, first),
               .claims = token.substr(first + 1, second - first - 1),
               .signature = token.substr(second + 1),
               .signed_text = token.substr(0, second)};
}

// A point in time; false: the claim is there and is none. `into` stays where it is not there.
bool ReadTime(const JsonMembers& claims, std::string_view name, std::optional<std::int64_t>& into) {
  const JsonMembers::Value* const value = claims.Find(name);
  if (value == nullptr) return true;
  const auto* const seconds = std::get_if<std::int64_t>(value);
  if (seconds != nullptr) into = std::clamp(*seconds, -kMostSeconds, kMostSeconds);
  return seconds != nullptr;
}

struct Times {
  std::optional<std::int64_t> exp, nbf, iat;
};

std::optional<Times> ReadTimes(const JsonMembers& claims) {
  Times times;
  const bool read = ReadTime(claims, "exp", times.exp) && ReadTime(claims, "nbf", times.nbf) &&
                    ReadTime(claims, "iat", times.iat);
  // A token that ends before it was made is a mistake of who made it.
  if (!read || !times.exp || (times.iat && *times.iat > *times.exp)) return std::nullopt;
  return times;
}

// Each text with its length before it, so that no two options are the same message.
void Append(std::string_view text, std::string& message) {
  message += std::to_string(text.size()) + ':';
  message += text;
}

TokenKeys::Digest FingerprintOf(const TokenKeys& keys, const TokenVerifier::Options& options) {
  std::string message(keys.digest().begin(), keys.digest().end());
  Append(options.issuer, message);
  Append(options.claim, message);
  for (const std::string& audience : options.audiences) Append(audience, message);
  TokenKeys::Digest digest{};
  ::SHA256(Bytes(message), message.size(), digest.data());
  return digest;
}

}  // namespace

struct TokenVerifier::Header {
  const Algorithm* algorithm = nullptr;
  std::string key_id;  // Empty: none.
};

TokenVerifier::TokenVerifier(TokenKeys keys, Options options)
    : keys_(std::move(keys)),
      options_(std::move(options)),
      fingerprint_(FingerprintOf(keys_, options_)) {}

std::expected<VerifiedToken, TokenFault> TokenVerifier::Verify(std::string_view token,
                                                               std::int64_t unix_seconds) const {
  const auto parts = Split(token);
  if (!parts) return std::unexpected(TokenFault::kShape);
  const auto header = ReadHeader(parts->header);
  if (!header) return std::unexpected(header.error());
  const std::vector<const TokenKey*> keys = KeysFor(*header);
  if (keys.empty()) return std::unexpected(TokenFault::kKey);
  auto claims = ReadClaims(parts->claims, unix_seconds);
  if (!claims) return claims;
  const auto signature = DecodeBase64Url(parts->signature);
  if (!signature) return std::unexpected(TokenFault::kEncoding);
  const bool holds = std::ranges::any_of(keys, [&](const TokenKey* key) {
    return key->Verifies(*header->algorithm, parts->signed_text, *signature);
  });
  if (!holds) return std::unexpected(TokenFault::kSignature);
  return claims;
}

std::expected<TokenVerifier::Header, TokenFault> TokenVerifier::ReadHeader(std::string_view part) {
  static constexpr std::array<std::string_view, 3> kWanted = {"alg", "kid", "crit"};
  const auto json = DecodeBase64Url(part);
  if (!json) return std::unexpected(TokenFault::kEncoding);
  const auto members = JsonMembers::Parse(*json, kWanted);
  if (!members) return std::unexpected(TokenFault::kHeader);
  if (members->Find("crit") != nullptr) return std::unexpected(TokenFault::kCritical);
  const std::string* const name = members->FindText("alg");
  const std::string* const key_id = members->FindText("kid");
  if (name == nullptr || (key_id == nullptr && members->Find("kid") != nullptr)) {
    return std::unexpected(TokenFault::kHeader);
  }
  const Algorithm* const algorithm = FindAlgorithm(*name);
  if (algorithm == nullptr) return std::unexpected(TokenFault::kAlgorithm);
  return Header{.algorithm = algorithm, .key_id = key_id == nullptr ? std::string() : *key_id};
}

// Those without a name, and the one that the token names. A token that names none may be of a named
// key only where one alone is for its algorithm: else a stranger could have each of them tried.
std::vector<const TokenKey*> TokenVerifier::KeysFor(const Header& header) const {
  std::vector<const TokenKey*> fitting;
  std::size_t named = 0;
  for (const TokenKey& key : keys_.keys()) {
    if (!key.Fits(*header.algorithm)) continue;
    if (!key.id().empty() && !header.key_id.empty() && key.id() != header.key_id) continue;
    named += key.id().empty() ? 0U : 1U;
    fitting.push_back(&key);
  }
  if (named > 1) std::erase_if(fitting, [](const TokenKey* key) { return !key->id().empty(); });
  return fitting;
}

std::expected<VerifiedToken, TokenFault> TokenVerifier::ReadClaims(std::string_view part,
                                                                   std::int64_t now) const {
  const std::array<std::string_view, 6> wanted = {"exp", "nbf", "iat",
                                                  "iss", "aud", options_.claim};
  const auto json = DecodeBase64Url(part);
  if (!json) return std::unexpected(TokenFault::kEncoding);
  const auto claims = JsonMembers::Parse(*json, wanted);
  const auto times = claims ? ReadTimes(*claims) : std::nullopt;
  if (!times) return std::unexpected(TokenFault::kClaims);
  VerifiedToken verified;
  verified.valid_until = *times->exp + kLeewaySeconds;
  verified.valid_from =
      std::max(times->nbf.value_or(-kMostSeconds), times->iat.value_or(-kMostSeconds)) -
      kLeewaySeconds;
  if (now >= verified.valid_until) return std::unexpected(TokenFault::kExpired);
  if (now < verified.valid_from) return std::unexpected(TokenFault::kNotYet);
  const std::string* const issuer = claims->FindText("iss");
  if (!options_.issuer.empty() && (issuer == nullptr || *issuer != options_.issuer)) {
    return std::unexpected(TokenFault::kIssuer);
  }
  if (!IsForUs(*claims)) return std::unexpected(TokenFault::kAudience);
  const std::string* const user = claims->FindText(options_.claim);
  if (user == nullptr || user->empty() || user->size() > kMaxUserBytes) {
    return std::unexpected(TokenFault::kUser);
  }
  verified.user = *user;
  return verified;
}

// `aud` is one name or a list of names.
bool TokenVerifier::IsForUs(const JsonMembers& claims) const {
  if (options_.audiences.empty()) return true;
  const auto is_ours = [this](const std::string& name) {
    return std::ranges::find(options_.audiences, name) != options_.audiences.end();
  };
  if (const std::string* const one = claims.FindText("aud")) return is_ours(*one);
  const JsonMembers::Value* const value = claims.Find("aud");
  const auto* const names =
      value == nullptr ? nullptr : std::get_if<std::vector<std::string>>(value);
  return names != nullptr && std::ranges::any_of(*names, is_ours);
}

}  // namespace sluicegate::identity
