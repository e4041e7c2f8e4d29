#include "identity/token_key.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "identity/openssl.h"

namespace sluicegate::identity {
namespace {

using enum KeyKind;

constexpr std::array<Algorithm, 12> kAlgorithms = {{
    {"RS256", kRsa, "SHA256", false, 0, 0},
    {"RS384", kRsa, "SHA384", false, 0, 0},
    {"RS512", kRsa, "SHA512", false, 0, 0},
    {"PS256", kRsa, "SHA256", true, 0, 0},
    {"PS384", kRsa, "SHA384", true, 0, 0},
    {"PS512", kRsa, "SHA512", true, 0, 0},
    {"ES256", kP256, "SHA256", false, 64, 0},
    {"ES384", kP384, "SHA384", false, 96, 0},
    {"EdDSA", kEd25519, nullptr, false, 64, 0},
    {"HS256", kSecret, "SHA256", false, 32, 32},
    {"HS384", kSecret, "SHA384", false, 48, 48},
    {"HS512", kSecret, "SHA512", false, 64, 64},
}};

constexpr int kLeastRsaBits = 2048;  // RFC 7518 section 3.3.
constexpr int kMostRsaBits = 8192;   // A check takes 0.25 ms then.

std::optional<KeyKind> KindOf(const EVP_PKEY* key) {
  switch (::EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
      return kRsa;
    case EVP_PKEY_ED25519:
      return kEd25519;
    case EVP_PKEY_EC:
      break;
    default:
      return std::nullopt;
  }
  char curve[32] = {};
  std::size_t size = 0;
  if (::EVP_PKEY_get_group_name(key, curve, sizeof(curve), &size) != 1) return std::nullopt;
  if (std::string_view(curve, size) == "prime256v1") return kP256;
  if (std::string_view(curve, size) == "secp384r1") return kP384;
  return std::nullopt;
}

// JWS has the two numbers of an ECDSA signature side by side, OpenSSL wants them in DER.
std::string DerOf(std::string_view pair) {
  const auto half = static_cast<int>(pair.size() / 2);
  const EcSignaturePtr both(::ECDSA_SIG_new());
  BIGNUM* const r = ::BN_bin2bn(Bytes(pair), half, nullptr);
  BIGNUM* const s = ::BN_bin2bn(Bytes(pair) + half, half, nullptr);
  if (both == nullptr || ::ECDSA_SIG_set0(both.get(), r, s) != 1) {
    ::BN_free(r);
    ::BN_free(s);
    return {};
  }
  unsigned char* der = nullptr;
  const int size = ::i2d_ECDSA_SIG(both.get(), &der);
  if (size <= 0) return {};
  std::string text(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  ::OPENSSL_free(der);
  return text;
}

bool IsMacOf(const Algorithm& algorithm, std::string_view secret, std::string_view text,
             std::string_view mac) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> own{};
  std::size_t size = 0;
  const bool made =
      ::EVP_Q_mac(nullptr, "HMAC", nullptr, algorithm.hash, nullptr, secret.data(), secret.size(),
                  Bytes(text), text.size(), own.data(), own.size(), &size) != nullptr;
  return made && mac.size() == size && ::CRYPTO_memcmp(own.data(), mac.data(), size) == 0;
}

bool UsePss(EVP_PKEY_CTX* context) {
  return ::EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
         ::EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
}

}  // namespace

const Algorithm* FindAlgorithm(std::string_view name) noexcept {
  const auto* const found = std::ranges::find(kAlgorithms, name, &Algorithm::name);
  return found == kAlgorithms.end() ? nullptr : found;
}

std::expected<TokenKey, std::string> TokenKey::OfPublic(Public key) {
  const QuietErrors quiet;
  const auto kind = KindOf(key.get());
  if (!kind) {
    return std::unexpected(
        "is of a kind that signs no token here. Write RSA, EC on P-256 or P-384, or Ed25519.");
  }
  const int bits = ::EVP_PKEY_get_bits(key.get());
  if (*kind == kRsa && (bits < kLeastRsaBits || bits > kMostRsaBits)) {
    return std::unexpected("is RSA with " + std::to_string(bits) +
                           " bits. Write one with 2048 to 8192 bits.");
  }
  const KeyContextPtr context(::EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr));
  if (context == nullptr || ::EVP_PKEY_public_check_quick(context.get()) != 1) {
    return std::unexpected("is broken. Write it anew.");
  }
  return TokenKey(*kind, std::move(key), {});
}

std::expected<TokenKey, std::string> TokenKey::OfSecret(std::string secret) {
  if (secret.size() < kLeastSecretBytes) {
    return std::unexpected("is a secret of " + std::to_string(secret.size()) +
                           " bytes, which can be guessed. Write one of at least 32.");
  }
  return TokenKey(kSecret, nullptr, std::move(secret));
}

void TokenKey::Restrict(std::string id, const Algorithm* only) {
  id_ = std::move(id);
  only_ = only;
}

bool TokenKey::Fits(const Algorithm& algorithm) const noexcept {
  return algorithm.kind == kind_ && (only_ == nullptr || only_ == &algorithm) &&
         (kind_ != kSecret || secret_.size() >= algorithm.least_secret);
}

bool TokenKey::Verifies(const Algorithm& algorithm, std::string_view text,
                        std::string_view signature) const {
  if (algorithm.signature_bytes != 0 && signature.size() != algorithm.signature_bytes) return false;
  const QuietErrors quiet;
  if (kind_ == kSecret) return IsMacOf(algorithm, secret_, text, signature);
  const HashContextPtr context(::EVP_MD_CTX_new());
  EVP_PKEY_CTX* of_key = nullptr;  // The context's own.
  if (context == nullptr ||
      ::EVP_DigestVerifyInit_ex(context.get(), &of_key, algorithm.hash, nullptr, nullptr,
                                public_.get(), nullptr) != 1 ||
      (algorithm.pss && !UsePss(of_key))) {
    return false;
  }
  const bool is_pair = kind_ == kP256 || kind_ == kP384;
  const std::string der = is_pair ? DerOf(signature) : std::string();
  const std::string_view given = is_pair ? std::string_view(der) : signature;
  return ::EVP_DigestVerify(context.get(), Bytes(given), given.size(), Bytes(text), text.size()) ==
         1;
}

}  // namespace sluicegate::identity
