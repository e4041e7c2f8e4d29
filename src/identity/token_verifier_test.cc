// Tokens: the examples of the RFCs, what each key may sign, and a table of attacks (RFC 8725).
#include "identity/token_verifier.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "identity/base64url.h"
#include "identity/token_for_test.h"

namespace sluicegate::identity {

// For messages of tests.
void PrintTo(TokenFault fault, std::ostream* out) { *out << "fault " << static_cast<int>(fault); }

namespace {

using enum TokenFault;

constexpr std::int64_t kNow = 1'800'000'000;
constexpr std::string_view kSecret = "0123456789abcdef0123456789abcdef";
constexpr std::string_view kHs256 = R"({"alg":"HS256"})";

/// The user's name, or "!" and the fault's number.
std::string Told(const std::expected<VerifiedToken, TokenFault>& told) {
  return told ? told->user : "!" + std::to_string(static_cast<int>(told.error()));
}
std::string Told(TokenFault fault) { return Told(std::unexpected(fault)); }

// RFC 7515 appendix A: A.1 to A.3 sign the same claims, which have no `sub`.
constexpr std::int64_t kRfcNow = 1'300'819'000;
constexpr const char* kRfcClaims =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlf"
    "Q";
const std::string kRfcHs256 = std::string("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.") +
                              kRfcClaims + ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const std::string kRfcRs256 =
    std::string("eyJhbGciOiJSUzI1NiJ9.") + kRfcClaims +
    ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5"
    "jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1"
    "L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYE"
    "UipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
const std::string kRfcEs256 =
    std::string("eyJhbGciOiJFUzI1NiJ9.") + kRfcClaims +
    ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
constexpr std::string_view kRfcSecretKey =
    R"({"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"})";
constexpr std::string_view kRfcRsaKey =
    R"({"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"})";
constexpr std::string_view kRfcEcKey =
    R"({"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})";

std::string SetOf(std::string_view key) { return "{\"keys\":[" + std::string(key) + "]}"; }

