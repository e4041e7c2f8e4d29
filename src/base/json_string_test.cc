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

}  // namespace
}  // namespace sluicegate
