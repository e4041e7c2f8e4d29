// SipHash-1-3 against known hashes, and in pieces against whole.
#include "base/siphash.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>

#include "base/seed_for_test.h"

namespace sluicegate {
namespace {

// The key and the messages of the paper's appendix: bytes 0, 1, 2, ...
constexpr HashSecret kSecret{.k0 = 0x0706050403020100, .k1 = 0x0f0e0d0c0b0a0908};

std::string Counting(std::size_t size) {
  std::string message;
  for (std::size_t i = 0; i < size; ++i) message += static_cast<char>(i);
  return message;
}

TEST(SipHash, GivesTheHashesThatOthersGive) {
  // As SipHash-1-3 in Rust's standard library has them, for messages of so many bytes.
  EXPECT_EQ(SipHash(kSecret, Counting(0)), 0xabac0158050fc4dcU);
  EXPECT_EQ(SipHash(kSecret, Counting(1)), 0xc9f49bf37d57ca93U);
  EXPECT_EQ(SipHash(kSecret, Counting(7)), 0xd3927d989bb11140U);
  EXPECT_EQ(SipHash(kSecret, Counting(8)), 0x369095118d299a8eU);
  EXPECT_EQ(SipHash(kSecret, Counting(15)), 0xd320d86d2a519956U);
  EXPECT_EQ(SipHash(kSecret, Counting(63)), 0x9d199062b7bbb3a8U);
}

// The paper word for word, with any number of rounds: its authors give hashes for two and four
// only.
std::uint64_t Naive(const HashSecret& secret, std::string_view message, unsigned compress,
                    unsigned finish) {
  std::uint64_t v0 = secret.k0 ^ 0x736f6d6570736575U;
  std::uint64_t v1 = secret.k1 ^ 0x646f72616e646f6dU;
  std::uint64_t v2 = secret.k0 ^ 0x6c7967656e657261U;
  std::uint64_t v3 = secret.k1 ^ 0x7465646279746573U;
  const auto rounds = [&](unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
      v0 += v1;
      v2 += v3;
      v1 = std::rotl(v1, 13) ^ v0;
      v3 = std::rotl(v3, 16) ^ v2;
      v0 = std::rotl(v0, 32);
      v2 += v1;
      v0 += v3;
      v1 = std::rotl(v1, 17) ^ v2;
      v3 = std::rotl(v3, 21) ^ v0;
      v2 = std::rotl(v2, 32);
    }
  };
  std::string padded(message);
  while (padded.size() % 8 != 7) padded += '\0';
  padded += static_cast<char>(message.size());
  for (std::size_t at = 0; at < padded.size(); at += 8) {
    std::uint64_t block = 0;
    for (std::size_t i = 8; i-- > 0;)
      block = block << 8U | static_cast<std::uint8_t>(padded[at + i]);
    v3 ^= block;
    rounds(compress);
    v0 ^= block;
  }
  v2 ^= 0xFF;
  rounds(finish);
  return v0 ^ v1 ^ v2 ^ v3;
}

TEST(SipHash, TheNaiveOneIsThePapersSipHash24) {
  EXPECT_EQ(Naive(kSecret, Counting(15), 2, 4), 0xa129ca6149be45e5U);  // Appendix A.
  EXPECT_EQ(Naive(kSecret, "", 2, 4), 0x726fdb47dd0e0e31U);            // vectors.h of the authors.
}

TEST(SipHash, IsTheSameWithOneAndThreeRounds) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (std::size_t size = 0; size < 700; ++size) {  // Past 256: only the size's low byte counts.
    std::string message;
    for (std::size_t i = 0; i < size; ++i) message += static_cast<char>(random());
    const HashSecret secret{.k0 = random(), .k1 = random()};
    ASSERT_EQ(SipHash(secret, message), Naive(secret, message, 1, 3)) << size;
  }
}

TEST(SipHash, InPiecesIsTheSameAsWholeWhereverTheBordersLie) {
  const std::string message = Counting(40);
  for (std::size_t size = 0; size <= message.size(); ++size) {
    const std::string_view whole = std::string_view(message).substr(0, size);
    for (std::size_t a = 0; a <= size; ++a) {
      for (std::size_t b = a; b <= size; ++b) {
        SipHasher hasher(kSecret);
        hasher.Update(whole.substr(0, a));
        hasher.Update(whole.substr(a, b - a));
        hasher.Update(whole.substr(b));
        ASSERT_EQ(hasher.Finish(), SipHash(kSecret, whole)) << size << " " << a << " " << b;
      }
    }
  }
}

TEST(SipHash, AWordIsItsEightBytesAndAByteIsOne) {
  for (std::size_t before = 0; before < 9; ++before) {
    for (std::size_t after = 0; after < 9; ++after) {
      SipHasher hasher(kSecret);
      hasher.Update(Counting(before));
      hasher.UpdateU64(0xF7E6D5C4B3A29180);
      hasher.UpdateU8(0xFE);
      hasher.Update(Counting(after));
      const std::string whole = Counting(before) +
                                "\x80\x91\xA2\xB3\xC4\xD5\xE6\xF7"
                                "\xFE" +
                                Counting(after);
      ASSERT_EQ(hasher.Finish(), SipHash(kSecret, whole)) << before << " " << after;
    }
  }
}

TEST(SipHash, EveryBitOfTheSecretCounts) {
  const std::uint64_t hash = SipHash(kSecret, "client");
  for (unsigned bit = 0; bit < 64; ++bit) {
    EXPECT_NE(SipHash({.k0 = kSecret.k0 ^ 1ULL << bit, .k1 = kSecret.k1}, "client"), hash);
    EXPECT_NE(SipHash({.k0 = kSecret.k0, .k1 = kSecret.k1 ^ 1ULL << bit}, "client"), hash);
  }
}

TEST(HashSecret, IsAnotherEachTime) {
  const HashSecret a = HashSecret::Random();
  const HashSecret b = HashSecret::Random();
  EXPECT_NE(a.k0, b.k0);
  EXPECT_NE(a.k1, b.k1);
  EXPECT_NE(a.k0, a.k1);
}

}  // namespace
}  // namespace sluicegate
