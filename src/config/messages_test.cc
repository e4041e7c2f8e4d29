// Every mistake that a policy file can have: tests/config/bad has a small file for each with its
// exact messages, tests/config/good has files that are good, with their exact warnings.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "config/load.h"

namespace sluicegate::config {
namespace {

const std::filesystem::path kRoot = SLUICEGATE_ROOT;

std::string Slurp(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path << " is missing";
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::filesystem::path> FilesOf(const char* folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(kRoot / "tests/config" / folder)) {
    if (entry.path().extension() == ".yaml") files.push_back(entry.path());
  }
  std::ranges::sort(files);
  return files;
}

std::string Told(const std::filesystem::path& file, std::span<const policy::Mistake> mistakes) {
  std::string text;
  for (const policy::Mistake& mistake : mistakes) {
    text += FormatMistake(file.filename().string(), mistake) + "\n";
  }
  return text;
}

std::filesystem::path ExpectedOf(std::filesystem::path file) {
  return file.replace_extension(".expected");
}

TEST(MessagesTest, EveryBadFileIsRefusedWithItsMessages) {
  const auto files = FilesOf("bad");
  EXPECT_GE(files.size(), 130U);
  for (const auto& file : files) {
    const auto policy = LoadPolicyFile(file.string());
    if (policy) {
      ADD_FAILURE() << file << " was taken";
      continue;
    }
    EXPECT_EQ(Told(file, policy.error()), Slurp(ExpectedOf(file))) << file;
    for (const policy::Mistake& mistake : policy.error()) {
      EXPECT_TRUE(mistake.what.ends_with('.') && mistake.mend.ends_with('.')) << mistake.what;
    }
  }
}

TEST(MessagesTest, EveryGoodFileIsTakenWithItsWarnings) {
  const auto files = FilesOf("good");
  EXPECT_GE(files.size(), 14U);
  for (const auto& file : files) {
    const auto policy = LoadPolicyFile(file.string());
    if (policy) {
      EXPECT_EQ(Told(file, (*policy)->warnings()), Slurp(ExpectedOf(file))) << file;
    } else {
      ADD_FAILURE() << Told(file, policy.error());
    }
  }
}

TEST(MessagesTest, TheDefaultPolicyIsAmongTheGoodFiles) {
  EXPECT_EQ(Slurp(kRoot / "tests/config/good/default.yaml"), DefaultPolicyYaml());
}

// The ends of sentences among the string literals of a source: what its messages say.
std::set<std::string> SentencesOf(const std::string& source) {
  std::set<std::string> sentences;
  for (std::size_t begin = source.find('"'); begin != std::string::npos;) {
    std::size_t end = begin + 1;
    while (end < source.size() && source[end] != '"' && source[end] != '\n') {
      end += source[end] == '\\' ? 2U : 1U;
    }
    if (end >= source.size()) break;
    const std::string literal = source.substr(begin + 1, end - begin - 1);
    const bool raw = begin > 0 && source[begin - 1] == 'R';  // The default policy.
    const bool sentence = !raw && literal.size() > 8 && literal.ends_with('.') &&
                          literal.find(' ') != std::string::npos;
    if (sentence && literal.find('\\') == std::string::npos) sentences.insert(literal);
    begin = source.find('"', end + 1);
  }
  return sentences;
}

// A message that no file shows is one that nobody has read.
TEST(MessagesTest, EveryMessageOfTheSourceIsShownByAFile) {
  // These need a file that is no file, or whose reading fails: load_test.cc has them.
  const std::set<std::string> elsewhere = {"Check the path and its permissions.", "Check the disk.",
                                           "Name the file itself.", "Split it or remove comments."};
  std::string shown;
  for (const char* folder : {"bad", "good"}) {
    for (const auto& file : FilesOf(folder)) shown += Slurp(ExpectedOf(file));
  }
  std::size_t found = 0;
  for (const char* source :
       {"policy/compile.cc", "policy/door_compiler.cc", "policy/rule_compiler.cc",
        "policy/limit_set_compiler.cc", "policy/network_compiler.cc", "policy/values.cc",
        "config/reader.cc", "config/door_reader.cc", "config/map_reader.cc", "config/load.cc"}) {
    for (const std::string& sentence : SentencesOf(Slurp(kRoot / "src" / source))) {
      if (elsewhere.contains(sentence)) continue;
      ++found;
      EXPECT_NE(shown.find(sentence), std::string::npos) << source << ": " << sentence;
    }
  }
  EXPECT_GT(found, 100U) << "the sources have more messages than were recognised";
}

}  // namespace
}  // namespace sluicegate::config
