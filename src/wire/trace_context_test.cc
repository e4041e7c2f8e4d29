#include "wire/trace_context.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace sluicegate::wire {
namespace {

const std::string kTrace = "4bf92f3577b34da6a3ce929d0e0e4736";
const std::string kGood = "00-" + kTrace + "-00f067aa0ba902b7-01";

TEST(TraceContextTest, TheTraceOfAGoodValue) {
  EXPECT_EQ(TraceIdOf(kGood), kTrace);
  EXPECT_EQ(TraceIdOf("00-" + kTrace + "-00f067aa0ba902b7-00"), kTrace);
}

TEST(TraceContextTest, ALaterVersionMayHaveMore) {
  EXPECT_EQ(TraceIdOf("cc-" + kGood.substr(3)), kTrace);
  EXPECT_EQ(TraceIdOf("cc-" + kGood.substr(3) + "-what-comes"), kTrace);
  EXPECT_EQ(TraceIdOf("cc-" + kGood.substr(3) + ".what-comes"), "");
}

TEST(TraceContextTest, EverythingElseHasNone) {
  const std::string zero(32, '0');
  const std::vector<std::string> bad = {
      "",
      kTrace,
      kGood.substr(1),
      kGood.substr(0, kGood.size() - 1),
      kGood + "-",
      kGood + "-more",
      "ff-" + kGood.substr(3),
      "0g-" + kGood.substr(3),
      "00-" + zero + "-00f067aa0ba902b7-01",
      "00-" + kTrace + "-0000000000000000-01",
      "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
      "00-" + kTrace + "-00f067aa0ba902b7-0x",
      "00_" + kTrace + "-00f067aa0ba902b7-01",
      "00-" + kTrace + "_00f067aa0ba902b7-01",
      "00-" + kTrace + "-00f067aa0ba902b7_01",
      "00-4bf92f3577b34da6a3ce929d0e0e473\"-00f067aa0ba902b7-01",
  };
  for (const std::string& value : bad) EXPECT_EQ(TraceIdOf(value), "") << value;
}

TEST(TraceContextTest, OneFieldCountsAndSeveralDoNot) {
  const Field other{.name = "Accept", .value = kGood};
  const Field one{.name = "TraceParent", .value = kGood};
  EXPECT_EQ(FindTraceId(std::vector{other, one}), kTrace);
  EXPECT_EQ(FindTraceId(std::vector{one, other, one}), "");
  EXPECT_EQ(FindTraceId(std::vector{other}), "");
  EXPECT_EQ(FindTraceId({}), "");
}

}  // namespace
}  // namespace sluicegate::wire
