#include "policy/glob.h"

#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <string>
#include <vector>

#include "base/seed_for_test.h"

namespace sluicegate::policy {
namespace {

using enum Glob::Subject;

bool Matches(std::string_view pattern, std::string_view text, Glob::Subject subject = kPath) {
  const auto glob = Glob::Compile(pattern, subject);
  return glob && glob->Matches(text);
}

// The definition, without regard for time: `*` is a run without '/', `**` any run, "/**/" may be
// one '/', and a trailing "/**" may be nothing.
bool Defined(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern == "/**" && text.empty()) return true;
  if (pattern.starts_with("/**/") && Defined(pattern.substr(3), text)) return true;
  if (pattern.front() != '*') {
    return !text.empty() && text.front() == pattern.front() &&
           Defined(pattern.substr(1), text.substr(1));
  }
  std::size_t stars = pattern.find_first_not_of('*');
  if (stars == std::string_view::npos) stars = pattern.size();
  for (std::size_t taken = 0; taken <= text.size(); ++taken) {
    if (taken > 0 && stars == 1 && text[taken - 1] == '/') break;
    if (Defined(pattern.substr(stars), text.substr(taken))) return true;
  }
  return false;
}

// Longer runs of stars are `**`.
bool Naive(std::string pattern, std::string_view text) {
  while (pattern.find("***") != std::string::npos) pattern.erase(pattern.find("***"), 1);
  return Defined(pattern, text);
}

// The same for a text: a star of any number is any run.
bool NaiveInText(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern.front() != '*') {
    return !text.empty() && text.front() == pattern.front() &&
           NaiveInText(pattern.substr(1), text.substr(1));
  }
  return NaiveInText(pattern.substr(1), text) ||
         (!text.empty() && NaiveInText(pattern, text.substr(1)));
}

TEST(GlobTest, GoldenTable) {
  struct Row {
    std::string_view pattern;
    std::string_view text;
    bool matches;
  };
  const std::vector<Row> rows = {
      {"/**", "/", true},
      {"/**", "/a/b", true},
      {"**", "anything", true},
      {"/a", "/a", true},
      {"/a", "/a/", false},
      {"/a", "/A", false},
      {"/a/**", "/a", true},
      {"/a/**", "/a/", true},
      {"/a/**", "/a/b/c", true},
      {"/a/**", "/ab", false},
      {"/a**", "/abc/d", true},
      {"/a/*", "/a/b", true},
      {"/a/*", "/a/", true},
      {"/a/*", "/a/b/c", false},
      {"/a/*", "/a", false},
      {"/*/b", "/a/b", true},
      {"/*/b", "/a/c/b", false},
      {"/**/b", "/b", true},
      {"/**/b", "/a/c/b", true},
      {"/**/b", "/ab", false},
      {"/**/**/b", "/b", true},
      {"/a/**/b", "/a/b", true},
      {"/a/**/b", "/a/x/y/b", true},
      {"/a/**/b", "/ab", false},
      {"/*.png", "/x.png", true},
      {"/*.png", "/x.pngs", false},
      {"*.example.com", "api.example.com", true},
      {"*.example.com", "example.com", false},
      {"search_*", "search_", true},
      {"search_*", "research_x", false},
      {"***", "a/b", true},
      {"*", "", true},
      {"/?", "/a", false},
      {"/[a]", "/a", false},
      {"/[a]", "/[a]", true},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(Matches(row.pattern, row.text), row.matches) << row.pattern << " on " << row.text;
    EXPECT_EQ(Naive(std::string(row.pattern), row.text), row.matches)
        << "the oracle: " << row.pattern;
  }
}

TEST(GlobTest, OnlyPathsHaveSegments) {
  struct Row {
    std::string_view pattern;
    std::string_view text;
    bool path;
    bool in_text;
  };
  const std::vector<Row> rows = {
      {"curl*", "curl/8.0", false, true},
      {"*/8.0", "curl/8.0", true, true},
      {"*8.0", "curl/8.0", false, true},
      {"*", "a/b", false, true},
      {"c*l/*", "c/l/8/0", false, true},
      {"text/*", "text/html", true, true},
      {"text/**", "text/html", true, true},
      {"text/**", "text", true, false},
      {"a/**/b", "a/b", true, false},
      {"a/**/b", "a//b", true, true},
      {"/**", "a", true, false},
      {"/**", "/a/b", true, true},
      {"a***b", "a/x/b", true, true},
      {"a*b", "a/x/c", false, false},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(Matches(row.pattern, row.text), row.path) << row.pattern << " on path " << row.text;
    EXPECT_EQ(Matches(row.pattern, row.text, kText), row.in_text)
        << row.pattern << " on " << row.text;
    EXPECT_EQ(NaiveInText(row.pattern, row.text), row.in_text) << "the oracle: " << row.pattern;
  }
}

