#include "base/json_string.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace sluicegate {
namespace {

using namespace std::string_literals;

TEST(JsonString, EscapesWhatJsonDemands) {
  const auto json = [](std::string_view text) {
    std::string out;
    AppendJsonString(text, out);
    return out;
  };
  EXPECT_EQ(json(""), "\"\"");
  EXPECT_EQ(json("a\"\\/\b\n\r\t\0\x7F"s), R"("a\"\\/\u0008\n\r\t\u0000\u007f")");
  EXPECT_EQ(json("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"),
            "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"");
}

TEST(JsonString, BytesThatAreNoUtf8AreReplaced) {
  const std::string replaced = "\xEF\xBF\xBD";
  const auto json = [](std::string_view text) {
    std::string out;
    AppendJsonString(text, out);
    return out.substr(1, out.size() - 2);
  };
  EXPECT_EQ(json("\xFF"), replaced);
  EXPECT_EQ(json("\xC3"), replaced);
  EXPECT_EQ(json("\xC3x"), replaced + "x");
  EXPECT_EQ(json("\xC0\xAF"), replaced + replaced);                 // Overlong.
  EXPECT_EQ(json("\xED\xA0\x80"), replaced + replaced + replaced);  // A surrogate.
  EXPECT_EQ(json("\xF4\x90\x80\x80"), replaced + replaced + replaced + replaced);
  EXPECT_EQ(json("\xE2\x82"), replaced + replaced);
}

// Texts are looked at in blocks: what is special is found wherever it stands.
TEST(JsonString, EveryByteIsFoundAtEveryPlace) {
  constexpr std::size_t kBytes = 40;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const auto c = static_cast<char>(byte);
    std::string alone;
    AppendJsonString(std::string_view(&c, 1), alone);
    const std::string inside = alone.substr(1, alone.size() - 2);
    for (std::size_t at = 0; at < kBytes; ++at) {
      std::string out;
      AppendJsonString(std::string(at, 'a') + c + std::string(kBytes - at, 'a'), out);
      EXPECT_EQ(out, '"' + std::string(at, 'a') + inside + std::string(kBytes - at, 'a') + '"')
          << byte << " at " << at;
    }
  }
}

}  // namespace
}  // namespace sluicegate
