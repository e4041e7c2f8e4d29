// Engines of several processes on one state file: one quota for all, over kills and restarts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <iostream>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/seed_for_test.h"
#include "engine/attached_for_test.h"
#include "table/process_for_test.h"

namespace sluicegate::engine {
namespace {

using Voice = Process::Voice;
namespace fs = std::filesystem;

class SharedState : public StateFolder {
 protected:
  // Asks until it is denied, and says how often it was not.
  Process AskAll(const std::string& yaml) {
    return Process([this, yaml](Voice voice) {
      Attached here(Path(), yaml);
      std::uint64_t admitted = 0;
      while (here.Ask().allowed()) ++admitted;
      voice.Say(admitted + 1);
    });
  }

  // Asks for the test: hears client, engine time and wall time, and says what was answered.
  Process AnswerAt(const std::string& yaml) {
    return Process([this, yaml](Voice voice) {
      Attached here(Path(), yaml);
      while (const std::uint64_t client = voice.Hear()) {
        const Now now{.engine_ns = voice.Hear(),
                      .unix_ns = static_cast<std::int64_t>(voice.Hear())};
        const Answer answer = AnswerOf(here.Ask(static_cast<std::uint8_t>(client), now));
        for (const std::uint64_t word : answer) voice.Say(word);
      }
    });
  }
  // Verdict, limit, and all its numbers.
  using Answer = std::array<std::uint64_t, 6>;
  static Answer AnswerOf(const Decision& decision) {
    return {static_cast<std::uint64_t>(decision.verdict),
            decision.limit,
            decision.remaining,
            decision.hold_ns,
            decision.reset_after_ns,
            decision.retry_after_ns};
  }
  static Answer AskAt(const Process& process, std::uint8_t client, Now now) {
    process.Say(client);
    process.Say(now.engine_ns);
    process.Say(static_cast<std::uint64_t>(now.unix_ns));
    Answer answer{};
    for (std::uint64_t& word : answer) word = process.Hear();
    return answer;
  }
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

constexpr std::int64_t kHourNs = 3'600'000'000'000;

// Two processes whose wall clocks are set by an hour, forth and back, each for itself. An engine
// whose wall clock stands still gives the same answers.
TEST_F(SharedState, StepsOfTheWallClockMoveNeitherWindowsNorBucketsNorBans) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  const std::string yaml =
      Api("limits: [20/minute, {burst: 5, refill: 1/s}], penalty: {violations: 9, within: 1m, "
          "ban: 1m}");
  const std::array processes = {AnswerAt(yaml), AnswerAt(yaml)};
  std::array<std::int64_t, 2> steps_ns = {0, kHourNs};
  Attached still(folder_ / "still", yaml);
  std::array<unsigned, 3> verdicts{};
  Now now = kNow;
  constexpr unsigned kRequests = 5000;
  for (unsigned i = 0; i < kRequests; ++i) {
    // Mostly less than a second, and once in a while a day, which ends all that runs.
    now.engine_ns += random() % 128 == 0 ? 24 * kHourNs : random() % 800'000'000;
    const std::size_t process = random() % 2;
    if (random() % 4 == 0) {
      steps_ns[process] = (static_cast<std::int64_t>(random() % 3) - 1) * kHourNs;
    }
    const auto client = static_cast<std::uint8_t>(1 + random() % 2);
    const Answer expected = AnswerOf(still.Ask(client, now));
    now.unix_ns = kNow.unix_ns + steps_ns[process];
    ASSERT_EQ(AskAt(processes[process], client, now), expected) << "request " << i;
    now.unix_ns = kNow.unix_ns;
    ++verdicts.at(expected[0]);
  }
  for (const unsigned verdict : verdicts) EXPECT_GT(verdict, kRequests / 20);
  std::cout << "of " << kRequests << " requests " << verdicts[0] << " admitted, " << verdicts[1]
            << " limited, " << verdicts[2] << " banned, the same as without steps\n";
}

// A window that is open stays so until wall time has reached its end, whoever's: so a step back
// gives nobody anything, and one forth only what the calendar's next windows hold.
TEST_F(SharedState, InAFixedWindowNobodyGainsByAClockThatIsSetForthAndBack) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  constexpr std::uint64_t kQuota = 10;
  const std::string yaml = Api("limits: [{limit: 10/hour, algorithm: fixed_window}]");
  const std::array processes = {AnswerAt(yaml), AnswerAt(yaml)};
  std::array<std::int64_t, 2> steps_ns = {0, 0};
  std::int64_t end_ns = 0;  // Of the last window that was begun.
  std::uint64_t windows = 0;
  std::uint64_t total = 0;
  Now now = kNow;
  constexpr unsigned kTurns = 500;
  for (unsigned turn = 0; turn < kTurns; ++turn) {
    const std::uint64_t passed_ns = random() % (kHourNs / 6);
    now.engine_ns += passed_ns;
    now.unix_ns += static_cast<std::int64_t>(passed_ns);
    const std::size_t process = random() % 2;
    steps_ns[process] = (static_cast<std::int64_t>(random() % 3) - 1) * kHourNs;
    const Now there{.engine_ns = now.engine_ns, .unix_ns = now.unix_ns + steps_ns[process]};
    std::uint64_t admitted = 0;
    Answer answer = AskAt(processes[process], 1, there);
    for (; answer[0] == 0 && admitted <= kQuota; answer = AskAt(processes[process], 1, there)) {
      ++admitted;
    }
    const bool begins = there.unix_ns >= end_ns;
    if (begins) end_ns = (there.unix_ns / kHourNs + 1) * kHourNs;
    ASSERT_EQ(admitted, begins ? kQuota : 0) << "turn " << turn;
    ASSERT_EQ(answer[5], static_cast<std::uint64_t>(end_ns - there.unix_ns)) << "turn " << turn;
    windows += begins ? 1 : 0;
    total += admitted;
  }
  // Of each hour at most one, the two that the clocks were ahead and behind included.
  const auto hours = static_cast<std::uint64_t>((now.unix_ns - kNow.unix_ns) / kHourNs);
  EXPECT_LE(windows, hours + 3);
  EXPECT_GE(windows, hours / 2);
  std::cout << "in " << hours << " hours and " << kTurns << " steps of the clock " << total
            << " admitted, in " << windows << " windows of " << kQuota << "\n";
}

// Kills among four processes, each in the middle of a decision.
TEST_F(SharedState, KillsAtAnyMomentAdmitNobodyTooMuch) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  const std::string yaml = Api("limits: [60000/day, {burst: 60000, refill: 1/h}]");
  constexpr unsigned kKills = 200;
  constexpr std::uint64_t kClients = 100;
  const SharedWithChildren<std::atomic<std::uint64_t>> admitted;
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
}