TEST(GlobTest, AgreesWithTheDefinitionOnEveryShortPatternAndText) {
  constexpr std::string_view kLetters = "/*a";
  std::vector<std::string> patterns = {""};
  for (std::size_t i = 0; i < patterns.size() && patterns[i].size() < 6; ++i) {
    for (const char c : kLetters) patterns.push_back(patterns[i] + c);
  }
  std::vector<std::string> texts = {""};
  for (std::size_t i = 0; i < texts.size() && texts[i].size() < 5; ++i) {
    for (const char c : {'/', 'a'}) texts.push_back(texts[i] + c);
  }
  for (const std::string& pattern : patterns) {
    const auto glob = Glob::Compile(pattern, kPath);
    const auto in_text = Glob::Compile(pattern, kText);
    ASSERT_EQ(glob.has_value(), !pattern.empty());
    ASSERT_EQ(in_text.has_value(), !pattern.empty());
    if (!glob) continue;
    for (const std::string& text : texts) {
      ASSERT_EQ(in_text->Matches(text), NaiveInText(pattern, text)) << pattern << " on " << text;
      // "/**" alone is every text, also those that do not begin with a slash (paths always do).
      if (pattern.starts_with("/**") && !text.starts_with('/')) continue;
      ASSERT_EQ(glob->Matches(text), Naive(pattern, text)) << pattern << " on " << text;
    }
  }
}

TEST(GlobTest, AgreesWithTheDefinitionOnRandomOnes) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  const auto word = [&random](std::string_view letters, std::size_t most) {
    std::string text(random() % most, ' ');
    for (char& c : text) c = letters[random() % letters.size()];
    return text;
  };
  for (int i = 0; i < 20'000; ++i) {
    const std::string pattern = "/" + word("/**ab", 14);
    const std::string text = "/" + word("/ab", 14);
    ASSERT_EQ(Matches(pattern, text), Naive(pattern, text)) << pattern << " on " << text;
  }
}

// The classical traps: a matcher that backtracks takes 2^80 steps for each of them.
TEST(GlobTest, NoPatternMakesItSlow) {
  std::string stars;
  while (stars.size() + 2 <= Glob::kMaxLength) stars += "*a";
  std::string doubles = "/";
  while (doubles.size() + 4 <= Glob::kMaxLength) doubles += "**/a";
  const std::string text(8192, 'a');
  std::string path;
  while (path.size() < 8192) path += "/a";
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 20; ++i) {
    EXPECT_FALSE(Matches(stars + "b", text + "c"));
    EXPECT_FALSE(Matches(doubles + "b", path + "c"));
    EXPECT_FALSE(Matches(stars + "b", path + "c", kText));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

TEST(GlobTest, TheLongestPatternFits) {
  const std::string longest = "/" + std::string(Glob::kMaxLength - 2, 'a') + "*";
  EXPECT_TRUE(Matches(longest, longest.substr(0, longest.size() - 1) + "b"));
  EXPECT_FALSE(Matches(longest, longest.substr(0, longest.size() - 1) + "/"));
  EXPECT_TRUE(Matches(longest, longest.substr(0, longest.size() - 1) + "/", kText));
  std::string stars;  // Each takes one place.
  while (stars.size() < Glob::kMaxLength) stars += "a*";
  EXPECT_TRUE(Matches(stars, stars + "/a", kText));
  EXPECT_FALSE(Matches(stars, stars.substr(2), kText));
  for (const Glob::Subject subject : {kPath, kText}) {
    EXPECT_FALSE(Glob::Compile(longest + "a", subject));
    EXPECT_FALSE(Glob::Compile("", subject));
  }
}

TEST(GlobTest, BytesAboveAsciiAreThemselves) {
  EXPECT_TRUE(Matches("/\xC3\xBC*", "/\xC3\xBC\xFF"));
  EXPECT_FALSE(Matches("/\xC3\xBC*", "/\xC3\xBD"));
}

}  // namespace
}  // namespace sluicegate::policy
