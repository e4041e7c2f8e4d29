// Engines of several processes on one state file: one quota for all, over kills and restarts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "base/seed_for_test.h"
#include "base/temporary_folder_for_test.h"
#include "config/load.h"
#include "engine/engine.h"
#include "table/process_for_test.h"
#include "table/state_file.h"

namespace sluicegate::engine {
namespace {

using ::testing::IsEmpty;
using Voice = Process::Voice;
namespace fs = std::filesystem;

constexpr Now kNow{.engine_ns = 1'000'000'000'000, .unix_ns = 1'800'000'000'000'000'000};

Now After(std::uint64_t seconds) {
  return {.engine_ns = kNow.engine_ns + seconds * 1'000'000'000,
          .unix_ns = kNow.unix_ns + static_cast<std::int64_t>(seconds) * 1'000'000'000};
}

std::string Api(const std::string& terms) {
  return "{state: {memory: 1MiB}, rules: [{name: api, key: [client], " + terms + "}]}";
}

// One process' engine.
class Attached {
 public:
  Attached(const std::string& path, const std::string& yaml)
      : file_(std::move(*table::StateFile::Open(path))) {
    auto policy = config::ParsePolicy(yaml);
    EXPECT_TRUE(policy.has_value()) << policy.error()[0].what;
    auto engine = Engine::Attach(*policy, file_, kNow);
    EXPECT_TRUE(engine.has_value()) << engine.error();
    engine_ = std::move(*engine);
  }
  Decision Ask(std::uint8_t client = 1, Now now = kNow, std::uint64_t cost = 1) {
    const Request request{.client = IpAddress::V4({10, 0, 0, client}),
                          .method = "GET",
                          .path = "/",
                          .host = "a",
                          .cost = cost};
    return *engine_->Decide(*engine_->rulesets().Get(), request, now, &receipt_);
  }
  void GiveBack(const Decision& decision, Now now) {
    engine_->GiveBack(*engine_->rulesets().Get(), decision.stamp, now);
  }
  std::vector<std::string> Publish(const std::string& yaml) {
    auto lines = engine_->Publish(*config::ParsePolicy(yaml), kNow);
    EXPECT_TRUE(lines.has_value()) << lines.error();
    return lines.value_or(std::vector<std::string>{});
  }
  [[nodiscard]] Engine& engine() { return *engine_; }

 private:
  std::shared_ptr<table::StateFile> file_;
  std::unique_ptr<Engine> engine_;
  Receipt receipt_;
};

class SharedState : public ::testing::Test {
 protected:
  [[nodiscard]] std::string Path() const { return folder_ / "state"; }
  [[nodiscard]] Attached Attach(const std::string& yaml) const { return {Path(), yaml}; }

  // Asks until it is denied, and says how often it was not.
  Process AskAll(const std::string& yaml) {
    return Process([this, yaml](Voice voice) {
      Attached here(Path(), yaml);
      std::uint64_t admitted = 0;
      while (here.Ask().allowed()) ++admitted;
      voice.Say(admitted + 1);
    });
  }

  TemporaryFolder folder_;
};

TEST_F(SharedState, ProcessesShareOneQuota) {
  const std::string yaml = Api("limits: [50000/day, {burst: 50000, refill: 1/h}]");
  std::vector<Process> processes;
  for (unsigned i = 0; i < 4; ++i) processes.push_back(AskAll(yaml));
  std::uint64_t admitted = 0;
  for (const Process& process : processes) admitted += process.Hear() - 1;
  EXPECT_EQ(admitted, 50'000U);
}

TEST_F(SharedState, ARestartKeepsCountsBansAndWhatIsInFlight) {
  const std::string yaml =
      Api("limits: [5/day, {concurrency: 9, lease: 1h}], penalty: {violations: 3, within: 1m, ban: "
          "1h}");
  {
    Attached here = Attach(yaml);
    for (unsigned i = 0; i < 3; ++i) EXPECT_TRUE(here.Ask(1).allowed());
    for (unsigned i = 0; i < 12; ++i) (void)here.Ask(2);
    EXPECT_EQ(here.Ask(2).verdict, Verdict::kBanned);
  }
  Attached here = Attach(yaml);
  EXPECT_EQ(here.Ask(2, After(60)).verdict, Verdict::kBanned);
  EXPECT_TRUE(here.Ask(1).allowed());
  EXPECT_TRUE(here.Ask(1).allowed());
  EXPECT_FALSE(here.Ask(1).allowed());
  EXPECT_EQ(here.engine().Statistics(kNow).rules[0].keys_in_flight, 2U);
}

TEST_F(SharedState, AnotherQuotaOfTheSameLimitGoesOnWithWhatIsThere) {
  {
    Attached here = Attach(Api("limits: [5/day]"));
    for (unsigned i = 0; i < 4; ++i) EXPECT_TRUE(here.Ask().allowed());
  }
  Attached here = Attach(Api("limits: [6/day]"));
  EXPECT_TRUE(here.Ask(1, kNow, 2).allowed());
  EXPECT_FALSE(here.Ask().allowed());
}

// Others that did not reload go on with theirs.
TEST_F(SharedState, AReloadTakesOverWhatWasCountedAndTheNextOneJoinsIt) {
  Attached one = Attach(Api("limits: [5/day]"));
  Attached other = Attach(Api("limits: [5/day]"));
  for (unsigned i = 0; i < 3; ++i) EXPECT_TRUE(one.Ask().allowed());
  EXPECT_THAT(one.Publish(Api("limits: [5/day, 100/hour]")),
              ::testing::Contains(::testing::HasSubstr("limit per-hour counts afresh")));
  EXPECT_TRUE(other.Ask().allowed());
  EXPECT_TRUE(one.Ask().allowed());
  EXPECT_TRUE(one.Ask().allowed());
  EXPECT_FALSE(one.Ask().allowed());
  (void)other.Publish(Api("limits: [5/day, 100/hour]"));
  EXPECT_FALSE(other.Ask().allowed());
  // And back: from what is newest.
  EXPECT_THAT(one.Publish(Api("limits: [5/day]")), IsEmpty());
  EXPECT_FALSE(one.Ask().allowed());
}

TEST_F(SharedState, ALeaseEndsInAnotherTableAfterAReload) {
  Attached here = Attach(Api("limits: [{concurrency: 1, lease: 1h}]"));
  const Decision held = here.Ask();
  EXPECT_FALSE(here.Ask().allowed());
  (void)here.Publish(Api("limits: [{concurrency: 1, lease: 1h}], memory: 256KiB"));
  EXPECT_FALSE(here.Ask().allowed());
  here.GiveBack(held, kNow);
  EXPECT_TRUE(here.Ask().allowed());
}

TEST_F(SharedState, EvictedOffendersAreRememberedByAll) {
  const std::string yaml =
      "{state: {memory: 16KiB}, rules: [{name: api, key: [client], limits: [1/day]}]}";
  Attached one = Attach(yaml);
  Attached other = Attach(yaml);
  for (unsigned i = 0; i < 250; ++i) (void)one.Ask(static_cast<std::uint8_t>(i));
  for (unsigned i = 0; i < 250; ++i) {
    EXPECT_FALSE(other.Ask(static_cast<std::uint8_t>(i)).allowed()) << i;
  }
}

// A process that is stopped while it holds a lock: its rule says what becomes of the others.
TEST_F(SharedState, WhereAStoppedProcessHoldsALockTheRuleSaysWhatIsAnswered) {
  for (const bool open : {false, true}) {
    const std::string yaml = Api(open ? "limits: [1000/day], fail: open" : "limits: [1000/day]");
    Attached here = Attach(yaml);
    EXPECT_TRUE(here.Ask().allowed());
    Process holder([&](Voice voice) {
      Attached mine(Path(), yaml);
      const Decision decision = mine.Ask();
      const auto rules = mine.engine().rulesets().Get();
      const table::Cell cell = rules->state(0).table->Lock(decision.key_hash);
      voice.Say(1);
      SleepForEver();
    });
    ASSERT_EQ(holder.Hear(), 1U);
    holder.Signal(SIGSTOP);
    const Decision decision = here.Ask();
    EXPECT_EQ(decision.allowed(), open);
    EXPECT_EQ(decision.retry_after_ns, open ? 0U : 1'000'000'000U);
    holder.Kill();
    EXPECT_TRUE(here.Ask().allowed());
    fs::remove(Path());
  }
}

// Kills among four processes, each in the middle of a decision.
TEST_F(SharedState, KillsAtAnyMomentAdmitNobodyTooMuch) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  const std::string yaml = Api("limits: [60000/day, {burst: 60000, refill: 1/h}]");
  constexpr unsigned kKills = 200;
  constexpr std::uint64_t kClients = 100;
  // Anonymous memory that children share.
  void* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  auto* admitted = new (page) std::atomic<std::uint64_t>(0);
  const auto hammer = [&] {
    return Process([&](Voice voice) {
      Attached here(Path(), yaml);
      voice.Say(1);
      for (std::uint64_t refused = 0; refused < 2 * kClients;) {
        for (std::uint64_t client = 0; client < kClients; ++client) {
          const bool allowed = here.Ask(static_cast<std::uint8_t>(client)).allowed();
          if (allowed) admitted->fetch_add(1, std::memory_order_relaxed);
          refused = allowed ? 0 : refused + 1;
        }
      }
    });
  };
  std::vector<Process> processes;
  for (unsigned i = 0; i < 4; ++i) processes.push_back(hammer());
  KillAtRandom(processes, kKills, 2000, random, hammer);
  for (Process& process : processes) EXPECT_EQ(process.Wait(), 0);
  EXPECT_LE(*admitted, kClients * 60'000);
  EXPECT_GE(*admitted, kClients * 60'000 - kKills);
  std::cout << kKills << " kills among 4 engines: " << *admitted << " of " << kClients * 60'000
            << " admitted\n";
  ::munmap(page, 4096);
}

}  // namespace
}  // namespace sluicegate::engine
