#include "identity/token_cache.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "identity/forgery_guard.h"
#include "identity/token_for_test.h"

namespace sluicegate::identity {
namespace {

constexpr std::int64_t kSeconds = 1'800'000'000;
constexpr std::string_view kSecret = "0123456789abcdef0123456789abcdef";
constexpr std::string_view kHeader = R"({"alg":"HS256"})";

std::string FileOf(std::string_view secret) { return "hmac:text:" + std::string(secret) + "\n"; }

class TokenCacheTest : public testing::Test {
 protected:
  static std::string TokenOf(const std::string& user, std::int64_t exp = kSeconds + 100) {
    return SignedBySecret(kSecret, kHeader,
                          R"({"sub":")" + user + R"(","exp":)" + std::to_string(exp) + "}");
  }
  std::string UserOf(std::string_view token, std::int64_t seconds = kSeconds) {
    return std::string(cache_.UserOf(
        verifier_, token, client_, {.engine_ns = engine_ns_, .unix_ns = seconds * 1'000'000'000}));
  }

  TokenVerifier verifier_ = VerifierOf(FileOf(kSecret));
  // Of a fixed secret: by a random one, one run in 1,024 gives two clients one bucket of the guard.
  TokenCache cache_{{.k0 = 1, .k1 = 2}};
  IpAddress client_ = IpAddress::V4({192, 0, 2, 1});
  std::uint64_t engine_ns_ = 5'000'000'000;
};

TEST_F(TokenCacheTest, KnowsATokenAgain) {
  const std::string ada = TokenOf("ada");
  const std::string bob = TokenOf("bob");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(UserOf(ada), "ada");
    EXPECT_EQ(UserOf(bob), "bob");
  }
  EXPECT_EQ(UserOf(ada + "x"), "");
  EXPECT_EQ(UserOf(""), "");
  EXPECT_EQ(UserOf("sgk_0123"), "");
}

TEST_F(TokenCacheTest, WhatIsRememberedEndsWithItsToken) {
  const std::string ada = TokenOf("ada");
  EXPECT_EQ(UserOf(ada), "ada");
  EXPECT_EQ(UserOf(ada, kSeconds + 159), "ada") << "a minute of leeway";
  EXPECT_EQ(UserOf(ada, kSeconds + 160), "");
  EXPECT_EQ(UserOf(ada, kSeconds + 159), "ada") << "a clock that was set back";
}

TEST_F(TokenCacheTest, WhatWasVerifiedWithOtherKeysOrSettingsIsNotFound) {
  const std::string ada = TokenOf("ada");
  EXPECT_EQ(UserOf(ada), "ada");
  verifier_ = VerifierOf(FileOf(kSecret), {.issuer = "us", .audiences = {}});
  EXPECT_EQ(UserOf(ada), "");
  verifier_ = VerifierOf(FileOf("another-secret-of-more-than-32-bytes"));
  EXPECT_EQ(UserOf(ada), "");
  verifier_ = VerifierOf(FileOf(kSecret));
  EXPECT_EQ(UserOf(ada), "ada");
}

// With the guard closed, only what is remembered has a user.
TEST_F(TokenCacheTest, JunkPushesNobodyOutAndIsNotCheckedForEver) {
  const std::string ada = TokenOf("ada");
  EXPECT_EQ(UserOf(ada), "ada");
  const std::string forged = TokenOf("eve").substr(0, TokenOf("eve").rfind('.') + 1);
  for (std::uint64_t i = 0; i < 20'000; ++i) {
    std::string mac(32, '\0');
    for (unsigned byte = 0; byte < 8; ++byte) mac[byte] = static_cast<char>(i >> (8 * byte));
    EXPECT_EQ(UserOf(forged + EncodeBase64Url(mac)), "");
  }
  EXPECT_EQ(UserOf(TokenOf("bob")), "") << "this client's signatures are not checked any more";
  EXPECT_EQ(UserOf(ada), "ada") << "verified before";
  client_ = IpAddress::V4({192, 0, 2, 2});
  EXPECT_EQ(UserOf(TokenOf("bob")), "bob") << "another client";
  client_ = IpAddress::V4({192, 0, 2, 1});
  engine_ns_ += 2 * ForgeryGuard::kIntervalNs;
  EXPECT_EQ(UserOf(TokenOf("cyd")), "cyd") << "one more may be checked";
}

TEST_F(TokenCacheTest, JunkThatNoSignatureWasCheckedForCostsNothing) {
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(UserOf("junk." + std::to_string(i) + ".x"), "");
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(UserOf(TokenOf("eve" + std::to_string(i), 1)), "");
  EXPECT_EQ(UserOf(TokenOf("bob")), "bob");
}

TEST_F(TokenCacheTest, HoldsManyTokensAndForgetsTheLeastUsed) {
  std::string first = TokenOf("first");
  EXPECT_EQ(UserOf(first), "first");
  for (std::size_t i = 0; i < 2 * TokenCache::kSets * TokenCache::kWays; ++i) {
    const std::string user = "user" + std::to_string(i);
    EXPECT_EQ(UserOf(TokenOf(user)), user);
    if (i % 64 == 0) {
      EXPECT_EQ(UserOf(first), "first");
    }
  }
}

TEST(ForgeryGuardTest, ABurstAndThenOneEachInterval) {
  ForgeryGuard guard({.k0 = 1, .k1 = 2});
  const IpAddress client = *IpAddress::Parse("2001:db8::1");
  const IpAddress neighbour = *IpAddress::Parse("2001:db8::2");
  std::uint64_t now = 1;
  for (std::uint64_t i = 0; i < ForgeryGuard::kBurst; ++i) {
    EXPECT_TRUE(guard.Admits(client, now)) << i;
    guard.Charge(client, now);
  }
  EXPECT_FALSE(guard.Admits(client, now));
  EXPECT_FALSE(guard.Admits(neighbour, now)) << "a /64 is one client";
  EXPECT_TRUE(guard.Admits(*IpAddress::Parse("2001:db8:0:1::1"), now));
  now += ForgeryGuard::kIntervalNs;
  EXPECT_TRUE(guard.Admits(client, now));
  guard.Charge(client, now);
  EXPECT_FALSE(guard.Admits(client, now));
  EXPECT_FALSE(guard.Admits(client, now - 1)) << "a clock that runs backwards is only stricter";
}

}  // namespace
}  // namespace sluicegate::identity
