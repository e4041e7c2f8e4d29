// Tokens and keys that a test makes itself.
#pragma once

#include <gtest/gtest.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "identity/openssl.h"
#include "identity/token_verifier.h"

namespace sluicegate::identity {

inline std::string EncodeBase64Url(std::string_view bytes) {
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

inline std::string EncodeHex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    text += kDigits[static_cast<std::uint8_t>(c) >> 4U];
    text += kDigits[static_cast<std::uint8_t>(c) & 15U];
  }
  return text;
}

/// Whatever the two parts are, with a signature of HMAC.
inline std::string SignedBySecret(std::string_view secret, std::string_view header,
                                  std::string_view claims, const EVP_MD* hash = ::EVP_sha256()) {
  const std::string text = EncodeBase64Url(header) + "." + EncodeBase64Url(claims);
  unsigned char mac[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  ::HMAC(hash, secret.data(), static_cast<int>(secret.size()), Bytes(text), text.size(), mac,
         &size);
  return text + "." + EncodeBase64Url({reinterpret_cast<const char*>(mac), size});
}

/// A private key and what a test asks of it.
class Signer {
 public:
  static Signer Rsa(unsigned bits = 2048) {
    return Signer(::EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{bits}));
  }
  static Signer Ec(const char* curve) {
    return Signer(::EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", curve));
  }
  static Signer Ed25519() { return Signer(::EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")); }

  [[nodiscard]] std::string PublicPem() const {
    return Pem([this](BIO* out) { return ::PEM_write_bio_PUBKEY(out, key_.get()); });
  }
  [[nodiscard]] std::string PrivatePem() const {
    return Pem([this](BIO* out) {
      return ::PEM_write_bio_PrivateKey(out, key_.get(), nullptr, nullptr, 0, nullptr, nullptr);
    });
  }
  /// "RSA PUBLIC KEY": PKCS #1.
  [[nodiscard]] std::string OldPublicPem() const {
    unsigned char* der = nullptr;
    const int size = ::i2d_PublicKey(key_.get(), &der);
    const std::string pem = Pem(
        [der, size](BIO* out) { return ::PEM_write_bio(out, "RSA PUBLIC KEY", "", der, size); });
    ::OPENSSL_free(der);
    return pem;
  }

  /// `algorithm` decides how it is signed, the header what it says.
  [[nodiscard]] std::string Sign(std::string_view algorithm, std::string_view header,
                                 std::string_view claims) const {
    const std::string text = EncodeBase64Url(header) + "." + EncodeBase64Url(claims);
    return text + "." + EncodeBase64Url(SignatureOf(*FindAlgorithm(algorithm), text));
  }

 private:
  explicit Signer(EVP_PKEY* key) : key_(key, &::EVP_PKEY_free) { EXPECT_NE(key, nullptr); }

  template <class Write>
  static std::string Pem(const Write& write) {
    const BioPtr out(::BIO_new(::BIO_s_mem()));
    EXPECT_GT(write(out.get()), 0);
    char* text = nullptr;
    const long size = ::BIO_get_mem_data(out.get(), &text);
    return {text, static_cast<std::size_t>(size)};
  }

  [[nodiscard]] std::string SignatureOf(const Algorithm& algorithm, const std::string& text) const {
    const HashContextPtr context(::EVP_MD_CTX_new());
    EVP_PKEY_CTX* of_key = nullptr;
    EXPECT_EQ(::EVP_DigestSignInit_ex(context.get(), &of_key, algorithm.hash, nullptr, nullptr,
                                      key_.get(), nullptr),
              1);
    if (algorithm.pss) {
      ::EVP_PKEY_CTX_set_rsa_padding(of_key, RSA_PKCS1_PSS_PADDING);
      ::EVP_PKEY_CTX_set_rsa_pss_saltlen(of_key, RSA_PSS_SALTLEN_DIGEST);
    }
    std::size_t size = 1024;
    std::string signature(size, '\0');
    EXPECT_EQ(::EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()),
                               &size, Bytes(text), text.size()),
              1);
    signature.resize(size);
    const bool pair = algorithm.kind == KeyKind::kP256 || algorithm.kind == KeyKind::kP384;
    return pair ? PairOf(signature, algorithm.signature_bytes / 2) : signature;
  }
  // The two numbers of DER, side by side.
  static std::string PairOf(const std::string& der, std::size_t half) {
    const unsigned char* at = Bytes(der);
    const EcSignaturePtr both(::d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
    std::string pair(2 * half, '\0');
    auto* const out = reinterpret_cast<unsigned char*>(pair.data());
    const int bytes = static_cast<int>(half);
    ::BN_bn2binpad(::ECDSA_SIG_get0_r(both.get()), out, bytes);
    ::BN_bn2binpad(::ECDSA_SIG_get0_s(both.get()), out + half, bytes);
    return pair;
  }

  std::shared_ptr<EVP_PKEY> key_;
};

/// A verifier of a good file.
inline TokenVerifier VerifierOf(std::string_view file, TokenVerifier::Options options = {}) {
  auto keys = TokenKeys::Parse(file);
  EXPECT_TRUE(keys.has_value()) << (keys ? "" : keys.error());
  return TokenVerifier(keys ? *std::move(keys) : TokenKeys(), std::move(options));
}

}  // namespace sluicegate::identity
