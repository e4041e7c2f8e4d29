#include "identity/token_keys.h"

#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "identity/base64url.h"
#include "identity/jwks.h"
#include "identity/openssl.h"

namespace sluicegate::identity {
namespace {

using Keys = std::expected<std::vector<TokenKey>, std::string>;

constexpr std::string_view kBegin = "-----BEGIN ";

// A block of PEM. Owns what OpenSSL gave.
struct Block {
  char* name = nullptr;
  char* header = nullptr;
  unsigned char* data = nullptr;
  long size = 0;

  Block() = default;
  ~Block() {
    ::OPENSSL_free(name);
    ::OPENSSL_free(header);
    ::OPENSSL_clear_free(data, static_cast<std::size_t>(size));
  }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
};

std::expected<TokenKey, std::string> KeyOf(const Block& block) {
  const std::string_view name = block.name;
  if (name.ends_with("PRIVATE KEY")) {
    return std::unexpected(
        "is a private key, which must stay with who signs. Write its public one: openssl pkey -in "
        "KEY -pubout.");
  }
  if (name.ends_with("CERTIFICATE")) {
    return std::unexpected(
        "is a certificate. Write its public key: openssl x509 -in FILE -noout -pubkey.");
  }
  const unsigned char* at = block.data;
  EVP_PKEY* key = nullptr;
  if (name == "PUBLIC KEY") key = ::d2i_PUBKEY(nullptr, &at, block.size);
  if (name == "RSA PUBLIC KEY") key = ::d2i_PublicKey(EVP_PKEY_RSA, nullptr, &at, block.size);
  const TokenKey::Public owned(key, &::EVP_PKEY_free);
  if (key == nullptr || at != block.data + block.size) {
    return std::unexpected("cannot be read. Write a public key in PEM: openssl pkey -pubout.");
  }
  return TokenKey::OfPublic(owned);
}

std::string Told(std::string_view what, std::size_t number, const std::string& fault) {
  return std::string(what) + " " + std::to_string(number) + " " + fault;
}

Keys ParsePem(std::string_view file) {
  const BioPtr source(::BIO_new_mem_buf(file.data(), static_cast<int>(file.size())));
  std::vector<TokenKey> keys;
  std::size_t number = 0;
  for (std::size_t at = file.find(kBegin); at != std::string_view::npos;
       at = file.find(kBegin, at + 1)) {
    ++number;
    Block block;
    if (::PEM_read_bio(source.get(), &block.name, &block.header, &block.data, &block.size) != 1) {
      return std::unexpected(
          Told("Key", number, "cannot be read. Write a public key in PEM: openssl pkey -pubout."));
    }
    auto key = KeyOf(block);
    if (!key) return std::unexpected(Told("Key", number, key.error()));
    keys.push_back(*std::move(key));
  }
  return keys;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> DecodeHex(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = HexDigit(text[i]);
    const int low = HexDigit(text[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes += static_cast<char>(high * 16 + low);
  }
  return bytes;
}

std::optional<std::string> SecretOf(std::string_view line) {
  const auto behind = [line](std::string_view mark) { return line.substr(mark.size()); };
  constexpr std::string_view kHex = "hmac:hex:";
  constexpr std::string_view kBase64Url = "hmac:base64url:";
  constexpr std::string_view kText = "hmac:text:";
  if (line.starts_with(kHex)) return DecodeHex(behind(kHex));
  if (line.starts_with(kBase64Url)) return DecodeBase64Url(behind(kBase64Url));
  if (line.starts_with(kText)) return std::string(behind(kText));
  return std::nullopt;
}

Keys ParseSecrets(std::string_view file) {
  std::vector<TokenKey> keys;
  for (std::size_t number = 1; !file.empty(); ++number) {
    const std::size_t end = std::min(file.find('\n'), file.size());
    std::string_view line = file.substr(0, end);
    file.remove_prefix(std::min(end + 1, file.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    auto secret = SecretOf(line);
    if (!secret) {
      return std::unexpected(
          Told("Line", number,
               "is no secret. Write hmac:hex:, hmac:base64url: (without padding) or hmac:text: and "
               "at least 32 bytes behind it."));
    }
    auto key = TokenKey::OfSecret(*std::move(secret));
    if (!key) return std::unexpected(Told("Line", number, key.error()));
    keys.push_back(*std::move(key));
  }
  return keys;
}

// The first line that says something tells what the file is.
Keys ParseAny(std::string_view file) {
  if (file.find(kBegin) != std::string_view::npos) return ParsePem(file);
  const std::size_t first = file.find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos && file[first] == '{') return ParseJwks(file);
  if (file.starts_with("hmac:") || file.find("\nhmac:") != std::string_view::npos) {
    return ParseSecrets(file);
  }
  return std::unexpected(
      "This is no file of keys for tokens. Write public keys in PEM, a JSON Web Key Set, or lines "
      "of the form hmac:hex:SECRET.");
}

// How many checks a token can cost, and that each key can be told from the others.
std::string FaultOf(std::span<const TokenKey> keys) {
  if (keys.empty()) {
    return "There is no key that signs tokens here. Write RSA, EC on P-256 or P-384, Ed25519, or a "
           "secret.";
  }
  if (keys.size() > TokenKeys::kMaxKeys) {
    return "There are more than 64 keys. Write those that sign tokens today.";
  }
  for (const TokenKey& key : keys) {
    const auto same = std::ranges::count_if(keys, [&key](const TokenKey& other) {
      return other.kind() == key.kind() && other.id() == key.id();
    });
    if (key.id().empty() && static_cast<std::size_t>(same) > TokenKeys::kMaxNameless) {
      return "There are more than 4 keys of one kind without a name, and a token is checked "
             "against "
             "each. Write fewer, or a JSON Web Key Set with kid.";
    }
    if (!key.id().empty() && same > 1) {
      return "Two keys of one kind have the same kid. Write another one for one of them.";
    }
  }
  return {};
}

}  // namespace

std::expected<TokenKeys, std::string> TokenKeys::Parse(std::string_view file) {
  const QuietErrors quiet;
  auto keys = ParseAny(file);
  if (!keys) return std::unexpected(std::move(keys.error()));
  if (std::string fault = FaultOf(*keys); !fault.empty()) return std::unexpected(std::move(fault));
  TokenKeys all;
  all.keys_ = *std::move(keys);
  ::SHA256(Bytes(file), file.size(), all.digest_.data());
  return all;
}

bool TokenKeys::has_secret() const noexcept {
  return std::ranges::any_of(keys_,
                             [](const TokenKey& key) { return key.kind() == KeyKind::kSecret; });
}

}  // namespace sluicegate::identity
