// Paths in one spelling: what must not slip past a rule.
#include "wire/path.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "base/seed_for_test.h"

namespace sluicegate::wire {
namespace {

using namespace std::string_literals;

// "path" or "path ? query", or "400".
std::string Normalized(std::string_view target) {
  std::string out;
  const auto query = NormalizePath(target, out);
  if (!query) {
    EXPECT_EQ(out, "") << "An error must append nothing.";
    EXPECT_FALSE(query.error().detail.empty());
    return std::to_string(query.error().status);
  }
  return query->empty() ? out : out + " " + std::string(*query);
}

struct Vector {
  std::string target;
  std::string normalized;
};

const std::vector<Vector>& Vectors() {
  static const std::vector<Vector> vectors = {
      {"/", "/"},
      {"", "/"},
      {"?q", "/ ?q"},
      {"/mcp", "/mcp"},
      {"/mcp/", "/mcp/"},
      {"/a/b.c/d-e_f~g", "/a/b.c/d-e_f~g"},
      // Escapes.
      {"/%61pi", "/api"},
      {"/%6D%63%70", "/mcp"},
      {"/%6d%63%70", "/mcp"},
      {"/%7Euser", "/~user"},
      {"/%40me", "/@me"},
      {"/a%3Ab", "/a:b"},
      {"/a%20b", "/a%20b"},
      {"/a%c3%a9", "/a%C3%A9"},
      {"/a\xC3\xA9", "/a%C3%A9"},
      {"/a|b", "/a%7Cb"},
      {"/a%7cb", "/a%7Cb"},
      {"/a%3bb", "/a%3Bb"},
      {"/a;b", "/a;b"},
      {"/a%2bb", "/a%2Bb"},
      {"/a%3Fb", "/a%3Fb"},
      {"/a%23b", "/a%23b"},
      {"/a%25b", "/a%25b"},
      {"/%2561pi", "/%2561pi"},
      {"/%252e%252e/x", "/%252e%252e/x"},
      {"/%0a", "/%0A"},
      // Slashes.
      {"//mcp", "/mcp"},
      {"///a///b//", "/a/b/"},
      {"//", "/"},
      {"//evil.test/mcp", "/evil.test/mcp"},
      // Dot segments.
      {"/.", "/"},
      {"/..", "/"},
      {"/./mcp", "/mcp"},
      {"/a/../mcp", "/mcp"},
      {"/a/./b/../c", "/a/c"},
      {"/a/b/..", "/a/"},
      {"/a/b/.", "/a/b/"},
      {"/a/b/../..", "/"},
      {"/../../mcp", "/mcp"},
      {"/a/..//../mcp", "/mcp"},
      {"/a//../mcp", "/mcp"},
      {"/%2e%2e/mcp", "/mcp"},
      {"/a/%2E./mcp", "/mcp"},
      {"/a/.%2e/mcp", "/mcp"},
      {"/%2e/mcp", "/mcp"},
      {"/...", "/..."},
      {"/.hidden", "/.hidden"},
      {"/..hidden", "/..hidden"},
      {"/a/.../b", "/a/.../b"},
      // The query stays as it was sent.
      {"/a?b=/../%2f%00//x", "/a ?b=/../%2f%00//x"},
      {"/a/../b?", "/b ?"},
      {"/a?b?c", "/a ?b?c"},
      // Refused.
      {"/a%2fb", "400"},
      {"/a%2Fb", "400"},
      {"/..%2fmcp", "400"},
      {"/a%5cb", "400"},
      {"/a%5Cb", "400"},
      {"/a\\b", "400"},
      {"/a\\..\\mcp", "400"},
      {"/%00", "400"},
      {"/mcp%00.png", "400"},
      {"/%", "400"},
      {"/%6", "400"},
      {"/%6?1", "400"},
      {"/%zz", "400"},
      {"/%6/1", "400"},
      {"/% 1", "400"},
      {"/%u0061", "400"},
      {"/..;/mcp", "400"},
      {"/..;x=y/mcp", "400"},
      {"/.;/mcp", "400"},
      {"/a/%2e%2e;/mcp", "400"},
      {"/..%3b/mcp", "400"},
      {"/a b", "400"},
      {"/a\tb", "400"},
      {"/a\0b"s, "400"},
      {"/a\x7F", "400"},
      {"/a#b", "400"},
      {"a", "400"},
      {"*", "400"},
      {"%2f", "400"},
  };
  return vectors;
}

TEST(PathTest, NormalizesAndRefusesAsListed) {
  for (const Vector& vector : Vectors()) {
    EXPECT_EQ(Normalized(vector.target), vector.normalized) << vector.target;
  }
}

TEST(PathTest, AppendsBehindWhatIsThere) {
  std::string out = "GET /x/y";
  ASSERT_TRUE(NormalizePath("/a/../../../mcp", out));
  EXPECT_EQ(out, "GET /x/y/mcp");
  ASSERT_FALSE(NormalizePath("/b/%00", out));
  EXPECT_EQ(out, "GET /x/y/mcp");
}

// Every spelling that escapes some characters and adds dot segments and slashes is one path.
TEST(PathTest, EverySpellingIsTheSamePath) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  const std::string path = "/api/v1/users/@me:run,now";
  for (int round = 0; round < 20'000; ++round) {
    std::string spelling;
    for (const char c : path) {
      constexpr std::string_view kNoise[] = {"/", "/.", "/%2e", "/x/..", "/x/.%2E", "/x//%2e%2E"};
      if (c == '/') {
        while (random() % 4 == 0) spelling += kNoise[random() % std::size(kNoise)];
        spelling += c;
      } else if (random() % 3 == 0) {
        const std::string_view digits = random() % 2 == 0 ? "0123456789abcdef" : "0123456789ABCDEF";
        spelling += '%';
        spelling += digits[static_cast<std::size_t>(c) / 16];
        spelling += digits[static_cast<std::size_t>(c) % 16];
      } else {
        spelling += c;
      }
    }
    ASSERT_EQ(Normalized(spelling), path) << spelling;
  }
}

TEST(PathTest, IsIdempotentOnRandomText) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  constexpr std::string_view kLetters = "/..%26eEfFab;|\x80?";
  int accepted = 0;
  for (int round = 0; round < 200'000; ++round) {
    std::string target = "/";
    for (auto size = random() % 12; size > 0; --size)
      target += kLetters[random() % kLetters.size()];
    std::string once;
    const auto query = NormalizePath(target, once);
    if (!query) continue;
    ++accepted;
    std::string twice;
    ASSERT_TRUE(NormalizePath(once, twice)) << target;
    ASSERT_EQ(once, twice) << target;
    ASSERT_EQ(once.find("//"), std::string::npos) << target;
    ASSERT_EQ((once + "/").find("/../"), std::string::npos) << target;
    ASSERT_EQ((once + "/").find("/./"), std::string::npos) << target;
  }
  EXPECT_GT(accepted, 1000);
}

}  // namespace
}  // namespace sluicegate::wire
