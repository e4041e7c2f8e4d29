#include "hammer.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "config/load.h"
#include "engine/engine.h"
#include "random.h"

namespace sluicegate::sim {
namespace {

// Times are short, so that a second of real time is many windows.
constexpr std::uint64_t kLagNs = 500'000;  // A reading lies behind by less.
constexpr std::uint64_t kWindowNs = 5'000'000;
constexpr std::uint64_t kWindowQuota = 12;  // The largest that some policy has; so all here.
constexpr std::uint64_t kBurst = 9;
constexpr std::uint64_t kIntervalNs = 200'000;
constexpr std::uint64_t kSecondQuota = 40;
constexpr std::uint64_t kInFlight = 3;
constexpr std::uint64_t kTotal = 4'000'000'000;
constexpr std::size_t kClients = 24;
// The wall clock goes a hundred times as fast, or no second would end.
constexpr std::uint64_t kWallFactor = 100;
constexpr std::uint64_t kWallSecondNs = 1'000'000'000 / kWallFactor;
constexpr std::size_t kMostLogged = 2'000'000;  // A thread stops there.

// Eight ways to write the same limits: memory, order, quotas, and what stands beside them differ,
// so each reload moves some tables. The bounds above hold under all.
std::string PolicyText(unsigned way) {
  const bool small = (way & 1U) != 0;
  const bool tight = (way & 2U) != 0;
  const bool more = (way & 4U) != 0;
  const std::string window =
      "{limit: " + std::to_string(tight ? 7 : kWindowQuota) + "/5ms, name: window}";
  const std::string bucket =
      "{burst: " + std::to_string(tight ? 5 : kBurst) + ", refill: 1/200us, name: bucket}";
  const std::string second = "{limit: 40/second, algorithm: fixed_window, name: second}";
  const std::string other = more ? ", {limit: 50/20ms, name: other}" : "";
  const std::string limits = small ? window + ", " + bucket + ", " + second + other
                                   : second + ", " + bucket + ", " + window + other;
  const std::string penalty = more ? ", penalty: {violations: 200, within: 10ms, ban: 2ms}, "
                                     "overrides: [{when: {user: nobody}, limits: [1/day]}]"
                                   : "";
  const std::string memory = small ? "96KiB" : "200KiB";
  const std::string first = "  - {name: rates, key: [client], memory: " + memory + ", limits: [" +
                            limits + "]" + penalty + "}\n";
  const std::string flight = "  - {name: flight, key: [host], memory: " + memory +
                             ", limits: [{concurrency: " + std::to_string(tight ? 2 : kInFlight) +
                             ", lease: 1000h}]}\n";
  const std::string total = "  - {name: total, key: [], memory: " + memory + ", limits: [" +
                            std::to_string(kTotal) + "/1000h]}\n";
  const std::string sum = "  - {name: sum, key: [path], memory: " + memory + ", limits: [" +
                          std::to_string(kTotal) + "/2000h]}\n";
  const std::string head =
      "state: {memory: 1MiB}\nclients: {identity: {header: x-user-id}}\nrules:\n";
  return head + (more ? total + flight + first + sum : first + sum + flight + total);
}

struct Admission {
  std::uint64_t at_ns = 0;
  std::size_t client = 0;
};

class Run {
 public:
  explicit Run(const HammerOptions& options) : options_(options), readings_(options.threads + 1) {}

  std::optional<std::string> Do(HammerTally& tally);

 private:
  struct Log {
    std::vector<Admission> admissions;
    std::uint64_t decisions = 0;
    std::uint64_t given_back = 0;
    std::uint64_t moved = 0;
  };
  struct alignas(64) Reading {
    std::atomic<std::uint64_t> ns{kNone};
  };
  static constexpr std::uint64_t kNone = ~std::uint64_t{0};

  static Now At(std::uint64_t ns) {
    return {.engine_ns = ns, .unix_ns = static_cast<std::int64_t>(ns * kWallFactor)};
  }
  std::uint64_t Read(std::size_t who);
  void Push(Random& random);
  void Ask(std::size_t thread, Log& log);
  void Reload();
  void Turn(std::size_t thread, engine::Engine::Rulesets::Reader& rules, Random& random, Log& log);
  void Fail(const std::string& what);
  [[nodiscard]] bool Over() const {
    return failed_.load() || std::chrono::steady_clock::now() >= end_;
  }
  void CheckBounds(const std::vector<Log>& logs);
  void CheckTotals(const std::vector<Log>& logs);

