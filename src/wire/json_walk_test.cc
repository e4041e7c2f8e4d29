// JSON read strictly: a table, and another parser's verdict on mutated texts.
#include "wire/json_walk.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/seed_for_test.h"
#include "wire/padded_for_test.h"

namespace sluicegate::wire {
namespace {

using namespace std::string_literals;
using Fault = JsonWalk::Fault;

Fault Walk(JsonWalk& walk, std::string_view text) {
  const PaddedText padded(text);
  if (!walk.Start(padded.view()) || !walk.Value()) {
    EXPECT_NE(walk.fault(), Fault::kNone);
    return walk.fault();
  }
  return walk.AtEnd() ? Fault::kNone : Fault::kGrammar;
}

// Each text alone, and inside other values.
void ExpectFault(Fault fault, const std::vector<std::string>& texts) {
  JsonWalk walk;
  for (const std::string& text : texts) {
    EXPECT_EQ(Walk(walk, text), fault) << text;
    EXPECT_EQ(Walk(walk, " [ " + text + "\n]\t"), fault) << text;
    EXPECT_EQ(Walk(walk, R"({"a":[],"b":)" + text + R"(,"c":{}})"), fault) << text;
  }
}

TEST(JsonWalkTest, TakesWhatIsJson) {
  ExpectFault(Fault::kNone, {"0",
                             "-0",
                             "10",
                             "1.0",
                             "-0.10",
                             "1e5",
                             "1E+05",
                             "0e-0",
                             "1e999",
                             "123456789012345678901234567890",
                             "true",
                             "false",
                             "null",
                             R"("")",
                             R"("\u0000")",
                             R"("\"\\\/\b\f\n\r\t\u00e9\uD83D\uDe00")",
                             "\"\x7F\xC2\x80\xEF\xBF\xBF\"",
                             "\"\xF0\x90\x80\x80\xF4\x8F\xBF\xBF\"",
                             R"("{[:,]}")",
                             "[]",
                             "{}",
                             "[ ]",
                             "{ }",
                             "[1,2 , 3]",
                             R"({"":1,"":2})",
                             R"({ "a" : {"b":[{}]} })",
                             R"(["a","b"])"});
}

TEST(JsonWalkTest, RefusesWhatBreaksTheGrammar) {
  ExpectFault(Fault::kGrammar, {"01",
                                "-",
                                "+1",
                                "1.",
                                ".5",
                                "1e",
                                "1e+",
                                "1e+-1",
                                "-01",
                                "0x1",
                                "1_0",
                                "1 2",
                                "--1",
                                "1.e5",
                                "1..2",
                                "1e5.5",
                                "NaN",
                                "Infinity",
                                "-Infinity",
                                "nan",
                                "tru",
                                "truex",
                                "True",
                                "nulll",
                                "null null",
                                "nu ll",
                                "undefined",
                                "'a'",
                                "\"a\"b",
                                "a\"b\"",
                                "1\"b\"",
                                "\"a\"\"b\"",
                                "\"a\" \"b\"",
                                "true\xC2\xA0",
                                "1\0"s,
                                "\0"s,
                                "\0001"s,
                                "1\f",
                                "\v1",
                                "[1,]",
                                "[,1]",
                                "[,]",
                                "[1,,2]",
                                "[1 2]",
                                "[1:2]",
                                "[1;2]",
                                "[1]]",
                                "{]",
                                "[}",
                                "[[]",
                                "{}}",
                                "]",
                                "}",
                                ":",
                                R"({"a":1,})",
                                R"({,"a":1})",
                                R"({"a" 1})",
                                R"({"a"})",
                                R"({"a":})",
                                R"({"a":"b":1})",
                                R"({"a"::1})",
                                R"({"a":1 "b":2})",
                                R"({"a":1,2})",
                                R"({"a":1,"b"})",
                                "{a:1}",
                                "{'a':1}",
                                "{1:1}",
                                "{null:1}",
                                "{[]:1}",
                                "1/**/",
                                "// a\n1",
                                "{",
                                "[",
                                "[{}",
                                "\\",
                                "\\\"\\\"",
                                "{\"a\"\x1A"
                                "1}",  // 0x1A | 0x20 is a colon: simdjson takes both for signs.
                                "{\"a\":1\f\"b\":2}"});  // 0x0C | 0x20 is a comma.
}

TEST(JsonWalkTest, RefusesBadStrings) {
  ExpectFault(Fault::kEscape,
              {R"("\x")", R"("\a")", R"("\u")", R"("\u12")", R"("\u12g4")", R"("\U0041")",
               R"("\ud800")", R"("\uDBFFa")", R"("\udc00")", R"("\ud800\u0041")", R"("\ud800\n")",
               R"("\ud800\\udc00")", R"("\udc00\ud800")", R"("\ud800\ud800\udc00")", R"("\u+123")",
               R"("\u 123")", R"("\'")", R"({"\ud800":1})"});
  ExpectFault(Fault::kString, {"\"a\nb\"", "\"\0\""s, "\"\x1F\"", "{\"\t\":1}"});
  ExpectFault(Fault::kNoUtf8,
              {"\"\xFF\"", "\"\x80\"", "\"\xC0\xAF\"", "\"\xC1\x81\"", "\"\xE0\x9F\xBF\"",
               "\"\xED\xA0\x80\"", "\"\xF0\x8F\xBF\xBF\"", "\"\xF4\x90\x80\x80\"", "\"\xE2\x82\""});
  JsonWalk walk;
  for (const std::string_view text : {"", " ", "\n\r\t "}) {
    EXPECT_EQ(Walk(walk, text), Fault::kEmpty);
  }
  // Which fault is found first depends on the processor's instructions.
  for (const std::string_view text :
       {"\"a", "a\"", "[\"a]", "[\"a, \"b\"]", "\"\\\xC3\xA9\"", "1\xE2\x82", "\"a\\\""}) {
    EXPECT_NE(Walk(walk, text), Fault::kNone) << text;
  }
}

TEST(JsonWalkTest, CountsLevelsAndPassesOverWhatIsDeeper) {
  JsonWalk walk;
  const std::string open(kMaxJsonDepth, '[');
  const std::string close(kMaxJsonDepth, ']');
  EXPECT_EQ(Walk(walk, open + close), Fault::kNone);
  EXPECT_FALSE(walk.too_deep());
  EXPECT_EQ(Walk(walk, open + "{}, 1" + close), Fault::kNone);
  EXPECT_TRUE(walk.too_deep());
  EXPECT_EQ(Walk(walk, "[1]"), Fault::kNone);
  EXPECT_FALSE(walk.too_deep());
  EXPECT_EQ(Walk(walk, std::string(1'000'000, '[')), Fault::kGrammar);
}

TEST(JsonWalkTest, TellsWhereValuesStand) {
  const PaddedText text(R"( { "a\n" : [ 1 , {} ] , "b":"c" } )");
  JsonWalk walk;
  std::vector<std::pair<std::string, std::string>> fields;
  ASSERT_TRUE(walk.Start(text.view()));
  ASSERT_TRUE(walk.Object([&walk, &fields](std::string_view key) {
    std::string_view value;
    if (!walk.Value(value)) return false;
    fields.emplace_back(key, value);
    return true;
  }));
  EXPECT_TRUE(walk.AtEnd());
  const decltype(fields) expected = {{R"(a\n)", "[ 1 , {} ]"}, {"b", R"("c")"}};
  EXPECT_EQ(fields, expected);
}

TEST(JsonWalkTest, BeginsAnewAfterRelease) {
  JsonWalk walk;
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(Walk(walk, "[1," + std::string(5'000, ' ') + "2]"), Fault::kNone);
    walk.Release();
    EXPECT_TRUE(walk.AtEnd());
  }
}

// What nlohmann::json says of a text, which it reads byte by byte.
struct Verdict : nlohmann::json_sax<nlohmann::json> {
  bool is_json = true;
  bool beyond_double = false;  // It refuses such numbers, JSON does not.

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override { return true; }
  bool key(string_t&) override { return true; }
  bool end_object() override { return true; }
  bool start_array(std::size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(std::size_t, const std::string&,
                   const nlohmann::detail::exception& fault) override {
    is_json = false;
    beyond_double = fault.id == 406;
    return false;
  }
};

std::string Changed(std::string text, std::mt19937_64& random) {
  // No NUL: the other parser takes it for the text's end.
  constexpr std::string_view kCharacters =
      "\"\"\\\\{}[]::,,09-+.eEutrnfalsd8c \n\t\f\x1A\x1F\xC3\xA9\xE2\xED\xF0\xFF";
  for (auto changes = 1 + random() % 3; changes > 0; --changes) {
    const std::size_t at = random() % (text.size() + 1);
    const char c = kCharacters[random() % kCharacters.size()];
    switch (random() % 3) {
      case 0:
        text.insert(at, 1, c);
        break;
      case 1:
        text.erase(at, 1 + random() % 3);
        break;
      default:
        if (at < text.size()) text[at] = c;
    }
  }
  return text;
}

TEST(JsonWalkTest, AnotherParserSaysTheSameOfMutatedTexts) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  const std::string texts[] = {
      R"({"a":10,"q":"a \u00e9\ud83d\ude00 \"b\"","f":[1.5e-7,true,null,{}],"t":false})",
      "[ [\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\",-0.0,{\"a\":[[]]}], 12, \"\\\\\" ] ",
      R"("\u0041\/")",
      "-1.25E+9",
  };
  JsonWalk walk;
  int valid = 0;
  int invalid = 0;
  for (int round = 0; round < 100'000; ++round) {
    const std::string text = Changed(texts[random() % std::size(texts)], random);
    Verdict verdict;
    nlohmann::json::sax_parse(text, &verdict);
    if (verdict.beyond_double) continue;
    ASSERT_EQ(Walk(walk, text) == Fault::kNone, verdict.is_json) << text;
    ++(verdict.is_json ? valid : invalid);
  }
  EXPECT_GT(valid, 10'000);
  EXPECT_GT(invalid, 10'000);
}

TEST(JsonWalkTest, AnotherParserUndoesEscapesAlike) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  constexpr std::string_view kPieces[] = {"\\",      "\\u",     "\\ud83d", "\\ude00", "0",
                                          "00",      "e9",      "n",       "d8",      "\\n",
                                          "\\u0041", "\\u20AC", "g",       "\xC3\xA9"};
  int valid = 0;
  for (int round = 0; round < 100'000; ++round) {
    std::string raw;
    for (auto pieces = random() % 6; pieces > 0; --pieces) {
      raw += kPieces[random() % std::size(kPieces)];
    }
    if (raw.ends_with('\\')) raw += 'n';
    std::string out = "before ";
    const bool good = AppendUnescaped(raw, out);
    const auto string = nlohmann::json::parse('"' + raw + '"', nullptr, false);
    ASSERT_EQ(good, string.is_string()) << raw;
    if (!good) continue;
    ++valid;
    ASSERT_EQ(out, "before " + string.get<std::string>()) << raw;
  }
  EXPECT_GT(valid, 10'000);
}

}  // namespace
}  // namespace sluicegate::wire
