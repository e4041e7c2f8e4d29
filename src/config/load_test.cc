#include "config/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <random>

#include "base/seed_for_test.h"
#include "base/temporary_folder_for_test.h"
#include "policy/capacity.h"

namespace sluicegate::config {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class LoadTest : public testing::Test {
 protected:
  static std::string WhyNot(const std::string& path) {
    const auto policy = LoadPolicyFile(path);
    if (policy) return "it was loaded";
    std::string text;
    for (const policy::Mistake& mistake : policy.error())
      text += FormatMistake("f", mistake) + "\n";
    return text;
  }
  std::string File(std::string_view text) const {
    const std::filesystem::path path = folder_ / "policy.yaml";
    std::ofstream(path) << text;
    return path.string();
  }

  TemporaryFolder folder_;
};

constexpr std::string_view kRule =
    "rules: [{name: a, key: [client], limits: [60/minute, {burst: 10}]}]";

TEST_F(LoadTest, AGoodFile) {
  const auto policy = LoadPolicyFile(File(kRule));
  ASSERT_TRUE(policy);
  ASSERT_THAT((*policy)->rules(), SizeIs(1));
  EXPECT_EQ((*policy)->rules()[0].name(), "a");
  EXPECT_EQ((*policy)->rules()[0].variants()[0].limits[1].written.refill, 60U);
}

TEST_F(LoadTest, TheDefaultPolicyIsWhatTheDocumentationSays) {
  const auto policy = ParsePolicy(DefaultPolicyYaml());
  ASSERT_TRUE(policy);
  EXPECT_THAT((*policy)->warnings(), IsEmpty());
  ASSERT_THAT((*policy)->rules(), SizeIs(1 + policy::kBuiltInRules));
  const policy::Rule& rule = (*policy)->rules()[0];
  std::vector<std::string> names;
  std::vector<std::uint64_t> quotas;
  for (const policy::RuleLimit& limit : rule.variants()[0].limits) {
    names.push_back(limit.name);
    quotas.push_back(limit.limit.quota());
  }
  EXPECT_THAT(names, ElementsAre("per-minute", "per-hour", "per-day", "burst"));
  EXPECT_THAT(quotas, ElementsAre(60U, 1000U, 10000U, 10U));
  // 144 bytes a slot and 12 slots a bucket in three quarters of 64 MiB, less the built-in rules' 3.
  EXPECT_GT(policy::LiveKeys(rule), 359'000U);
}

TEST_F(LoadTest, WhatCannotBeReadSaysWhy) {
  EXPECT_EQ(WhyNot((folder_ / "none").string()),
            "f: The file cannot be read: No such file or directory. Check the path and its "
            "permissions.\n");
  EXPECT_EQ(WhyNot(folder_.path().string()),
            "f: The file cannot be read: it is no regular file. Name the file itself.\n");
  const std::string pipe = (folder_ / "pipe").string();
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(WhyNot(pipe), HasSubstr("it is no regular file")) << "and it does not wait";
  if (::geteuid() != 0) {
    const std::string file = File(kRule);
    ::chmod(file.c_str(), 0);
    EXPECT_THAT(WhyNot(file), HasSubstr("Permission denied"));
  }
}

TEST_F(LoadTest, AFileOfMoreThanAMebibyteIsRefusedUnread) {
  std::string text(kRule);
  text += "\n#" + std::string(kMaxFileBytes - text.size() - 2, 'x');
  EXPECT_EQ(WhyNot(File(text)), "it was loaded");
  text += 'x';
  constexpr std::string_view kWhy =
      "f: The file cannot be read: it is larger than 1 MiB. Split it or remove comments.\n";
  EXPECT_EQ(WhyNot(File(text)), kWhy);
  EXPECT_FALSE(ParsePolicy(text));
}

TEST_F(LoadTest, AnEditWinsOverTheFile) {
  const auto policy = ParsePolicy(
      "{max_body: nonsense, " + std::string(kRule) + "}",
      [](policy::Config& config) { config.max_body = policy::Text{.value = "7", .at = {}}; });
  ASSERT_TRUE(policy);
  EXPECT_EQ((*policy)->settings().max_body, 7U);
}

TEST_F(LoadTest, MessagesDoNotSteerTheTerminal) {
  // An escape may name what a file may not hold as it is.
  for (const std::string_view steering :
       {R"(rules: [{name: a, key: ["\e[31mred"], limits: ["\e[31m"]}])",
        R"(rules: [{name: a, key: ["\x9B31mred"], limits: ["\u009B31m"]}])",
        R"(rules: [{name: a, key: ["\Nred"], limits: ["\N"]}])"}) {
    const auto policy = ParsePolicy(steering);
    ASSERT_FALSE(policy);
    for (const policy::Mistake& mistake : policy.error()) {
      const std::string told = FormatMistake("f", mistake);
      EXPECT_EQ(told.find('\x1B'), std::string::npos);
      EXPECT_EQ(told.find("\xC2\x9B"), std::string::npos);
      EXPECT_EQ(told.find("\xC2\x85"), std::string::npos);
    }
  }
  const std::string flood(500'000, 'x');
  const auto long_one =
      ParsePolicy("rules: [{name: a, key: [client], limits: [\"" + flood + "\"]}]");
  ASSERT_FALSE(long_one);
  EXPECT_LT(FormatMistake("f", long_one.error()[0]).size(), 1100U);
}

// Files that try to be expensive: each is answered in well under a second.
TEST_F(LoadTest, NoFileMakesItSlow) {
  const auto begin = std::chrono::steady_clock::now();
  std::string bomb = "a0: &a0 [x, x]\n";
  for (int i = 1; i < 30; ++i) {
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 10; ++j) bomb += (j > 0 ? ", *a" : "*a") + std::to_string(i - 1);
    bomb += "]\n";
  }
  EXPECT_FALSE(ParsePolicy(bomb));
  for (const std::string_view piece :
       {"[", "{", "- ", "? ", "a: {", "[{a: ", "- - ", "\"", "|\n"}) {
    std::string text;
    while (text.size() < 100'000) text += piece;
    EXPECT_FALSE(ParsePolicy(text)) << piece;
  }
  std::string keys = "rules: []\n";
  for (int i = 0; i < 20'000; ++i) keys += "k" + std::to_string(i) + ": 1\n";
  const auto many = ParsePolicy(keys);
  ASSERT_FALSE(many);
  EXPECT_EQ(many.error().size(), kMaxMistakes + 1);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
}

// Whatever the bytes, there is an answer and a place in the text.
TEST_F(LoadTest, SpoiltFilesAreAnswered) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  constexpr std::string_view kBytes = "{}[]:,-#&*!|>'\"%@` \n\t\\?~<=abc019/\x01\xC3\xFF";
  for (int i = 0; i < 3000; ++i) {
    std::string text(DefaultPolicyYaml());
    for (std::uint64_t spoil = random() % 6 + 1; spoil > 0; --spoil) {
      const std::size_t at = random() % text.size();
      const char byte = kBytes[random() % kBytes.size()];
      switch (random() % 3) {
        case 0:
          text[at] = byte;
          break;
        case 1:
          text.insert(at, 1, byte);
          break;
        default:
          text.erase(at, random() % 8 + 1);
          break;
      }
    }
    const auto policy = ParsePolicy(text);
    if (policy) continue;
    ASSERT_THAT(policy.error(), testing::Not(IsEmpty())) << text;
    const auto lines = static_cast<std::uint32_t>(std::ranges::count(text, '\n')) + 1;
    for (const policy::Mistake& mistake : policy.error()) {
      ASSERT_LE(mistake.at.line, lines) << text;
      ASSERT_FALSE(mistake.what.empty() || mistake.mend.empty()) << text;
    }
  }
}

}  // namespace
}  // namespace sluicegate::config