  const HammerOptions options_;
  const HashSecret secret_{.k0 = 1, .k1 = 2};
  std::vector<std::shared_ptr<const policy::Policy>> policies_;
  std::unique_ptr<engine::Engine> engine_;
  std::chrono::steady_clock::time_point end_;
  // The clock goes on only as far as the slowest reading allows.
  std::atomic<std::uint64_t> clock_ns_{1'000'000'000'000};
  std::vector<Reading> readings_;  // Of each thread, and of the reload.
  std::array<std::atomic<std::uint64_t>, 2> in_flight_{};
  std::atomic<std::uint64_t> reloads_{0};
  std::atomic<bool> failed_{false};
  std::mutex mu_;
  std::string what_;  // Guarded by mu_.
};

void Run::Fail(const std::string& what) {
  const std::lock_guard lock(mu_);
  if (!failed_.exchange(true)) what_ = what;
}

// A reading is announced before it is used; the clock may have gone on in between, and is read
// again then, so nobody goes by a reading that the clock did not wait for.
std::uint64_t Run::Read(std::size_t who) {
  for (;;) {
    const std::uint64_t now_ns = clock_ns_.load();
    readings_[who].ns.store(now_ns);
    if (clock_ns_.load() == now_ns) return now_ns;
  }
}

// Who would have to wait for a slower one lets it run.
void Run::Push(Random& random) {
  std::uint64_t now_ns = clock_ns_.load();
  const std::uint64_t next_ns = now_ns + random.Magnitude(kLagNs / 2);
  for (const Reading& reading : readings_) {
    const std::uint64_t ns = reading.ns.load();
    if (ns != kNone && next_ns >= ns + kLagNs) return std::this_thread::yield();
  }
  clock_ns_.compare_exchange_strong(now_ns, next_ns);
}

// One request of a thread; it holds what it was admitted for a moment.
void Run::Turn(std::size_t thread, engine::Engine::Rulesets::Reader& rules, Random& random,
               Log& log) {
  static constexpr std::array<std::string_view, 2> kHosts = {"a.test", "b.test"};
  const std::uint64_t now_ns = readings_[thread].ns.load(std::memory_order_relaxed);
  const std::size_t client = random.Below(kClients);
  const std::size_t host = random.Below(kHosts.size());
  const Request request{.client = IpAddress::V4({10, 0, 0, static_cast<std::uint8_t>(client)}),
                        .method = "GET",
                        .path = "/",
                        .host = kHosts[host]};
  engine::Receipt receipt;
  std::optional<Decision> decision = engine_->Decide(*rules, request, At(now_ns), &receipt);
  while (!decision) {
    ++log.moved;
    rules.Refresh();
    decision = engine_->Decide(*rules, request, At(now_ns), &receipt);
  }
  ++log.decisions;
  if (!decision->allowed()) return;
  if (in_flight_[host].fetch_add(1) >= kInFlight) Fail("more requests are in flight than may be");
  log.admissions.push_back({.at_ns = now_ns, .client = client});
  if (random.Percent(20)) std::this_thread::yield();
  in_flight_[host].fetch_sub(1);
  for (std::size_t i = 0; i < receipt.size; ++i) {
    if (receipt.charges[i].lease) engine_->GiveBack(*rules, receipt.charges[i], At(now_ns));
  }
}

void Run::Ask(std::size_t thread, Log& log) {
  Random random(options_.seed * 1000 + thread);
  engine::Engine::Rulesets::Reader rules(engine_->rulesets());
  while (!Over() && log.admissions.size() < kMostLogged) {
    (void)Read(thread);
    if (random.Percent(50)) rules.Refresh();  // A loop may be a turn late.
    for (unsigned i = 0; i < 8; ++i) Turn(thread, rules, random, log);
    Push(random);
  }
  readings_[thread].ns.store(kNone);
}

void Run::Reload() {
  Random random(options_.seed * 1000 + 999);
  const std::size_t who = readings_.size() - 1;
  while (!Over()) {
    const std::uint64_t now_ns = Read(who);
    if (!engine_->Publish(random.OneOf(policies_), At(now_ns))) Fail("a reload was refused");
    readings_[who].ns.store(kNone);
    ++reloads_;
    (void)engine_->Statistics(At(now_ns));
  }
}

// Readings, not the order in which they were decided, are what the bounds are promised on; by so
// much as they lag an interval is shorter.
void Run::CheckBounds(const std::vector<Log>& logs) {
  std::array<std::vector<std::uint64_t>, kClients> all;
  for (const Log& log : logs) {
    for (const Admission& one : log.admissions) all[one.client].push_back(one.at_ns);
  }
  for (std::vector<std::uint64_t>& times : all) {
    std::ranges::sort(times);
    std::size_t begin = 0;
    std::uint64_t level_ns = 0;  // What the bucket owes.
    std::uint64_t in_second = 0;
    for (std::size_t i = 0; i < times.size(); ++i) {
      const std::uint64_t at_ns = times[i];
      while (times[begin] + kWindowNs - kLagNs <= at_ns) ++begin;
      if (i - begin + 1 > kWindowQuota) Fail("a window admitted more than its quota");
      const std::uint64_t passed_ns = i == 0 ? 0 : at_ns - times[i - 1];
      level_ns = (level_ns > passed_ns ? level_ns - passed_ns : 0) + kIntervalNs;
      if (level_ns > kBurst * kIntervalNs + kLagNs) Fail("a bucket admitted more than it holds");
      // At a second's end a reading may be counted in the next.
      const bool same = i > 0 && times[i - 1] / kWallSecondNs == at_ns / kWallSecondNs;
      in_second = same ? in_second + 1 : 1;
      const bool near_end = at_ns % kWallSecondNs >= kWallSecondNs - kLagNs;
      if (!near_end && in_second > kSecondQuota) Fail("a second admitted more than its quota");
    }
  }
}

// Both rules that all requests meet were charged for every admission and for nothing else.
void Run::CheckTotals(const std::vector<Log>& logs) {
  std::uint64_t admitted = 0;
  for (const Log& log : logs) admitted += log.admissions.size();
  const auto rules = engine_->rulesets().Get();
  const Now now = At(clock_ns_.load());
  for (std::size_t i = 0; i < rules->policy().rules().size(); ++i) {
    const policy::Rule& rule = rules->policy().rules()[i];
    if (rule.name() != "total" && rule.name() != "sum") continue;
    const Request request{.client = IpAddress::V4({10, 0, 0, 1}), .method = "GET", .path = "/"};
    const policy::BoundLimit& bound = rule.rates().variants[0][0];
    const table::Cell cell = rules->state(i).table->Lock(rule.HashKey(secret_, request, 0));
    const std::uint64_t remaining = bound.limit.Remaining(cell.state() + bound.offset, now);
    if (kTotal - remaining == admitted) continue;
    Fail("rule " + rule.name() + " was charged " + std::to_string(kTotal - remaining) + " and " +
         std::to_string(admitted) + " were admitted");
  }
}

std::optional<std::string> Run::Do(HammerTally& tally) {
  for (unsigned way = 0; way < 8; ++way) {
    const auto policy = config::ParsePolicy(PolicyText(way));
    if (!policy) return "the policy is refused: " + policy.error().front().what;
    policies_.push_back(*policy);
  }
  auto engine = engine::Engine::Create(policies_.front(), secret_);
  if (!engine) return engine.error();
  engine_ = std::move(*engine);
  end_ = std::chrono::steady_clock::now() + std::chrono::milliseconds(options_.milliseconds);
  std::vector<Log> logs(options_.threads);
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < options_.threads; ++i) {
      threads.emplace_back([this, i, &logs] { Ask(i, logs[i]); });
    }
    threads.emplace_back([this] { Reload(); });
  }
  CheckBounds(logs);
  CheckTotals(logs);
  for (const Log& log : logs) {
    tally.decisions += log.decisions;
    tally.admitted += log.admissions.size();
    tally.moved += log.moved;
  }
  tally.reloads += reloads_;
  if (!failed_) return std::nullopt;
  return what_;
}

}  // namespace

std::optional<std::string> Hammer(const HammerOptions& options, HammerTally& tally) {
  return Run(options).Do(tally);
}

}  // namespace sluicegate::sim
