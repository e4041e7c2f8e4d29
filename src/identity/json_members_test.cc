#include "identity/json_members.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <string>

namespace sluicegate::identity {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::array<std::string_view, 3> kWanted = {"a", "b", "c"};

std::optional<JsonMembers> Parse(std::string_view json) {
  return JsonMembers::Parse(json, kWanted);
}

template <class T>
const T& ValueOf(const std::optional<JsonMembers>& members, std::string_view name) {
  static const T kNone{};
  EXPECT_TRUE(members.has_value());
  const JsonMembers::Value* const value = members ? members->Find(name) : nullptr;
  const T* const held = value == nullptr ? nullptr : std::get_if<T>(value);
  EXPECT_NE(held, nullptr) << name;
  return held == nullptr ? kNone : *held;
}

std::int64_t NumberOf(std::string_view json) {
  return ValueOf<std::int64_t>(Parse("{\"a\":" + std::string(json) + "}"), "a");
}

TEST(JsonMembers, FindsWhatIsWantedAtTheTopAlone) {
  const auto members =
      Parse(R"( {"a" : "x", "d": {"b": 1, "a": 2}, "b": ["p", "q"], "e": [[1]]} )");
  EXPECT_EQ(ValueOf<std::string>(members, "a"), "x");
  EXPECT_THAT(ValueOf<std::vector<std::string>>(members, "b"), ElementsAre("p", "q"));
  EXPECT_EQ(members->Find("c"), nullptr);
  EXPECT_EQ(members->Find("d"), nullptr) << "nobody asked for it";
  EXPECT_EQ(members->FindText("b"), nullptr);
  EXPECT_THAT(ValueOf<std::vector<std::string>>(Parse(R"({"a":[]})"), "a"), IsEmpty());
}

TEST(JsonMembers, OtherKindsAreThereAndNothingElse) {
  for (const char* value : {"null", "true", "{}", R"({"a":"x"})", "[1]", R"(["x",null])",
                            R"(["x",["y"]])", R"(["x",{"k":"y"}])", R"([["x"],"y"])"}) {
    (void)ValueOf<JsonMembers::Other>(Parse("{\"a\":" + std::string(value) + ",\"b\":1}"), "a");
  }
}

TEST(JsonMembers, NumbersAreWholeAndBounded) {
  EXPECT_EQ(NumberOf("0"), 0);
  EXPECT_EQ(NumberOf("-7"), -7);
  EXPECT_EQ(NumberOf("1700000000.9"), 1'700'000'000);
  EXPECT_EQ(NumberOf("1e3"), 1000);
  EXPECT_EQ(NumberOf("1e300"), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(NumberOf("-1e300"), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(NumberOf("18446744073709551615"), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(NumberOf("99999999999999999999999"), std::numeric_limits<std::int64_t>::max());
}

TEST(JsonMembers, WhatReadersSeeDifferentlyIsRefused) {
  for (const char* json : {"",
                           " ",
                           "[]",
                           "1",
                           "null",
                           "\"a\"",
                           "{",
                           "}",
                           "{}{}",
                           "{} x",
                           "{\"a\":1,}",
                           "{a:1}",
                           "{'a':1}",
                           "{\"a\":01}",
                           "{\"a\":+1}",
                           "{\"a\":NaN}",
                           "{\"a\":1e999}",
                           "/**/{}",
                           "{}//",
                           "\xEF\xBB\xBF{}",
                           "{\"a\":\"\xFF\"}",
                           "{\"a\":\"\xC0\xAF\"}",
                           "{\"a\":\"\t\"}",
                           "{\"a\":\"\\ud800\"}",
                           "{\"a\":1,\"a\":1}",
                           "{\"a\":1,\"\\u0061\":2}",
                           "{\"b\":[],\"a\":{},\"b\":\"x\"}"}) {
    EXPECT_FALSE(Parse(json)) << json;
  }
  EXPECT_FALSE(Parse(std::string_view("{}\0{", 4)));
  EXPECT_TRUE(Parse("{\"x\":1,\"x\":2}")) << "nobody asked for it";
}

TEST(JsonMembers, DepthIsBounded) {
  const auto nested = [](std::size_t depth) {
    return "{\"x\":" + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}";
  };
  EXPECT_TRUE(Parse(nested(JsonMembers::kMaxDepth)));
  EXPECT_FALSE(Parse(nested(JsonMembers::kMaxDepth + 1)));
  EXPECT_FALSE(Parse("{\"x\":" + std::string(1'000'000, '[')));
}

}  // namespace
}  // namespace sluicegate::identity
