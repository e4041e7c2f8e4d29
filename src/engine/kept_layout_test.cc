// KeptLayout: what is written of a table is what is read of it, for every algorithm; and what
// cannot have been written is left out.
#include "engine/kept_layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "config/load.h"

namespace sluicegate::engine {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

std::shared_ptr<const policy::Policy> PolicyOf(const std::string& terms) {
  auto policy = config::ParsePolicy("{rules: [{name: api, key: [client], " + terms + "}]}");
  EXPECT_TRUE(policy.has_value()) << policy.error()[0].what;
  return *policy;
}

TEST(KeptLayout, IsReadAsItWasWritten) {
  const auto policy = PolicyOf(
      "limits: [60/minute, {burst: 10, refill: 1/s}, 100000/hour, {limit: 9/month, algorithm: "
      "fixed_window}], overrides: [{when: {user: acme}, limits: [5/minute]}]");
  const policy::Rule& rule = policy->rules()[0];
  const KeptLayout kept = KeptLayout::Of("rates", rule, rule.rates());
  const std::string text = kept.Text();
  EXPECT_EQ(text, "slot " + std::to_string(kept.slot_bytes) +
                      " rates\nset 0\n"
                      "limit 0 sliding_window 60000000000 per-minute\n"
                      "limit 40 token_bucket 1000000000 burst\n"
                      "limit 48 sliding_window_32 3600000000000 per-hour\n"
                      "limit 120 fixed_window 5 per-month\n"
                      "set " +
                      std::to_string(rule.OverrideHash(0)) +
                      "\n"
                      "limit 0 sliding_window 60000000000 per-minute\n");
  const std::vector<KeptLayout> read = KeptLayout::Read(text);
  ASSERT_THAT(read, SizeIs(1));
  EXPECT_EQ(read[0].Text(), text);
  EXPECT_EQ(read[0].shape(), kept.shape());
  for (std::size_t set = 0; set < kept.sets.size(); ++set) {
    for (std::size_t i = 0; i < kept.sets[set].limits.size(); ++i) {
      EXPECT_TRUE(read[0].sets[set].limits[i].limit.SharesState(kept.sets[set].limits[i].limit));
    }
  }
}

TEST(KeptLayout, AnotherQuotaIsNoOtherTable) {
  const auto text = [](const std::string& limits) {
    const auto policy = PolicyOf("limits: " + limits);
    return KeptLayout::Of("rates", policy->rules()[0], policy->rules()[0].rates()).Text();
  };
  EXPECT_EQ(text("[60/minute]"), text("[70/minute]"));
  EXPECT_NE(text("[60/minute]"), text("[60/hour]"));
  EXPECT_NE(text("[60/minute]"), text("[100000/minute]")) << "counters of another width";
  EXPECT_EQ(text("[{burst: 5, refill: 1/s}]"), text("[{burst: 9, refill: 1/s}]"));
  EXPECT_NE(text("[{burst: 5, refill: 1/s}]"), text("[{burst: 5, refill: 2/s}]"));
}

TEST(KeptLayout, WhatNobodyWroteIsLeftOut) {
  for (const std::string_view bad :
       {"", "slot", "slot 80 rates\n", "slot 0 rates\nset 0\n", "slot 81 rates\nset 0\n",
        "slot 656 rates\nset 0\n", "set 0\nlimit 0 token_bucket 1000 a\n",
        "slot 8 rates\nset 0\nlimit 8 token_bucket 1000 a\n",
        "slot 8 rates\nset 0\nlimit 4 token_bucket 1000 a\n",
        "slot 8 rates\nset 0\nlimit 0 token_bucket 0 a\n",
        "slot 8 rates\nset 0\nlimit 0 token_bucket 9223372036854775808 a\n",
        "slot 16 rates\nset 0\nlimit 0 fixed_window 7 a\n",
        "slot 8 rates\nset 0\nlimit 0 sliding_window 1000 a\n",
        "slot 8 rates\nset 0\nlimit 0 leaky_bucket 1000 a\n",
        "slot 8 rates\nset 0\nlimit 0 token_bucket 1000\nlimits\n", "bans 1000\n"}) {
    EXPECT_THAT(KeptLayout::Read(bad), IsEmpty()) << bad;
  }
  // The others stay.
  const auto read = KeptLayout::Read(
      "sketch\nslot 8 rates\nset 0\nlimit 0 token_bucket 1000 a\nslot 7 x\nset 0\nslot 8 "
      "ceiling/56\nset 0\nlimit 0 token_bucket 1000 two words\n");
  ASSERT_THAT(read, SizeIs(2));
  EXPECT_EQ(read[1].part, "ceiling/56");
  EXPECT_EQ(read[1].sets[0].limits[0].name, "two words");
}

}  // namespace
}  // namespace sluicegate::engine
