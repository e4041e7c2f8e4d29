// Engines on a state file that change their policy: by a start, and by a reload while threads and
// other processes decide.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "engine/attached_for_test.h"

namespace sluicegate::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
namespace fs = std::filesystem;

class SharedStateReload : public StateFolder {};

std::string OfMemory(const std::string& memory, const std::string& terms) {
  return "{state: {memory: " + memory + "}, rules: [{name: api, key: [client], " + terms + "}]}";
}

// No file of the process can get larger meanwhile.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{.rlim_cur = bytes, .rlim_max = before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
  void (*handler_)(int) = nullptr;
};

TEST_F(SharedStateReload, AnotherQuotaOfTheSameLimitGoesOnWithWhatIsThere) {
  {
    Attached here = Attach(Api("limits: [5/day]"));
    for (unsigned i = 0; i < 4; ++i) EXPECT_TRUE(here.Ask().allowed());
  }
  Attached here = Attach(Api("limits: [6/day]"));
  EXPECT_TRUE(here.Ask(1, kNow, 2).allowed());
  EXPECT_FALSE(here.Ask().allowed());
}

// What is in the file says what it is, so nobody has to be there who knows.
TEST_F(SharedStateReload, ARestartWithAnotherPolicyTakesOverWhatIsThere) {
  const std::string before =
      Api("limits: [5/day, {burst: 9, refill: 1/h}, {concurrency: 9, lease: 1h}],"
          "overrides: [{when: {client: 10.0.0.3}, limits: [7/day]}],"
          "penalty: {violations: 3, within: 1m, ban: 1h}");
  {
    Attached here = Attach(before);
    for (unsigned i = 0; i < 3; ++i) EXPECT_TRUE(here.Ask(1).allowed());
    for (unsigned i = 0; i < 12; ++i) (void)here.Ask(2);
    for (unsigned i = 0; i < 6; ++i) EXPECT_TRUE(here.Ask(3).allowed());
  }
  // Another order, another price, a limit more, another lease, another override before it, other
  // penalty terms, another size.
  Attached here =
      Attach(Api("limits: [{burst: 9, refill: 1/2h}, 100/hour, 5/day, {concurrency: 9, lease: 2h}],"
                 "overrides: [{when: {client: 10.0.0.4}, limits: [1/day]},"
                 "            {when: {client: 10.0.0.3}, limits: [7/day, 9/hour]}],"
                 "penalty: {violations: 4, within: 2m, ban: 1h}, memory: 300KiB"));
  EXPECT_THAT(here.lines(), ElementsAre("rule api: limit per-hour counts afresh: no limit of its "
                                        "algorithm and window was there before"));
  EXPECT_EQ(here.Ask(2, After(60)).verdict, Verdict::kBanned);
  EXPECT_TRUE(here.Ask(1).allowed());
  EXPECT_TRUE(here.Ask(1).allowed());
  EXPECT_FALSE(here.Ask(1).allowed());
  EXPECT_TRUE(here.Ask(3).allowed());
  EXPECT_FALSE(here.Ask(3).allowed());
  EXPECT_EQ(here.engine().Statistics(kNow).rules[0].keys_in_flight, 2U);
}

TEST_F(SharedStateReload, ARestartWithDearerUnitsLetsNoEvictedOffenderIn) {
  const auto yaml = [](std::string_view refill) {
    return "{state: {memory: 16KiB}, rules: [{name: api, key: [client], limits: [{burst: 1, "
           "refill: " +
           std::string(refill) + "}]}]}";
  };
  {
    Attached here = Attach(yaml("1/h"));
    for (unsigned i = 0; i < 250; ++i) (void)here.Ask(static_cast<std::uint8_t>(i));
  }
  Attached here = Attach(yaml("1/4h"));
  for (unsigned i = 0; i < 250; ++i) {
    EXPECT_FALSE(here.Ask(static_cast<std::uint8_t>(i), After(2 * 3600)).allowed()) << i;
  }
}

