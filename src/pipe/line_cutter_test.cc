#include "pipe/line_cutter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/seed_for_test.h"

namespace sluicegate::pipe {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::size_t kPadding = 64;

// What is whole by now; "-" for a line that was too long. Reads the padding, for ASan.
void TakeAll(LineCutter& cutter, std::vector<std::string>& lines) {
  while (const auto line = cutter.Next()) {
    lines.emplace_back(line->too_long ? "-" : line->text);
    if (line->too_long) continue;
    EXPECT_EQ(std::string(line->text.data() + line->text.size(), kPadding).size(), kPadding);
  }
}

std::vector<std::string> Cut(LineCutter& cutter, std::string_view bytes) {
  std::vector<std::string> lines;
  cutter.Add(bytes);
  TakeAll(cutter, lines);
  return lines;
}

std::vector<std::string> CutAtEnd(LineCutter& cutter) {
  std::vector<std::string> lines;
  if (const auto line = cutter.Last()) lines.emplace_back(line->too_long ? "-" : line->text);
  EXPECT_FALSE(cutter.Last());
  return lines;
}

TEST(LineCutterTest, LinesKeepTheirEnds) {
  LineCutter cutter(100, kPadding);
  EXPECT_THAT(Cut(cutter, "a\nbc\r\n\n\nd"), ElementsAre("a\n", "bc\r\n", "\n", "\n"));
  EXPECT_THAT(Cut(cutter, "e\n"), ElementsAre("de\n"));
  EXPECT_THAT(CutAtEnd(cutter), IsEmpty());
}

TEST(LineCutterTest, WhatHasNoEndWaitsForTheStreams) {
  LineCutter cutter(100, kPadding);
  EXPECT_THAT(Cut(cutter, "ab"), IsEmpty());
  EXPECT_THAT(Cut(cutter, ""), IsEmpty());
  EXPECT_THAT(Cut(cutter, "c"), IsEmpty());
  EXPECT_THAT(CutAtEnd(cutter), ElementsAre("abc"));
}

TEST(LineCutterTest, ALineThatIsTooLongIsSkippedAlone) {
  LineCutter cutter(4, kPadding);
  EXPECT_THAT(Cut(cutter, "abc\nabcd\nabc\n"), ElementsAre("abc\n", "-", "abc\n"));
  EXPECT_THAT(Cut(cutter, "abc"), IsEmpty());
  EXPECT_THAT(Cut(cutter, "\nab"), ElementsAre("abc\n"));
  EXPECT_THAT(Cut(cutter, "cde"), IsEmpty());
  EXPECT_THAT(Cut(cutter, "f"), IsEmpty());
  EXPECT_THAT(Cut(cutter, "\nx\n"), ElementsAre("-", "x\n"));
  EXPECT_THAT(Cut(cutter, "abcde"), IsEmpty());
  EXPECT_THAT(CutAtEnd(cutter), ElementsAre("-"));
}

TEST(LineCutterTest, ALongLineBetweenShortOnes) {
  LineCutter cutter(std::size_t{8} << 20U, kPadding);
  const std::string big(std::size_t{5} << 20U, 'x');
  EXPECT_THAT(Cut(cutter, "a\n" + big.substr(1)), ElementsAre("a\n"));
  EXPECT_EQ(Cut(cutter, "x\nb\nc"), (std::vector<std::string>{big + "\n", "b\n"}));
  EXPECT_THAT(Cut(cutter, "\n"), ElementsAre("c\n"));
  EXPECT_THAT(Cut(cutter, "d\n"), ElementsAre("d\n"));
}

TEST(LineCutterTest, EachWayToSendItGivesTheSameLines) {
  std::mt19937_64 random(SeedForTest());
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (std::size_t left = random() % 400; left > 0; --left) text += "ab\n"[random() % 3];
    LineCutter whole(5, kPadding);
    std::vector<std::string> expected = Cut(whole, text);
    for (std::string& line : CutAtEnd(whole)) expected.push_back(std::move(line));

    LineCutter pieces(5, kPadding);
    std::vector<std::string> got;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t size = 1 + random() % 9;
      pieces.Add(std::string_view(text).substr(at, size));
      at += size;
      if (random() % 2 == 0) TakeAll(pieces, got);
    }
    TakeAll(pieces, got);
    for (std::string& line : CutAtEnd(pieces)) got.push_back(std::move(line));
    ASSERT_EQ(got, expected) << text;
  }
}

}  // namespace
}  // namespace sluicegate::pipe
