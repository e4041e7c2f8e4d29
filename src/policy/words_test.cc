#include "policy/words.h"

#include <gtest/gtest.h>

#include <array>

namespace sluicegate::policy {
namespace {

constexpr std::array<std::string_view, 3> kWords = {"limits", "match", "memory"};

TEST(WordsTest, TheNearestWord) {
  EXPECT_EQ(Nearest("limit", kWords), "limits");
  EXPECT_EQ(Nearest("mach", kWords), "match");
  EXPECT_EQ(Nearest("memroy", kWords), "memory");
  EXPECT_EQ(Nearest("colour", kWords), "");
  EXPECT_EQ(Nearest("", kWords), "");
  EXPECT_EQ(Nearest(std::string(1'000'000, 'a'), kWords), "") << "long words are not compared";
}

TEST(WordsTest, ASuggestionOrAllWords) {
  EXPECT_EQ(Suggest("limit", kWords), "Write limits.");
  EXPECT_EQ(Suggest("colour", kWords), "Write limits, match or memory.");
}

TEST(WordsTest, QuotesCutAndDisarm) {
  EXPECT_EQ(Quoted("a\x1B[31mb"), "'a?[31mb'");
  EXPECT_EQ(Quoted("a\xC2\x9B"
                   "31mb\xC2\x85"),
            "'a?31mb?'")
      << "the control characters of two bytes";
  EXPECT_EQ(Quoted(std::string(61, 'a')), "'" + std::string(60, 'a') + "...'");
  // 59 letters and a character of two bytes: cut before it, not in it.
  EXPECT_EQ(Quoted(std::string(59, 'a') + "\xC3\xBC" + "b"), "'" + std::string(59, 'a') + "...'");
}

}  // namespace
}  // namespace sluicegate::policy
