#include "app/denial_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace sluicegate::app {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;

constexpr std::uint64_t kSecond = 1'000'000'000;

class Lines {
 public:
  DenialLog::Sink sink() {
    return [this](const std::string& line) {
      const std::lock_guard lock(mu_);
      lines_.push_back(line);
    };
  }
  [[nodiscard]] const std::vector<std::string>& get() const { return lines_; }

 private:
  std::mutex mu_;
  std::vector<std::string> lines_;
};

http::DenialEvent DenialAt(std::uint64_t now_ns) {
  return {.verdict = Verdict::kLimited,
          .rule = "per-client",
          .limit = "burst",
          .key_hash = 0xabc,
          .now = {.engine_ns = now_ns, .unix_ns = 0}};
}

TEST(DenialLogTest, ALineNamesRuleLimitAndAPseudonym) {
  Lines lines;
  DenialLog log(lines.sink());
  log.Note(DenialAt(7 * kSecond));
  log.Note(DenialAt(8 * kSecond));
  EXPECT_THAT(
      lines.get(),
      Each(MatchesRegex("denied: verdict=limited rule=per-client limit=burst client=[0-9a-f]{8}")));
  EXPECT_EQ(lines.get()[0], lines.get()[1]) << "one client has one pseudonym";
  EXPECT_THAT(lines.get()[0], Not(HasSubstr("00000abc"))) << "the hash names a bucket";
  DenialLog other(lines.sink());
  other.Note(DenialAt(9 * kSecond));
  EXPECT_NE(lines.get()[0], lines.get()[2]) << "and another one in another run";
}

TEST(DenialLogTest, ABanHasNoLimit) {
  Lines lines;
  DenialLog log(lines.sink());
  log.Note({.verdict = Verdict::kBanned,
            .rule = "r",
            .limit = {},
            .key_hash = 1,
            .now = {.engine_ns = kSecond, .unix_ns = 0}});
  EXPECT_THAT(lines.get(), ElementsAre(HasSubstr("verdict=banned rule=r limit=- ")));
}

TEST(DenialLogTest, AFloodIsCountedNotWritten) {
  Lines lines;
  DenialLog log(lines.sink());
  for (int i = 0; i < 1000; ++i) log.Note(DenialAt(7 * kSecond + 5));
  EXPECT_EQ(lines.get().size(), DenialLog::kLinesPerSecond);
  log.Flush(8 * kSecond);
  EXPECT_THAT(lines.get().back(), HasSubstr("995 more"));
  log.Flush(9 * kSecond);
  EXPECT_EQ(lines.get().size(), DenialLog::kLinesPerSecond + 1) << "told twice";
}

TEST(DenialLogTest, TheSecondThatRunsIsNotToldYet) {
  Lines lines;
  DenialLog log(lines.sink());
  log.Flush(7 * kSecond);
  EXPECT_THAT(lines.get(), IsEmpty());
  for (int i = 0; i < 7; ++i) log.Note(DenialAt(7 * kSecond));
  log.Flush(7 * kSecond + 999'999'999);
  EXPECT_EQ(lines.get().size(), DenialLog::kLinesPerSecond);
}

TEST(DenialLogTest, AClockThatLagsDoesNotOpenANewSecond) {
  Lines lines;
  DenialLog log(lines.sink());
  for (int i = 0; i < 100; ++i) {
    log.Note(DenialAt(8 * kSecond));
    log.Note(DenialAt(7 * kSecond));
  }
  EXPECT_EQ(lines.get().size(), DenialLog::kLinesPerSecond);
}

TEST(DenialLogTest, ThreadsTogetherStayBelowTheBoundAndLoseNoCount) {
  Lines lines;
  DenialLog log(lines.sink());
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 1000; ++i) log.Note(DenialAt(kSecond));
      });
    }
  }
  log.Flush(2 * kSecond);
  ASSERT_EQ(lines.get().size(), DenialLog::kLinesPerSecond + 1);
  EXPECT_THAT(lines.get().back(), HasSubstr("3995 more"));
}

}  // namespace
}  // namespace sluicegate::app
