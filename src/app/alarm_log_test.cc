#include "app/alarm_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "config/load.h"
#include "engine/engine.h"

namespace sluicegate::app {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::uint64_t kSecond = 1'000'000'000;

class AlarmLogTest : public ::testing::Test {
 protected:
  void Look(const std::vector<engine::RuleReport>& rules, std::uint64_t at_s) {
    lines_.clear();
    log_.Look(rules, at_s * kSecond);
  }

  void LookAtStateFile(std::uint64_t stuck, std::uint64_t at_s) {
    lines_.clear();
    log_.LookAtStateFile("/dev/shm/state", stuck, at_s * kSecond);
  }

  std::vector<std::string> lines_;
  AlarmLog log_{[this](const std::string& line) { lines_.push_back(line); }};
};

engine::RuleReport Rule(const std::string& name, std::uint64_t forgotten) {
  engine::RuleReport rule;
  rule.rule = name;
  rule.forgotten = forgotten;
  return rule;
}

TEST_F(AlarmLogTest, WhereNothingIsLostNothingIsTold) {
  engine::RuleReport busy = Rule("r", 0);
  busy.evictions = busy.evictions_at_limit = busy.blocked = busy.network_for_key = 1000;
  Look({busy}, 1);
  EXPECT_THAT(lines_, IsEmpty());
}

TEST_F(AlarmLogTest, ALineNamesTheRuleAndWhatItLost) {
  engine::RuleReport rule = Rule("per-client", 12);
  Look({rule}, 1);
  EXPECT_THAT(lines_,
              ElementsAre("memory: rule per-client has too little: 12 offender(s) forgotten"));
  rule.forgotten = 13;
  rule.network_for_lease = 7;
  rule.bans_refused = 3;
  Look({rule}, 100);
  EXPECT_THAT(lines_,
              ElementsAre("memory: rule per-client has too little: 1 offender(s) forgotten, 7 "
                          "request(s) in flight without a place, 3 violation(s) without a place"));
}

TEST_F(AlarmLogTest, ASketchThatRefusesTwoInAHundredIsTold) {
  engine::RuleReport rule = Rule("r", 0);
  rule.sketch_refused_ppm = 19'999;
  Look({rule}, 1);
  EXPECT_THAT(lines_, IsEmpty());
  rule.sketch_refused_ppm = 999'999;
  Look({rule}, 2);
  EXPECT_THAT(lines_, ElementsAre("memory: rule r has too little: 99 % of newcomers refused"));
  Look({rule}, 3);
  EXPECT_THAT(lines_, IsEmpty());
}

TEST_F(AlarmLogTest, ARuleHasOneLineAMinuteAndNothingIsLeftOut) {
  Look({Rule("a", 1), Rule("b", 0)}, 10);
  EXPECT_THAT(lines_, SizeIs(1));
  for (std::uint64_t second = 11; second < 70; ++second) {
    Look({Rule("a", second), Rule("b", 0)}, second);
    EXPECT_THAT(lines_, IsEmpty()) << second;
  }
  Look({Rule("a", 100), Rule("b", 5)}, 70);
  EXPECT_THAT(lines_, ElementsAre("memory: rule a has too little: 99 offender(s) forgotten",
                                  "memory: rule b has too little: 5 offender(s) forgotten"));
  Look({Rule("a", 100), Rule("b", 5)}, 200);
  EXPECT_THAT(lines_, IsEmpty()) << "told twice";
}

TEST_F(AlarmLogTest, ACountThatAReloadTookAwayIsNoLoss) {
  Look({Rule("a", 50)}, 10);
  Look({Rule("a", 20)}, 100);
  EXPECT_THAT(lines_, IsEmpty());
  Look({Rule("a", 21)}, 101);
  EXPECT_THAT(lines_, ElementsAre("memory: rule a has too little: 1 offender(s) forgotten"));
}

TEST_F(AlarmLogTest, TheEnginesCountsAreWhatItLooksAt) {
  const auto policy = config::ParsePolicy(
      "state: {memory: 1MiB, sketch: 0}\n"
      "rules: [{name: r, key: [client], memory: 64KiB, limits: [1/hour]}]");
  ASSERT_TRUE(policy.has_value());
  const auto engine = engine::Engine::Create(*policy, HashSecret{});
  ASSERT_TRUE(engine.has_value());
  const auto rules = (*engine)->rulesets().Get();
  constexpr Now kNow{.engine_ns = kSecond, .unix_ns = 0};
  for (std::uint8_t high = 0; high < 100; ++high) {
    for (std::uint8_t low = 0; low < 100; ++low) {
      const Request request{.client = IpAddress::V4({10, 0, high, low}), .path = "/"};
      ASSERT_TRUE((*engine)->Decide(*rules, request, kNow).has_value());
    }
  }
  const std::vector<engine::RuleReport> counts = (*engine)->Counts({});
  ASSERT_THAT(counts, SizeIs(1));
  EXPECT_EQ(counts[0].forgotten, (*engine)->Statistics(kNow).rules[0].forgotten);
  EXPECT_EQ(counts[0].tracked_keys, 0U) << "nothing is estimated";
  Look(counts, 1);
  EXPECT_THAT(lines_, ElementsAre("memory: rule r has too little: " +
                                  std::to_string(counts[0].forgotten) + " offender(s) forgotten"));
}

TEST_F(AlarmLogTest, ARuleThatComesBackCountsAnew) {
  Look({Rule("a", 50)}, 10);
  Look({}, 11);
  Look({Rule("a", 2)}, 12);
  EXPECT_THAT(lines_, ElementsAre("memory: rule a has too little: 2 offender(s) forgotten"));
}

TEST_F(AlarmLogTest, AStateFileThatAStoppedProcessHoldsHasOneLineAMinute) {
  LookAtStateFile(0, 10);
  EXPECT_THAT(lines_, IsEmpty());
  LookAtStateFile(3, 11);
  EXPECT_THAT(lines_, ElementsAre("state: a process that is attached to /dev/shm/state is stopped "
                                  "or starved: 3 time(s) a lock was not to be had. Requests that "
                                  "need it are answered as their rule's fail says; let that "
                                  "process go on, or end it"));
  for (std::uint64_t second = 12; second < 71; ++second) {
    LookAtStateFile(second, second);
    EXPECT_THAT(lines_, IsEmpty()) << second;
  }
  LookAtStateFile(100, 71);
  EXPECT_THAT(lines_, ElementsAre(HasSubstr(": 97 time(s) a lock was not to be had")));
  LookAtStateFile(100, 200);
  EXPECT_THAT(lines_, IsEmpty()) << "told twice";
}

// Each has a minute of its own.
TEST_F(AlarmLogTest, AStateFilesLineKeepsNoRuleQuiet) {
  LookAtStateFile(1, 10);
  Look({Rule("a", 1)}, 10);
  EXPECT_THAT(lines_, SizeIs(1));
  LookAtStateFile(2, 70);
  EXPECT_THAT(lines_, SizeIs(1));
}

}  // namespace
}  // namespace sluicegate::app