constexpr unsigned kPlaces = 32;

// What processes with requests in flight tell one another.
struct InFlight {
  std::atomic<std::uint64_t> engine_ns;
  // Counted up after a request came in, and down before it is over.
  std::atomic<std::uint64_t> now;
  std::atomic<std::uint64_t> most;
  std::atomic<std::uint64_t> admitted;
  std::atomic<std::uint64_t> denied;
};

// Begins and ends requests at random for ever, up to twelve at a time.
void KeepSomeInFlight(Attached& here, InFlight& shared, std::uint64_t seed) {
  constexpr std::size_t kMost = 12;
  std::mt19937_64 random(seed);
  std::vector<Stamp> held;
  for (;;) {
    const Now now{.engine_ns = shared.engine_ns, .unix_ns = kNow.unix_ns};
    if (held.empty() || (held.size() < kMost && random() % 2 == 0)) {
      const Decision decision = here.Ask(1, now);
      if (!decision.allowed()) {
        ++shared.denied;
        continue;
      }
      const std::uint64_t count = ++shared.now;
      for (std::uint64_t most = shared.most;
           most < count && !shared.most.compare_exchange_weak(most, count);) {
      }
      ++shared.admitted;
      held.push_back(decision.stamp);
    } else {
      std::swap(held[random() % held.size()], held.back());
      --shared.now;
      here.engine().GiveBack(*here.engine().rulesets().Get(), held.back(), now);
      held.pop_back();
    }
  }
}

// How many places are free: takes them all, and gives them back.
unsigned CountFree(Attached& here, Now now) {
  std::vector<Decision> taken;
  for (Decision decision = here.Ask(1, now); decision.allowed(); decision = here.Ask(1, now)) {
    taken.push_back(decision);
  }
  for (const Decision& decision : taken) here.GiveBack(decision, now);
  return static_cast<unsigned>(taken.size());
}

// Time goes on by half a slice with each kill, so no lease runs out while a round lasts: the count
// is of the dead as well. A process may die between its lease and the count, so each of them may
// hold a place more than was counted, and none less.
TEST_F(SharedState, KillsOfProcessesWithRequestsInFlightNeverLeaveMoreThanThePlaces) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  const std::string yaml = Api("limits: [{concurrency: 32, lease: 30s}]");
  constexpr unsigned kRounds = 25;
  constexpr unsigned kProcesses = 4;
  constexpr unsigned kKills = 4;  // And all four at the end of a round.
  const SharedWithChildren<InFlight> shared;
  const auto start = [&] {
    return Process([&, own = random()](Voice voice) {
      Attached mine(Path(), yaml);
      voice.Say(1);
      KeepSomeInFlight(mine, *shared, own);
    });
  };
  Attached here = Attach(yaml);
  std::uint64_t left_behind = 0;
  std::uint64_t uncounted = 0;
  for (unsigned round = 0; round < kRounds; ++round) {
    const std::uint64_t first_s = round * 100;
    std::uint64_t last_s = first_s;
    shared->engine_ns = After(first_s).engine_ns;
    shared->now = 0;
    std::vector<Process> processes;
    for (unsigned i = 0; i < kProcesses; ++i) processes.push_back(start());
    KillAtRandom(processes, kKills, 3000, random, [&] {
      shared->engine_ns = After(++last_s).engine_ns;
      return start();
    });
    processes.clear();
    ASSERT_LE(shared->most, kPlaces);
    const unsigned held = kPlaces - CountFree(here, After(last_s));
    ASSERT_GE(held, shared->now);
    left_behind += held;
    uncounted += held - shared->now;
    // All of them last 30 s from when they were taken, and at most a slice of 2 s longer.
    EXPECT_EQ(kPlaces - CountFree(here, After(first_s + 29)), held);
    EXPECT_EQ(CountFree(here, After(last_s + 33)), kPlaces);
  }
  EXPECT_GT(left_behind, kRounds);
  EXPECT_LE(uncounted, kRounds * (kKills + kProcesses));
  EXPECT_GT(shared->denied, 0U);
  std::cout << kRounds * (kKills + kProcesses) << " kills among 4 processes, " << shared->admitted
            << " requests in flight and " << shared->denied << " denied: at most " << shared->most
            << " of " << kPlaces << " at once, " << left_behind << " leases left to run out, "
            << uncounted << " of them of who died before it counted them\n";
}

}  // namespace
}  // namespace sluicegate::engine