TEST(TokenVerifierTest, TheExamplesOfRfc7515) {
  const struct {
    std::string_view key;
    const std::string& token;
  } cases[] = {{kRfcSecretKey, kRfcHs256}, {kRfcRsaKey, kRfcRs256}, {kRfcEcKey, kRfcEs256}};
  for (const auto& one : cases) {
    const TokenVerifier verifier =
        VerifierOf(SetOf(one.key), {.issuer = "joe", .audiences = {}, .claim = "iss"});
    EXPECT_EQ(Told(verifier.Verify(one.token, kRfcNow)), "joe");
    EXPECT_EQ(Told(verifier.Verify(one.token, 1'300'819'440)), Told(kExpired));
    std::string other = one.token;
    other[other.size() - 10] = other[other.size() - 10] == 'A' ? 'B' : 'A';
    EXPECT_EQ(Told(verifier.Verify(other, kRfcNow)), Told(kSignature));
  }
  // A.4 and A.5: an algorithm that is not here, and none at all.
  const TokenVerifier verifier = VerifierOf(SetOf(kRfcEcKey));
  EXPECT_EQ(Told(verifier.Verify("eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeer", kRfcNow)),
            Told(kAlgorithm));
  EXPECT_EQ(Told(verifier.Verify(std::string("eyJhbGciOiJub25lIn0.") + kRfcClaims + ".", kRfcNow)),
            Told(kAlgorithm));
}

// Appendix A.4 signs a sentence, so its signature is looked at alone.
TEST(TokenVerifierTest, TheExampleOfRfc8037) {
  const auto keys = TokenKeys::Parse(
      SetOf(R"({"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})"));
  ASSERT_TRUE(keys) << keys.error();
  const Algorithm& algorithm = *FindAlgorithm("EdDSA");
  const std::string text = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
  std::string signature = *DecodeBase64Url(
      "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg");
  const TokenKey& key = keys->keys().front();
  EXPECT_TRUE(key.Fits(algorithm));
  EXPECT_TRUE(key.Verifies(algorithm, text, signature));
  EXPECT_FALSE(key.Verifies(algorithm, text + "x", signature));
  EXPECT_FALSE(key.Verifies(algorithm, text, signature.substr(1)));
  signature[5] = static_cast<char>(signature[5] ^ 1);
  EXPECT_FALSE(key.Verifies(algorithm, text, signature));
}

std::string Claims(const std::string& more = "", const std::string& user = "ada") {
  return R"({"sub":")" + user + R"(","exp":1800000100)" + more + "}";
}
std::string HeaderOf(std::string_view algorithm) {
  return R"({"alg":")" + std::string(algorithm) + "\"}";
}

// Every key with every algorithm, a signature by that key and one by another of its kind.
TEST(TokenVerifierTest, AKeyIsForItsOwnAlgorithmsAlone) {
  const Signer rsa = Signer::Rsa();
  const Signer p256 = Signer::Ec("P-256");
  const Signer p384 = Signer::Ec("P-384");
  const Signer ed25519 = Signer::Ed25519();
  const struct {
    const Signer& signer;
    Signer other;
    std::vector<std::string_view> algorithms;
  } cases[] = {
      {rsa, Signer::Rsa(), {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}},
      {p256, Signer::Ec("P-256"), {"ES256"}},
      {p384, Signer::Ec("P-384"), {"ES384"}},
      {ed25519, Signer::Ed25519(), {"EdDSA"}},
  };
  const std::string all =
      rsa.PublicPem() + p256.PublicPem() + p384.PublicPem() + ed25519.PublicPem();
  for (const auto& one : cases) {
    const TokenVerifier alone = VerifierOf(one.signer.PublicPem());
    const TokenVerifier among = VerifierOf(all);
    for (const std::string_view algorithm : one.algorithms) {
      const std::string token = one.signer.Sign(algorithm, HeaderOf(algorithm), Claims());
      EXPECT_EQ(Told(alone.Verify(token, kNow)), "ada") << algorithm;
      EXPECT_EQ(Told(among.Verify(token, kNow)), "ada") << algorithm;
      const std::string forged = one.other.Sign(algorithm, HeaderOf(algorithm), Claims());
      EXPECT_EQ(Told(among.Verify(forged, kNow)), Told(kSignature)) << algorithm;
    }
    for (const std::string_view said :
         {"RS256", "PS512", "ES256", "ES384", "EdDSA", "HS256", "HS512", "none", "rs256", ""}) {
      if (std::ranges::find(one.algorithms, said) != one.algorithms.end()) continue;
      const std::string token = one.signer.Sign(one.algorithms.front(), HeaderOf(said), Claims());
      const TokenFault fault = FindAlgorithm(said) == nullptr ? kAlgorithm : kKey;
      EXPECT_EQ(Told(alone.Verify(token, kNow)), Told(fault)) << said;
    }
  }
  // A padding, a hash and a curve that are not the named ones.
  const TokenVerifier verifier = VerifierOf(all);
  for (const auto& [signs, says] :
       {std::pair("RS256", "PS256"), std::pair("PS256", "RS256"), std::pair("RS256", "RS512")}) {
    EXPECT_EQ(Told(verifier.Verify(rsa.Sign(signs, HeaderOf(says), Claims()), kNow)),
              Told(kSignature));
  }
  EXPECT_EQ(Told(verifier.Verify(p384.Sign("ES384", HeaderOf("ES256"), Claims()), kNow)),
            Told(kSignature));
}

// Who has the public key must not sign with it as if it were a secret.
TEST(TokenVerifierTest, APublicKeyIsNoSecret) {
  const Signer rsa = Signer::Rsa();
  const std::string pem = rsa.PublicPem();
  const TokenVerifier verifier = VerifierOf(pem);
  for (const std::string& secret : {pem, pem.substr(0, pem.size() - 1), rsa.OldPublicPem()}) {
    EXPECT_EQ(Told(verifier.Verify(SignedBySecret(secret, kHs256, Claims()), kNow)), Told(kKey));
  }
  // With a secret in the same set as well.
  const TokenVerifier both =
      VerifierOf("{\"keys\":[" + std::string(kRfcRsaKey) + "," + std::string(kRfcSecretKey) + "]}");
  EXPECT_EQ(Told(both.Verify(SignedBySecret(pem, kHs256, Claims()), kNow)), Told(kSignature));
}

TEST(TokenVerifierTest, ASecretIsForHashesThatAreNoLonger) {
  const struct {
    std::string_view algorithm;
    const EVP_MD* hash;
    std::size_t least;
  } cases[] = {
      {"HS256", ::EVP_sha256(), 32}, {"HS384", ::EVP_sha384(), 48}, {"HS512", ::EVP_sha512(), 64}};
  for (const auto& one : cases) {
    for (const std::size_t size : {32U, 47U, 48U, 63U, 64U, 200U}) {
      const std::string secret(size, 's');
      const TokenVerifier verifier = VerifierOf("hmac:text:" + secret);
      const std::string token = SignedBySecret(secret, HeaderOf(one.algorithm), Claims(), one.hash);
      EXPECT_EQ(Told(verifier.Verify(token, kNow)), size < one.least ? Told(kKey) : "ada")
          << one.algorithm << " with " << size;
    }
  }
}

std::string Named(const Signer& signer, const std::string& header) {
  return signer.Sign("EdDSA", header, Claims());
}

TEST(TokenVerifierTest, TheKeysNameIsHonoured) {
  const Signer signer = Signer::Ed25519();
  // The public key's 32 bytes stand at the end of its DER.
  const std::string pem = signer.PublicPem();
  const std::size_t line = pem.find('\n') + 1;
  std::string base64 = pem.substr(line, pem.find('\n', line) - line);
  while (base64.ends_with('=')) base64.pop_back();
  for (char& c : base64) c = c == '+' ? '-' : c == '/' ? '_' : c;
  const std::string der = *DecodeBase64Url(base64);
  const auto key = [](const std::string& x, const std::string& id) {
    return R"({"kty":"OKP","crv":"Ed25519","x":")" + x + R"(","kid":")" + id + "\"}";
  };
  const std::string ours = key(EncodeBase64Url(der.substr(der.size() - 32)), "ours");
  const std::string other = key("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "other");
  const std::string no_name = Named(signer, R"({"alg":"EdDSA"})");
  const std::string right = Named(signer, R"({"alg":"EdDSA","kid":"ours"})");
  const std::string wrong = Named(signer, R"({"alg":"EdDSA","kid":"other"})");
  const std::string unknown = Named(signer, R"({"alg":"EdDSA","kid":"../../ours"})");

  const TokenVerifier two = VerifierOf("{\"keys\":[" + other + "," + ours + "]}");
  EXPECT_EQ(Told(two.Verify(right, kNow)), "ada");
  EXPECT_EQ(Told(two.Verify(wrong, kNow)), Told(kSignature));
  EXPECT_EQ(Told(two.Verify(unknown, kNow)), Told(kKey));
  EXPECT_EQ(Told(two.Verify(no_name, kNow)), Told(kKey)) << "two could be meant";
  const TokenVerifier one = VerifierOf(SetOf(ours));
  EXPECT_EQ(Told(one.Verify(no_name, kNow)), "ada");
  EXPECT_EQ(Told(one.Verify(unknown, kNow)), Told(kKey));
  const TokenVerifier nameless = VerifierOf(Signer::Ed25519().PublicPem() + pem);
  EXPECT_EQ(Told(nameless.Verify(no_name, kNow)), "ada");
  EXPECT_EQ(Told(nameless.Verify(unknown, kNow)), "ada") << "names mean nothing in PEM";
  for (const char* header : {R"({"alg":"EdDSA","kid":7})", R"({"alg":"EdDSA","kid":null})"}) {
    EXPECT_EQ(Told(two.Verify(Named(signer, header), kNow)), Told(kHeader));
  }
}

class Attacks : public testing::Test {
 protected:
  static std::string Sign(std::string_view header, std::string_view claims) {
    return SignedBySecret(kSecret, header, claims);
  }
  [[nodiscard]] std::string Tell(std::string_view token, std::int64_t now = kNow) const {
    return Told(verifier_.Verify(token, now));
  }
  void Expect(std::string_view header, std::string_view claims, TokenFault fault) const {
    EXPECT_EQ(Tell(Sign(header, claims)), Told(fault)) << header << " " << claims;
  }

  TokenVerifier verifier_ = VerifierOf("hmac:text:" + std::string(kSecret));
};

TEST_F(Attacks, AreTakenForNobody) {
  ASSERT_EQ(Tell(Sign(kHs256, Claims())), "ada");
  // The header.
  for (const char* said : {"none", "None", "NONE", "HS", "hs256", "HS1", "HS256 ", ""}) {
    Expect(HeaderOf(said), Claims(), kAlgorithm);
  }
  for (const char* header :
       {"{}", "[]", "null", R"("HS256")", R"({"alg":null})", R"({"alg":["HS256"]})",
        R"({"alg":"HS256"}{"alg":"HS256"})", R"({"alg":"none","alg":"HS256"})",
        R"({"alg":"HS256","alg":"HS256"})", R"({"alg":"HS256","\u0061lg":"none"})",
        R"({"alg":"HS256","kid":"a","kid":"b"})", R"({"typ":"JWT"})", R"({"alg":"HS256",})", ""}) {
    Expect(header, Claims(), kHeader);
  }
  for (const char* more : {R"("crit":["b64"],"b64":false)", R"("crit":[])", R"("crit":null)"}) {
    Expect(R"({"alg":"HS256",)" + std::string(more) + "}", Claims(), kCritical);
  }
  // A key or where to get one, by the token itself, is not looked at.
  EXPECT_EQ(Tell(SignedBySecret(std::string(64, 'e'),
                                R"({"alg":"HS256","jwk":{"kty":"oct","k":"ZWVl"},)"
                                R"("jku":"http://127.0.0.1/","x5u":"http://127.0.0.1/"})",
                                Claims())),
            Told(kSignature));
}

TEST_F(Attacks, ClaimsAreReadStrictly) {
  for (const std::string& claims :
       {std::string("{}"), std::string("[]"), std::string("null"), std::string(""),
        Claims(R"(,"exp":1900000000)"), Claims(R"(,"sub":"root")"), Claims(R"(,"\u0073ub":"root")"),
        Claims() + Claims(), Claims() + "x", Claims(R"(,"nbf":"1700000000")"),
        Claims(R"(,"nbf":null)"), Claims(R"(,"iat":true)"), Claims(R"(,"iat":[1])"),
        Claims(R"(,"iat":1800000101)"), std::string(R"({"sub":"ada"})"),
        std::string(R"({"sub":"ada","exp":"1800000100"})"),
        std::string(R"({"sub":"ada","exp":null})"), std::string("{\"sub\":\"\xFF\",\"exp\":1e12}"),
        R"({"x":)" + std::string(1000, '[') + std::string(1000, ']') +
            R"(,"sub":"ada","exp":1800000100})"}) {
    Expect(kHs256, claims, kClaims);
  }
  const auto with_user = [](const std::string& value) {
    return R"({"exp":1800000100,"sub":)" + value + "}";
  };
  for (const char* user : {"\"\"", "null", "7", "[\"ada\"]", "{}", "true"}) {
    Expect(kHs256, with_user(user), kUser);
  }
  Expect(kHs256, R"({"exp":1800000100})", kUser);
  Expect(kHs256, Claims("", std::string(257, 'a')), kUser);
  EXPECT_EQ(Tell(Sign(kHs256, Claims("", std::string(256, 'a')))), std::string(256, 'a'));
  EXPECT_EQ(Tell(Sign(kHs256, Claims(R"(,"a":{"sub":"root","exp":1},"b":[{"sub":1}])"))), "ada");
}

TEST_F(Attacks, TimesHaveAMinuteOfLeewayAndNoMore) {
  const struct {
    const char* more;
    std::int64_t first;  // From when it is taken,
    std::int64_t end;    // and from when not any more.
  } cases[] = {
      {"", 0, 1'800'000'160},
      {R"(,"nbf":1800000050)", 1'799'999'990, 1'800'000'160},
      {R"(,"iat":1800000090)", 1'800'000'030, 1'800'000'160},
      {R"(,"nbf":1800000050,"iat":1799000000)", 1'799'999'990, 1'800'000'160},
      {R"(,"nbf":-5,"iat":1.5)", 0, 1'800'000'160},
  };
  for (const auto& one : cases) {
    const std::string token = Sign(kHs256, Claims(one.more));
    if (one.first > 0) {
      EXPECT_EQ(Tell(token, one.first - 1), Told(kNotYet)) << one.more;
    }
    EXPECT_EQ(Tell(token, one.first), "ada") << one.more;
    EXPECT_EQ(Tell(token, one.end - 1), "ada") << one.more;
    EXPECT_EQ(Tell(token, one.end), Told(kExpired)) << one.more;
    const auto verified = verifier_.Verify(token, one.end - 1);
    EXPECT_EQ(verified->valid_until, one.end);
    EXPECT_LE(verified->valid_from, one.first);
  }
  for (const char* exp : {"0", "-1", "-1e300", "1", "1799999940"}) {
    EXPECT_EQ(Tell(Sign(kHs256, R"({"sub":"ada","exp":)" + std::string(exp) + "}")),
              Told(kExpired));
  }
  for (const char* exp : {"1e300", "9223372036854775807", "18446744073709551615"}) {
    EXPECT_EQ(Tell(Sign(kHs256, R"({"sub":"ada","exp":)" + std::string(exp) + "}")), "ada");
  }
  Expect(kHs256, Claims(R"(,"nbf":1e300)"), kNotYet);
}

TEST_F(Attacks, IssuerAndAudienceAreAskedWhereTheyAreSet) {
  const TokenVerifier strict =
      VerifierOf("hmac:text:" + std::string(kSecret),
                 {.issuer = "https://id.example", .audiences = {"api", "web"}, .claim = "email"});
  const auto tell = [&](const std::string& more) {
    return Told(
        strict.Verify(Sign(kHs256, R"({"email":"a@b","exp":1800000100)" + more + "}"), kNow));
  };
  const std::string issuer = R"(,"iss":"https://id.example")";
  for (const char* audience : {R"("api")", R"("web")", R"(["x","api"])", R"(["web"])"}) {
    EXPECT_EQ(tell(issuer + ",\"aud\":" + audience), "a@b") << audience;
  }
  for (const char* audience : {R"("ap")", R"("API")", R"("api,web")", "[]", R"(["x"])", "null",
                               R"([["api"]])", R"(["api",1])", R"({"api":"api"})", "1", "\"\""}) {
    EXPECT_EQ(tell(issuer + ",\"aud\":" + audience), Told(kAudience)) << audience;
  }
  EXPECT_EQ(tell(issuer), Told(kAudience));
  for (const char* other : {"", R"(,"iss":"https://id.example/")", R"(,"iss":"HTTPS://id.example")",
                            R"(,"iss":["https://id.example"])", R"(,"iss":null)"}) {
    EXPECT_EQ(tell(std::string(other) + R"(,"aud":"api")"), Told(kIssuer)) << other;
  }
}

TEST_F(Attacks, TheShapeIsExact) {
  const std::string token = Sign(kHs256, Claims());
  for (const std::string& other :
       {std::string(), std::string("."), std::string("a.b"), token + ".", "." + token, token + ".x",
        token.substr(0, token.rfind('.')), token + "." + token,
        std::string(TokenVerifier::kMaxTokenBytes + 1, 'a')}) {
    EXPECT_EQ(Tell(other), Told(kShape)) << other;
  }
  EXPECT_EQ(Tell(".."), Told(kHeader));
  EXPECT_EQ(Tell(token.substr(0, token.rfind('.') + 1)), Told(kSignature)) << "no signature";
  EXPECT_EQ(Tell("\"" + token + "\""), Told(kEncoding));
  EXPECT_EQ(Tell(token + "="), Told(kEncoding));
  EXPECT_EQ(Tell(token + " "), Told(kEncoding));
  // The largest that is taken.
  const std::string large = Sign(kHs256, Claims(R"(,"x":")" + std::string(6000, 'x') + "\""));
  ASSERT_LE(large.size(), TokenVerifier::kMaxTokenBytes);
  EXPECT_EQ(Tell(large), "ada");
  EXPECT_EQ(Tell(Sign(kHs256, Claims(R"(,"x":")" + std::string(6200, 'x') + "\""))), Told(kShape));
}

// 32 bytes of HMAC leave two bits of the last character open, so it has three others for the same
// bytes.
TEST_F(Attacks, ATokenHasOneText) {
  const std::string token = Sign(kHs256, Claims());
  std::string other = token;
  unsigned same = 0;
  for (int c = 1; c < 128; ++c) {
    other.back() = static_cast<char>(c);
    if (Tell(other) == "ada") ++same;
  }
  EXPECT_EQ(same, 1U);
}

TEST_F(Attacks, NoCutAndNoFlippedBitIsTaken) {
  const std::string token = Sign(kHs256, Claims());
  for (std::size_t size = 0; size < token.size(); ++size) {
    EXPECT_NE(Tell(token.substr(0, size)), "ada") << size;
  }
  const Signer signers[] = {Signer::Ec("P-256"), Signer::Ed25519()};
  const std::string_view algorithms[] = {"ES256", "EdDSA"};
  for (std::size_t one = 0; one < 2; ++one) {
    verifier_ = VerifierOf(signers[one].PublicPem());
    const std::string good =
        signers[one].Sign(algorithms[one], HeaderOf(algorithms[one]), Claims());
    ASSERT_EQ(Tell(good), "ada");
    for (std::size_t bit = 0; bit < 8 * good.size(); bit += 3) {
      std::string flipped = good;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
      EXPECT_FALSE(verifier_.Verify(flipped, kNow)) << bit;
    }
  }
}

// Both numbers 0 (a fault that many had), or as large as they can be.
TEST_F(Attacks, SignaturesOfNothing) {
  for (const char* curve : {"P-256", "P-384"}) {
    const bool small = std::string_view(curve) == "P-256";
    verifier_ = VerifierOf(Signer::Ec(curve).PublicPem());
    const std::string text = EncodeBase64Url(HeaderOf(small ? "ES256" : "ES384")) + "." +
                             EncodeBase64Url(Claims()) + ".";
    const std::size_t size = small ? 64 : 96;
    for (const char byte : {'\0', '\x01', '\xFF'}) {
      EXPECT_EQ(Tell(text + EncodeBase64Url(std::string(size, byte))), Told(kSignature));
    }
    for (const std::size_t other : {std::size_t{0}, size - 1, size + 1, 2 * size}) {
      EXPECT_EQ(Tell(text + EncodeBase64Url(std::string(other, '\x01'))), Told(kSignature));
    }
  }
  EXPECT_EQ(::ERR_peek_error(), 0U) << "errors are left behind for others of this thread";
}

TEST_F(Attacks, JunkIsRefusedBeforeItsSignatureIsLookedAt) {
  // Each of these has a signature that is no base64url, which would be told next.
  const auto junk = [](std::string_view header, std::string_view claims) {
    return EncodeBase64Url(header) + "." + EncodeBase64Url(claims) + ".*";
  };
  EXPECT_EQ(Tell(junk(kHs256, Claims())), Told(kEncoding));
  EXPECT_EQ(Tell(junk(R"({"alg":"none"})", Claims())), Told(kAlgorithm));
  EXPECT_EQ(Tell(junk(R"({"alg":"RS256"})", Claims())), Told(kKey));
  EXPECT_EQ(Tell(junk(kHs256, R"({"sub":"ada","exp":1})")), Told(kExpired));
  EXPECT_EQ(Tell(junk(kHs256, Claims(R"(,"nbf":1900000000)"))), Told(kNotYet));
  EXPECT_EQ(Tell(junk(kHs256, R"({"exp":1800000100})")), Told(kUser));
}

}  // namespace
}  // namespace sluicegate::identity
