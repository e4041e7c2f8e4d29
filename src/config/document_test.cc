// doc/policy.md tells every key that the reader knows, under the heading of its map, and none that
// it does not; its examples are good policies. (The JSON Schema is compared by
// tests/config/check_schema.py, with keys.h as well.)

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include "config/keys.h"
#include "config/load.h"

namespace sluicegate::config {
namespace {

std::string Document() {
  std::ifstream file(SLUICEGATE_ROOT "/doc/policy.md");
  EXPECT_TRUE(file);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The keys that begin the rows of the tables, by the map that the heading above names: a heading
// like "### `rules[].match`" and rows like "| `path` | ...".
std::map<std::string, std::set<std::string>> DocumentedKeys() {
  std::map<std::string, std::set<std::string>> keys;
  std::string map;
  std::istringstream lines(Document());
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("#")) {
      const std::size_t open = line.find('`');
      map = open == std::string::npos ? "" : line.substr(open + 1, line.rfind('`') - open - 1);
    } else if (!map.empty() && line.starts_with("| `")) {
      keys[map].insert(line.substr(3, line.find('`', 3) - 3));
    }
  }
  return keys;
}

TEST(DocumentTest, HasEveryKeyAndNoOther) {
  const auto documented = DocumentedKeys();
  for (const MapKeys& known : kAllMaps) {
    const auto found = documented.find(std::string(known.map));
    ASSERT_NE(found, documented.end()) << "no heading `" << known.map << "`";
    const std::set<std::string> keys(known.keys.begin(), known.keys.end());
    EXPECT_EQ(found->second, keys) << "under `" << known.map << "`";
  }
  EXPECT_EQ(documented.size(), kAllMaps.size())
      << "a heading names a map that the reader does not know";
}

TEST(DocumentTest, ItsExamplesAreGood) {
  const std::string document = Document();
  constexpr std::string_view kFence = "```yaml\n";
  std::size_t examples = 0;
  for (std::size_t at = document.find(kFence); at != std::string::npos;
       at = document.find(kFence, at)) {
    at += kFence.size();
    const std::string text = document.substr(at, document.find("```", at) - at);
    const auto policy = ParsePolicy(text);
    ++examples;
    if (policy) continue;
    for (const policy::Mistake& mistake : policy.error()) {
      ADD_FAILURE() << FormatMistake("doc/policy.md, example " + std::to_string(examples), mistake);
    }
  }
  EXPECT_GE(examples, 4U);
}

}  // namespace
}  // namespace sluicegate::config
