#include "app/api_key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "identity/api_keys.h"

namespace sluicegate::app {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

TEST(ApiKeyTest, TheLineIsTheHashOfTheKey) {
  // echo -n abc | sha256sum (FIPS 180-4, example B.1)
  EXPECT_EQ(ApiKeyLine("abc", "acme"),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad acme");
  const auto made = ApiKey::Make("acme-mobile");
  ASSERT_TRUE(made) << made.error();
  EXPECT_EQ(made->line, ApiKeyLine(made->key, "acme-mobile"));
  EXPECT_THAT(made->line, Not(HasSubstr(made->key)));
  EXPECT_THAT(made->key, MatchesRegex("sgk_[0-9a-f]+"));
  EXPECT_EQ(made->key.size(), 4U + 64U);
}

TEST(ApiKeyTest, KeysDiffer) {
  std::set<std::string> keys;
  for (int i = 0; i < 100; ++i) keys.insert(ApiKey::Make("a")->key);
  EXPECT_EQ(keys.size(), 100U);
}

TEST(ApiKeyTest, TheGatewayReadsEveryLineThatIsMade) {
  for (const std::string id : {"a", "ann@acme.example", "A-1_b.c"}) {
    const auto made = ApiKey::Make(id);
    ASSERT_TRUE(made) << made.error();
    const auto keys = identity::ApiKeys::Parse("# one key\n\n" + made->line + "\r\n");
    ASSERT_TRUE(keys) << keys.error();
    EXPECT_EQ(keys->IdOf(made->key), id);
    EXPECT_EQ(keys->IdOf(made->key + "0"), "");
  }
}

TEST(ApiKeyTest, AKeyThatStandsTwiceIsRefused) {
  const auto made = ApiKey::Make("a");
  ASSERT_TRUE(made) << made.error();
  const auto keys = identity::ApiKeys::Parse(made->line + "\n" + made->line + "b\n");
  ASSERT_FALSE(keys);
  EXPECT_THAT(keys.error(), HasSubstr("line 2 "));
}

TEST(ApiKeyTest, AnIdThatWouldBreakTheFileIsRefused) {
  for (const std::string id : {"", "two words", "line\nbreak", "tab\t", "#comment", "ümlaut"}) {
    EXPECT_FALSE(ApiKey::Make(id)) << id;
  }
  EXPECT_FALSE(ApiKey::Make(std::string(65, 'a')));
  EXPECT_TRUE(ApiKey::Make(std::string(64, 'a')));
}

}  // namespace
}  // namespace sluicegate::app