// Others that did not reload go on with theirs.
TEST_F(SharedStateReload, AReloadTakesOverWhatWasCountedAndTheNextOneJoinsIt) {
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

TEST_F(SharedStateReload, ReloadsTakeNoMoreRoomThanTwoPoliciesNeed) {
  Attached here = Attach(Api("limits: [5/day], memory: 512KiB"));
  EXPECT_TRUE(here.Ask().allowed());
  for (unsigned i = 0; i < 60; ++i) {
    (void)here.Publish(Api("limits: [5/day, 9/hour], memory: 512KiB"));
    (void)here.Publish(Api("limits: [5/day], memory: 512KiB"));
  }
  EXPECT_EQ(here.Ask().remaining, 3U);
  EXPECT_LE(fs::file_size(Path()), 3 << 20U);
}

TEST_F(SharedStateReload, ALeaseEndsInAnotherTableAfterAReload) {
  Attached here = Attach(Api("limits: [{concurrency: 1, lease: 1h}]"));
  const Decision held = here.Ask();
  EXPECT_FALSE(here.Ask().allowed());
  (void)here.Publish(Api("limits: [{concurrency: 1, lease: 1h}], memory: 256KiB"));
  EXPECT_FALSE(here.Ask().allowed());
  here.GiveBack(held, kNow);
  EXPECT_TRUE(here.Ask().allowed());
}

// Threads of the process that reloads wait while its tables are copied; also where nothing comes of
// it, as there is no room.
TEST_F(SharedStateReload, NoDecisionOfAProcessFallsBetweenItsTables) {
  constexpr std::uint64_t kQuota = 1'000'000;  // Enough for a dozen reloads.
  constexpr unsigned kThreads = 4;
  const std::vector<std::string> shapes = {
      OfMemory("8MiB", "limits: [1000000/day]"),
      OfMemory("9MiB", "limits: [1000000/day, 9000000/hour]"),
      OfMemory("900MiB", "limits: [1000000/day]"),
      OfMemory("8MiB",
               "limits: [1000000/day], penalty: {violations: 1000000, within: 1m, ban: 1s}")};
  const FileSizeLimit limit(std::size_t{96} << 20U);
  Attached here = Attach(shapes[0]);
  Engine& engine = here.engine();
  std::atomic<std::uint64_t> admitted{0};
  std::atomic<unsigned> reloads{0};
  std::atomic<bool> done{false};
  std::vector<std::jthread> threads;
  for (unsigned t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      Engine::Rulesets::Reader rules(engine.rulesets());
      const Request request{
          .client = IpAddress::V4({192, 0, 2, 1}), .method = "GET", .path = "/", .host = "a"};
      for (unsigned denied = 0; denied < 100;) {
        rules.Refresh();  // As a loop does once a turn.
        const auto decision = engine.Decide(*rules, request, kNow);
        if (!decision) continue;
        if (decision->allowed()) {
          ++admitted;
        } else {
          ++denied;
        }
      }
    });
  }
  threads.emplace_back([&] {
    for (std::size_t i = 1; !done.load(); ++i) {
      reloads += engine.Publish(*config::ParsePolicy(shapes[i % shapes.size()]), kNow) ? 1U : 0U;
    }
  });
  for (unsigned t = 0; t < kThreads; ++t) threads[t].join();
  done.store(true);
  threads.clear();
  EXPECT_GE(admitted.load(), kQuota);
  // At each reload each may have been without a core for 10 ms just when it was to take the lock.
  EXPECT_LE(admitted.load(), kQuota + std::uint64_t{kThreads} * reloads.load());
  // The third one is refused, which nobody loses by.
  EXPECT_FALSE(engine.Publish(*config::ParsePolicy(shapes[2]), kNow).has_value());
  EXPECT_EQ(here.Ask(1).remaining, kQuota - 1);
}

}  // namespace
}  // namespace sluicegate::engine
