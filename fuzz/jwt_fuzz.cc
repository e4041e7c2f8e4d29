// Tokens by strangers: any bytes name a user who is fit to be one, or nobody; nothing is believed
// that nobody of ours signed, and of what was signed nothing can be changed.
//
// The input is a token as it stands, and "HEADER\nCLAIMS" in plain text that we sign here, so that
// the search gets behind the signature.
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cstdint>
#include <string>

#include "fuzz_target.h"
#include "identity/base64url.h"
#include "identity/token_verifier.h"

using sluicegate::fuzz::Require;
using sluicegate::identity::DecodeBase64Url;
using sluicegate::identity::TokenFault;
using sluicegate::identity::TokenKeys;
using sluicegate::identity::TokenVerifier;

namespace {

constexpr std::int64_t kNow = 1'800'000'000;
constexpr std::string_view kSecret =
    "a secret of the fuzz target alone, for three hashes: 64 bytes...";

const TokenVerifier& Verifier() {
  static const TokenVerifier kVerifier(*TokenKeys::Parse("hmac:text:" + std::string(kSecret)),
                                       {.issuer = {}, .audiences = {"us"}, .claim = "sub"});
  return kVerifier;
}

std::string Encode(std::string_view bytes) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string text;
  std::uint32_t bits = 0;
  unsigned held = 0;
  for (const char c : bytes) {
    bits = (bits << 8U) | static_cast<std::uint8_t>(c);
    for (held += 8; held >= 6; held -= 6) text += kAlphabet[(bits >> (held - 6)) & 63U];
  }
  if (held > 0) text += kAlphabet[(bits << (6 - held)) & 63U];
  return text;
}

std::string Sign(std::string_view header, std::string_view claims) {
  const std::string text = Encode(header) + "." + Encode(claims);
  unsigned char mac[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  ::HMAC(::EVP_sha256(), kSecret.data(), static_cast<int>(kSecret.size()),
         reinterpret_cast<const unsigned char*>(text.data()), text.size(), mac, &size);
  return text + "." + Encode({reinterpret_cast<const char*>(mac), size});
}

bool Believes(std::string_view token) { return Verifier().Verify(token, kNow).has_value(); }

void SignedTokenHolds(std::string_view header, std::string_view claims) {
  const std::string token = Sign(header, claims);
  const auto verified = Verifier().Verify(token, kNow);
  if (!verified) {
    // HS384 and HS512 are not what it was signed with; otherwise the signature is ours.
    const bool other_hash = header.find("384") != std::string_view::npos ||
                            header.find("512") != std::string_view::npos ||
                            header.find('\\') != std::string_view::npos;
    Require(verified.error() != TokenFault::kSignature || other_hash);
    Require(verified.error() != TokenFault::kEncoding);
    return;
  }
  Require(!verified->user.empty() && verified->user.size() <= TokenVerifier::kMaxUserBytes);
  Require(verified->valid_from <= kNow && kNow < verified->valid_until);
  Require(Verifier().Verify(token, verified->valid_until).error() == TokenFault::kExpired);
  Require(Verifier().Verify(token, verified->valid_from).has_value());
  for (std::size_t at = 0; at < token.size(); at += 1 + token.size() / 16) {
    std::string other = token;
    other[at] = other[at] == 'A' ? 'B' : 'A';
    Require(!Believes(other) && !Believes(token.substr(0, at)));
  }
}

}  // namespace

SG_FUZZ_TARGET(jwt) {
  Require(!Believes(bytes));
  if (const auto decoded = DecodeBase64Url(bytes)) Require(Encode(*decoded) == bytes);
  const std::size_t line = bytes.find('\n');
  if (line == std::string_view::npos) return;
  SignedTokenHolds(bytes.substr(0, line), bytes.substr(line + 1));
}
