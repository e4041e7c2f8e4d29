#include "identity/jwks.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "identity/base64url.h"
#include "identity/openssl.h"

namespace sluicegate::identity {
namespace {

using Json = nlohmann::json;
using Made = std::expected<TokenKey, std::string>;
using ParamBuilderPtr = std::unique_ptr<OSSL_PARAM_BLD, FreeBy<&OSSL_PARAM_BLD_free>>;
using ParamsPtr = std::unique_ptr<OSSL_PARAM, FreeBy<&OSSL_PARAM_free>>;
using NumberPtr = std::unique_ptr<BIGNUM, FreeBy<&BN_free>>;

// Empty: not there, or no text.
std::string TextOf(const Json& key, const char* name) {
  const auto found = key.find(name);
  return found != key.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::optional<std::string> BytesOf(const Json& key, const char* name) {
  auto bytes = DecodeBase64Url(TextOf(key, name));
  return bytes && !bytes->empty() ? bytes : std::nullopt;
}

Made Incomplete(const char* what) {
  return std::unexpected(std::string("has no ") + what + " in base64url. Write the key anew.");
}

Made FromParams(const char* type, OSSL_PARAM_BLD* builder) {
  const ParamsPtr params(::OSSL_PARAM_BLD_to_param(builder));
  const KeyContextPtr context(::EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* made = nullptr;
  if (params == nullptr || context == nullptr || ::EVP_PKEY_fromdata_init(context.get()) != 1 ||
      ::EVP_PKEY_fromdata(context.get(), &made, EVP_PKEY_PUBLIC_KEY, params.get()) != 1) {
    return std::unexpected("is broken. Write it anew.");
  }
  return TokenKey::OfPublic(TokenKey::Public(made, &::EVP_PKEY_free));
}

NumberPtr NumberOf(std::string_view bytes) {
  return NumberPtr(::BN_bin2bn(Bytes(bytes), static_cast<int>(bytes.size()), nullptr));
}

Made RsaKey(const Json& key) {
  constexpr std::size_t kMostBytes =
      8192;  // Far beyond what is taken; a number must end somewhere.
  const auto n = BytesOf(key, "n");
  const auto e = BytesOf(key, "e");
  if (!n || !e || n->size() > kMostBytes || e->size() > kMostBytes) return Incomplete("n and e");
  const ParamBuilderPtr builder(::OSSL_PARAM_BLD_new());
  const NumberPtr modulus = NumberOf(*n);
  const NumberPtr exponent = NumberOf(*e);
  ::OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get());
  ::OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get());
  return FromParams("RSA", builder.get());
}

Made EcKey(const Json& key, const char* group, std::size_t field_bytes) {
  const auto x = BytesOf(key, "x");
  const auto y = BytesOf(key, "y");
  if (!x || !y || x->size() != field_bytes || y->size() != field_bytes) {
    return Incomplete("x and y of their full length");
  }
  const std::string point = '\x04' + *x + *y;  // Uncompressed.
  const ParamBuilderPtr builder(::OSSL_PARAM_BLD_new());
  ::OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, group, 0);
  ::OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                     point.size());
  return FromParams("EC", builder.get());
}

Made EdwardsKey(const Json& key) {
  const auto x = BytesOf(key, "x");
  EVP_PKEY* const made =
      x ? ::EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, Bytes(*x), x->size()) : nullptr;
  if (made == nullptr) return Incomplete("x of its full length");
  return TokenKey::OfPublic(TokenKey::Public(made, &::EVP_PKEY_free));
}

// Nothing: the key is for something else.
std::optional<Made> KeyOf(const Json& key) {
  const std::string type = TextOf(key, "kty");
  const std::string curve = TextOf(key, "crv");
  if (type == "RSA") return RsaKey(key);
  if (type == "EC" && curve == "P-256") return EcKey(key, "prime256v1", 32);
  if (type == "EC" && curve == "P-384") return EcKey(key, "secp384r1", 48);
  if (type == "OKP" && curve == "Ed25519") return EdwardsKey(key);
  if (type != "oct") return std::nullopt;
  auto secret = BytesOf(key, "k");
  return secret ? TokenKey::OfSecret(*std::move(secret)) : Incomplete("k");
}

bool IsForSignatures(const Json& key) {
  const auto operations = key.find("key_ops");
  const bool verifies = operations == key.end() || !operations->is_array() ||
                        std::ranges::find(*operations, "verify") != operations->end();
  const std::string use = TextOf(key, "use");
  return verifies && (use.empty() || use == "sig") &&
         (!key.contains("alg") || FindAlgorithm(TextOf(key, "alg")) != nullptr);
}

// Adds the key, unless it is for something else.
std::expected<void, std::string> Take(const Json& key, std::vector<TokenKey>& keys) {
  if (!key.is_object()) return std::unexpected("is no object. Write {\"kty\": ...}.");
  if (!IsForSignatures(key)) return {};
  if (TextOf(key, "kty") != "oct" && key.contains("d")) {
    return std::unexpected(
        "is a private key, which must stay with who signs. Write it without d and what belongs to "
        "it.");
  }
  if (key.contains("kid") && !key["kid"].is_string()) {
    return std::unexpected("has a kid that is no text. Write one in quotes.");
  }
  auto made = KeyOf(key);
  if (!made) return {};
  if (!*made) return std::unexpected(std::move(made->error()));
  const Algorithm* const only = key.contains("alg") ? FindAlgorithm(TextOf(key, "alg")) : nullptr;
  if (only != nullptr && !(*made)->Fits(*only)) {
    return std::unexpected("names an alg that does not go with it. Write the right one, or none.");
  }
  (*made)->Restrict(TextOf(key, "kid"), only);
  keys.push_back(**std::move(made));
  return {};
}

}  // namespace

std::expected<std::vector<TokenKey>, std::string> ParseJwks(std::string_view json) {
  const QuietErrors quiet;
  const Json set = Json::parse(json.begin(), json.end(), nullptr, false);
  const auto list = set.is_object() ? set.find("keys") : set.end();
  if (!set.is_object() || list == set.end() || !list->is_array()) {
    return std::unexpected("This is no set of keys. Write JSON of the form {\"keys\": [...]}.");
  }
  std::vector<TokenKey> keys;
  for (std::size_t i = 0; i < list->size(); ++i) {
    if (auto taken = Take((*list)[i], keys); !taken) {
      return std::unexpected("Key " + std::to_string(i + 1) + " " + taken.error());
    }
  }
  return keys;
}

}  // namespace sluicegate::identity
