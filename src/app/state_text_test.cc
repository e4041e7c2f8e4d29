// What `state` tells of real files.

#include "app/state_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "app/commands.h"
#include "base/temporary_folder_for_test.h"
#include "config/load.h"
#include "engine/engine.h"

namespace sluicegate::app {
namespace {

using table::StateFile;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

constexpr std::uint64_t kHour = 3'600'000'000'000;

class StateTextTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::string Path() const { return folder_ / "state"; }
  [[nodiscard]] std::unique_ptr<StateFile> Open() const {
    table::Machine machine = table::Machine::Here();
    machine.boottime_ns = 5'000'000'000;
    auto file = StateFile::Open(Path(), machine);
    EXPECT_TRUE(file.has_value()) << file.error();
    return file ? std::move(*file) : nullptr;
  }
  [[nodiscard]] std::string Text() const {
    const auto report = StateFile::Read(Path());
    EXPECT_TRUE(report.has_value()) << report.error();
    return report ? StateText("state", *report) : "";
  }

  TemporaryFolder folder_;
};

void Attach(StateFile& file, std::string_view name, std::uint64_t identity, std::size_t bytes) {
  const auto region = file.Attach(
      {.name = std::string(name), .description = std::to_string(identity), .lasts_ns = kHour},
      bytes, [](const StateFile::Fresh&) { return true; });
  EXPECT_TRUE(region.has_value()) << region.error();
}

TEST_F(StateTextTest, TellsTimeProcessesAndRegions) {
  {
    const auto file = Open();
    ASSERT_NE(file, nullptr);
    Attach(*file, "per-client/rates", 1, 64 << 10);
    Attach(*file, "per-client/bans", 1, 100);
    Attach(*file, "per-client/rates", 2, 1536);
    // 2026-11-26T12:33:35.999Z
    file->Keep({.engine_ns = 1'234'567'890'123, .unix_ns = 1'795'696'415'999'000'000});
    EXPECT_THAT(Text(), HasSubstr("attached     1 process\n"));
  }
  EXPECT_EQ(Text(),
            "state: a state file of version 2, 216.0 KiB, 3 region(s).\n"
            "attached     no process\n"
            "written      since this boot\n"
            "engine time  1,234 s, kept at 2026-11-26T12:33:35Z\n"
            "\n"
            "region               bytes  in use  holds\n"
            "per-client/rates  64.0 KiB          left behind, used by no process\n"
            "per-client/bans      100 B\n"
            "per-client/rates   1.5 KiB\n"
            "\n"
            "What is left behind was another policy's, or is not finished. It goes when no "
            "process\n"
            "uses it and one starts or takes another policy.\n");
  EXPECT_EQ(State(Path()), 0);
}

// Of an engine's own regions, without its policy.
TEST_F(StateTextTest, TellsWhatRegionsHold) {
  const std::string policy =
      "{state: {memory: 1MiB}, rules: [{name: api, key: [client], limits: [5/minute, 9/hour, "
      "{concurrency: 4, lease: 1h}], penalty: {violations: 2, within: 1h, ban: 1h}}]}";
  std::shared_ptr<StateFile> file = std::move(*StateFile::Open(Path()));
  const Now now = file->ClockBy(SystemClock())->Read();
  std::vector<std::string> lines;
  const auto engine = engine::Engine::Attach(*config::ParsePolicy(policy), file, now, lines);
  ASSERT_TRUE(engine.has_value()) << engine.error();
  engine::Receipt receipt;
  for (std::uint8_t client = 1; client <= 20; ++client) {
    const Request request{
        .client = IpAddress::V4({10, 0, 0, client}), .method = "GET", .path = "/", .host = "a"};
    const auto rules = (*engine)->rulesets().Get();
    for (unsigned i = 0; i < client; ++i) {
      (void)(*engine)->Decide(*rules, request, now, &receipt);
    }
  }
  ::testing::internal::CaptureStdout();
  EXPECT_EQ(State(Path()), 0);
  const std::string text = ::testing::internal::GetCapturedStdout();
  EXPECT_THAT(text, HasSubstr("attached     1 process\n"));
  EXPECT_THAT(text, ContainsRegex("api/rates +[0-9.]+ KiB +20 of [0-9,]+  keys: per-minute, "
                                  "per-hour\n"));
  EXPECT_THAT(text, ContainsRegex("api/leases +[0-9.]+ KiB +20 of [0-9,]+  keys: concurrency\n"));
  EXPECT_THAT(text, ContainsRegex("api/bans +[0-9.]+ KiB +16 of [0-9,]+  offenders\n"));
  EXPECT_THAT(text, ContainsRegex("api/sketch +[0-9.]+ KiB +evicted offenders; 0.0000 % of "
                                  "newcomers are refused for them\n"));
}

TEST_F(StateTextTest, AFileWithNothingInItYet) {
  (void)Open();
  EXPECT_THAT(Text(), HasSubstr("engine time  5 s, kept at 20"));
  EXPECT_THAT(Text(), HasSubstr("140.0 KiB, 0 region(s).\n"));
}

TEST_F(StateTextTest, LooksAndLeavesEverythingAsItIs) {
  (void)Open();
  fs::permissions(Path(), fs::perms(0400));
  const auto before = fs::last_write_time(Path());
  EXPECT_EQ(State(Path()), 0);
  EXPECT_EQ(fs::last_write_time(Path()), before);
}

TEST_F(StateTextTest, AFileThatIsNone) {
  EXPECT_EQ(State(Path()), 1);
  EXPECT_FALSE(fs::exists(Path())) << "it was made";
  std::ofstream(Path()) << "a letter to a friend";
  EXPECT_EQ(State(Path()), 1);
  EXPECT_THAT(StateFile::Read(Path()).error(), HasSubstr("it is no state file of Sluicegate"));
}

TEST(StateText, TimesThatNobodyKeptAndNamesThatNobodyGave) {
  table::StateFileReport report{.version = 1, .engine_ns = 1, .regions = {}};
  report.unix_ns = std::numeric_limits<std::int64_t>::min();
  report.regions = {{.name = "\x1B]0;\xFF", .bytes = 1, .description = {}}};
  const std::string text = StateText("state", report);
  EXPECT_THAT(text, HasSubstr("engine time  0 s, kept at 1677-09-21T00:12:43Z\n"));
  EXPECT_THAT(text, HasSubstr("written      before this boot, or on another machine\n"));
  EXPECT_THAT(text, HasSubstr("?]0;?     1 B\n"));
  EXPECT_THAT(text, Not(HasSubstr("left behind")));
}

}  // namespace
}  // namespace sluicegate::app
