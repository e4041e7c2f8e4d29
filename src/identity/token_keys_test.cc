// The file of keys: every form, and what is said of one that cannot be used.
#include "identity/token_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "identity/base64url.h"
#include "identity/token_for_test.h"

namespace sluicegate::identity {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

// RFC 7515 appendix A.3 and RFC 8037 appendix A.2.
constexpr std::string_view kP256 =
    R"("kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0")";
constexpr std::string_view kEd25519 =
    R"("kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")";

std::string Set(std::initializer_list<std::string> keys) {
  std::string list;
  for (const std::string& key : keys) list += (list.empty() ? "{" : ",{") + key + "}";
  return "{\"keys\":[" + list + "]}";
}

std::vector<KeyKind> KindsOf(const std::string& file) {
  const auto keys = TokenKeys::Parse(file);
  EXPECT_TRUE(keys.has_value()) << keys.error();
  std::vector<KeyKind> kinds;
  if (!keys) return kinds;
  for (const TokenKey& key : keys->keys()) kinds.push_back(key.kind());
  return kinds;
}

std::string FaultOf(const std::string& file) {
  const auto keys = TokenKeys::Parse(file);
  EXPECT_FALSE(keys.has_value()) << file;
  return keys ? "" : keys.error();
}

TEST(TokenKeysTest, ReadsPem) {
  const Signer rsa = Signer::Rsa();
  EXPECT_THAT(KindsOf("The new one:\n" + rsa.PublicPem() + "\n# and the old\n" +
                      Signer::Ec("P-256").PublicPem() + Signer::Ec("P-384").PublicPem() +
                      Signer::Ed25519().PublicPem()),
              ElementsAre(KeyKind::kRsa, KeyKind::kP256, KeyKind::kP384, KeyKind::kEd25519));
  EXPECT_THAT(KindsOf(rsa.OldPublicPem()), ElementsAre(KeyKind::kRsa));
}

TEST(TokenKeysTest, ReadsAJsonWebKeySet) {
  const auto keys = TokenKeys::Parse(
      Set({std::string(kP256) + R"(,"kid":"a","use":"sig","key_ops":["verify"],"alg":"ES256")",
           std::string(kEd25519) + R"(,"kid":"b","x5t":"whatever")",
           R"("kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")"}));
  ASSERT_TRUE(keys) << keys.error();
  ASSERT_EQ(keys->keys().size(), 3U);
  EXPECT_EQ(keys->keys()[0].id(), "a");
  EXPECT_EQ(keys->keys()[1].id(), "b");
  EXPECT_EQ(keys->keys()[2].kind(), KeyKind::kSecret);
  EXPECT_TRUE(keys->has_secret());
}

TEST(TokenKeysTest, KeysForSomethingElseArePassedOver) {
  const std::string p256(kP256);
  const std::string file =
      Set({p256 + R"(,"use":"enc")", p256 + R"(,"key_ops":["deriveBits"])",
           p256 + R"(,"alg":"ECDH-ES")", R"("kty":"EC","crv":"secp256k1","x":"AA","y":"AA")",
           R"("kty":"OKP","crv":"X25519","x":"AA")", R"("kty":"new")", R"("kid":"none")", p256});
  EXPECT_THAT(KindsOf(file), ElementsAre(KeyKind::kP256));
  EXPECT_THAT(FaultOf(Set({R"("kty":"new")"})), HasSubstr("no key that signs tokens here."));
  EXPECT_THAT(FaultOf(Set({})), HasSubstr("no key that signs tokens here."));
}

TEST(TokenKeysTest, ReadsSecrets) {
  const std::string bytes(32, '\x5A');
  const auto keys = TokenKeys::Parse("# today's\r\nhmac:hex:" + EncodeHex(bytes) +
                                     "\r\n\nhmac:base64url:" + EncodeBase64Url(bytes) +
                                     "\nhmac:text:" + bytes + "\n");
  ASSERT_TRUE(keys) << keys.error();
  ASSERT_EQ(keys->keys().size(), 3U);
  const std::string token = SignedBySecret(bytes, "h", "c");
  const std::size_t dot = token.rfind('.');
  for (const TokenKey& key : keys->keys()) {
    EXPECT_TRUE(key.Verifies(*FindAlgorithm("HS256"), token.substr(0, dot),
                             *DecodeBase64Url(token.substr(dot + 1))));
    EXPECT_TRUE(key.Fits(*FindAlgorithm("HS256")));
    EXPECT_FALSE(key.Fits(*FindAlgorithm("HS384"))) << "shorter than its hash";
  }
}

TEST(TokenKeysTest, SaysWhatIsWrongWithAKey) {
  const std::string good = Signer::Ed25519().PublicPem();
  const std::string p256(kP256);
  const std::string named = p256 + R"(,"kid":"a")";
  const std::string cut = good.substr(0, 40) + "\n" + good.substr(good.find("-----END"));
  const struct {
    std::string file;
    const char* fault;
  } cases[] = {
      {"", "This is no file of keys for tokens."},
      {std::string(64, 'x'), "Write public keys in PEM, a JSON Web Key Set, or lines of the form"},
      {good + Signer::Rsa(1024).PublicPem(),
       "Key 2 is RSA with 1024 bits. Write one with 2048 to 8192 bits."},
      {Signer::Ec("P-521").PublicPem(),
       "Key 1 is of a kind that signs no token here. Write RSA, EC on P-256 or P-384, or Ed25519."},
      {good + Signer::Ed25519().PrivatePem(), "Key 2 is a private key, which must stay with who"},
      {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
       "Key 1 is a certificate. Write its public key: openssl x509 -in FILE -noout -pubkey."},
      {cut, "Key 1 cannot be read. Write a public key in PEM: openssl pkey -pubout."},
      {good + "-----BEGIN PUBLIC KEY-----\nAAAA", "Key 2 cannot be read."},
      {"-----BEGIN DOG-----\nAAAA\n-----END DOG-----\n", "Key 1 cannot be read."},
      {good + good + good + good + good, "There are more than 4 keys of one kind without a name"},
      {"{", "This is no set of keys. Write JSON of the form {\"keys\": [...]}."},
      {"{" + p256 + "}", "This is no set of keys."},
      {R"({"keys":[1]})", "Key 1 is no object."},
      {Set({p256 + R"(,"d":"AA")"}), "Key 1 is a private key"},
      {Set({p256 + R"(,"kid":7)"}), "Key 1 has a kid that is no text."},
      {Set({p256 + R"(,"alg":"RS256")"}), "Key 1 names an alg that does not go with it."},
      {Set({named, named}), "Two keys of one kind have the same kid."},
      {Set({R"("kty":"EC","crv":"P-256","x":"AA","y":"AA")"}),
       "Key 1 has no x and y of their full"},
      {Set({R"("kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",)"
            R"("y":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU")"}),
       "Key 1 is broken."},
      {Set({R"("kty":"OKP","crv":"Ed25519","x":"AAAA")"}), "Key 1 has no x of its full length"},
      {Set({R"("kty":"RSA","n":"AQAB")"}), "Key 1 has no n and e in base64url."},
      {Set({R"("kty":"RSA","n":"AQAB","e":"AQAB")"}), "Key 1 is RSA with 17 bits."},
      {Set({R"("kty":"oct","k":"c2hvcnQ")"}),
       "Key 1 is a secret of 5 bytes, which can be guessed. Write one of at least 32."},
      {Set({R"("kty":"oct","k":"c2hvcnQ=")"}), "Key 1 has no k in base64url."},
      {"hmac:text:planted", "Line 1 is a secret of 7 bytes, which can be guessed."},
      {"# x\nhmac:hex:0", "Line 2 is no secret."},
      {"hmac:planted-planted-planted-planted-planted", "Line 1 is no secret."},
      {"hmac:hex:planted-planted-planted-planted-plante", "Line 1 is no secret."},
      {"hmac:base64url:planted-planted-planted-planted-planted=", "Line 1 is no secret."},
      {"hmac:text:" + std::string(32, 'x') + "\nplanted\n", "Line 2 is no secret."},
  };
  for (const auto& one : cases) {
    const std::string fault = FaultOf(one.file);
    EXPECT_THAT(fault, HasSubstr(one.fault)) << one.file;
    EXPECT_THAT(fault, EndsWith("."));
    EXPECT_THAT(fault, Not(HasSubstr("planted"))) << "nothing of a file is quoted";
  }
}

TEST(TokenKeysTest, HasABoundOfKeys) {
  std::string file;
  for (int i = 0; i < 65; ++i) {
    file += (i == 0 ? "{" : ",{") + std::string(kP256) + R"(,"kid":")" + std::to_string(i) + "\"}";
  }
  EXPECT_THAT(FaultOf("{\"keys\":[" + file + "]}"), HasSubstr("There are more than 64 keys."));
}

// What others of this thread ask OpenSSL of their own errors must not be ours.
TEST(TokenKeysTest, LeavesNoErrorsBehind) {
  (void)TokenKeys::Parse("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n");
  (void)TokenKeys::Parse(Set({R"("kty":"RSA","n":"AA","e":"AA")"}));
  EXPECT_EQ(::ERR_peek_error(), 0U);
}

}  // namespace
}  // namespace sluicegate::identity
