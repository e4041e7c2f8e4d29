#include "pipe/line_merger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <sstream>
#include <string>

#include "base/seed_for_test.h"

namespace sluicegate::pipe {
namespace {

std::string TakeReady(LineMerger& merger) {
  std::string ready(merger.ready());
  merger.Consume(ready.size());
  return ready;
}

TEST(LineMergerTest, BytesPassAtOnce) {
  LineMerger merger;
  merger.Pass("a");
  EXPECT_EQ(TakeReady(merger), "a");
  merger.Pass("b\nc");
  EXPECT_EQ(merger.ready(), "b\nc");
  merger.Consume(2);
  EXPECT_EQ(merger.ready(), "c");
}

TEST(LineMergerTest, OurLinesStandBetweenTheOthers) {
  LineMerger merger;
  merger.Insert("1\n");
  merger.Pass("a\n");
  merger.Insert("2\n");
  EXPECT_EQ(TakeReady(merger), "1\na\n2\n");
}

TEST(LineMergerTest, OurLinesWaitForTheEndOfALine) {
  LineMerger merger;
  merger.Pass("a");
  merger.Insert("1\n2\n");
  EXPECT_EQ(merger.waiting(), 4U);
  EXPECT_EQ(TakeReady(merger), "a");
  merger.Pass("b");
  merger.Insert("3\n");
  EXPECT_EQ(TakeReady(merger), "b");
  merger.Pass("\n");
  EXPECT_EQ(TakeReady(merger), "\n1\n2\n3\n");
  EXPECT_EQ(merger.waiting(), 0U);
  merger.Insert("4\n");
  EXPECT_EQ(TakeReady(merger), "4\n");
}

TEST(LineMergerTest, AStreamThatNeverPausesAtAnEndHoldsNothingUp) {
  LineMerger merger;
  merger.Pass("a");
  merger.Insert("1\n");
  merger.Pass("b\nc\nd");
  EXPECT_EQ(TakeReady(merger), "ab\n1\nc\nd");
}

TEST(LineMergerTest, AfterTheOthersEndOursGoOn) {
  LineMerger merger;
  merger.Pass("a");
  merger.Insert("1\n");
  merger.End();
  merger.Insert("2\n");
  EXPECT_EQ(TakeReady(merger), "a\n1\n2\n");
}

TEST(LineMergerTest, AnUnfinishedLastLineStaysAsItIs) {
  LineMerger merger;
  merger.Pass("a");
  merger.End();
  EXPECT_EQ(TakeReady(merger), "a");
  LineMerger late;
  late.Pass("a");
  late.End();
  late.Insert("1\n");
  EXPECT_EQ(TakeReady(late), "a\n1\n");
}

// Whatever the chunks: both streams come through whole, in order, and no line is torn.
TEST(LineMergerTest, RandomChunksLoseAndTearNothing) {
  std::mt19937_64 random(SeedForTest());
  for (int round = 0; round < 200; ++round) {
    LineMerger merger;
    std::string theirs;
    std::string ours;
    std::string merged;
    for (int step = 0; step < 50; ++step) {
      if (random() % 3 == 0) {
        const std::string line = "our " + std::to_string(step) + "\n";
        ours += line;
        merger.Insert(line);
      } else {
        std::string bytes;
        for (std::size_t left = random() % 6; left > 0; --left) bytes += "xy\n"[random() % 3];
        theirs += bytes;
        merger.Pass(bytes);
      }
      const std::size_t taken = random() % (merger.ready().size() + 1);
      merged += merger.ready().substr(0, taken);
      merger.Consume(taken);
    }
    theirs += '\n';
    merger.Pass("\n");
    merged += TakeReady(merger);
    std::string our_part;
    std::string their_part;
    std::istringstream lines(merged);
    for (std::string line; std::getline(lines, line);) {
      (line.starts_with("our ") ? our_part : their_part) += line + "\n";
    }
    ASSERT_EQ(our_part, ours);
    ASSERT_EQ(their_part, theirs);
  }
}

}  // namespace
}  // namespace sluicegate::pipe
