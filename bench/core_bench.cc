// How long a decision takes, beside what the memory itself takes. Prints a table; every figure is
// the median of rounds that alternate with their reference, so that a noisy machine hurts both.
//
//   core_bench [million keys, default 10]
#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/load.h"
#include "engine/engine.h"
#include "table/mapping.h"

namespace sluicegate {
namespace {

constexpr unsigned kRounds = 7;
constexpr std::size_t kLine = 64;

double SecondsOf(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double Median(std::vector<double> values) {
  std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2));
  return values[values.size() / 2];
}

// xorshift64*: cheap enough not to show beside a cache miss.
std::uint64_t NextRandom(std::uint64_t& state) {
  state ^= state >> 12U;
  state ^= state << 25U;
  state ^= state >> 27U;
  return state * 0x2545F4914F6CDD1DULL;
}

// Random lines of a memory, each read, changed and written; the next one's address depends on what
// was read, so no two overlap: the latency of the memory.
class DependentLines {
 public:
  explicit DependentLines(std::span<std::byte> memory) : memory_(memory) {}

  void Run(std::uint64_t steps) {
    const std::uint64_t lines = memory_.size() / kLine;
    for (std::uint64_t i = 0; i < steps; ++i) {
      const std::uint64_t random = NextRandom(state_) ^ carry_;
      const auto line =
          static_cast<std::uint64_t>((static_cast<unsigned __int128>(random) * lines) >> 64U);
      std::byte* at = memory_.data() + line * kLine;
      std::uint64_t word = 0;
      std::memcpy(&word, at, sizeof(word));
      ++word;
      std::memcpy(at, &word, sizeof(word));
      carry_ = word << 32U;  // Moves the next address.
    }
  }

 private:
  std::span<std::byte> memory_;
  std::uint64_t state_ = 88172645463325252ULL;
  std::uint64_t carry_ = 0;
};

// An engine under the four default limits, asked for random ones of `keys` users.
class Decisions {
 public:
  Decisions(std::uint64_t keys, std::size_t memory_bytes) : keys_(keys) {
    const std::string yaml =
        "state: {memory: " + std::to_string(memory_bytes) +
        "}\n"
        "clients: {identity: {header: x-user-id}}\n"
        "rules: [{name: default, key: [user], limits: [60/minute, 1000/hour, 10000/day, {burst: "
        "10}]}]\n";
    auto policy = config::ParsePolicy(yaml);
    if (!policy) {
      for (const auto& mistake : policy.error()) std::fprintf(stderr, "%s\n", mistake.what.c_str());
      std::exit(1);
    }
    auto engine = engine::Engine::Create(std::move(*policy), HashSecret::Random());
    if (!engine) {
      std::fprintf(stderr, "%s\n", engine.error().c_str());
      std::exit(1);
    }
    engine_ = std::move(*engine);
    rules_ = engine_->rulesets().Get();
  }

  // `step_ns` of simulated time pass from one decision to the next.
  void Run(std::uint64_t steps, std::uint64_t step_ns) {
    for (std::uint64_t i = 0; i < steps; ++i) {
      Decide(static_cast<std::uint64_t>(
                 (static_cast<unsigned __int128>(NextRandom(random_)) * keys_) >> 64U),
             step_ns);
    }
  }
  void TouchAll() {
    for (std::uint64_t key = 0; key < keys_; ++key) Decide(key, 1);
  }
  [[nodiscard]] std::uint64_t allowed() const { return allowed_; }
  [[nodiscard]] engine::RuleReport report() const { return engine_->Statistics(now_).rules[0]; }

 private:
  void Decide(std::uint64_t key, std::uint64_t step_ns) {
    // 16 bytes, as a user id might be.
    std::array<char, 16> user;
    const std::uint64_t high = key * 0x9E3779B97F4A7C15ULL;
    std::memcpy(user.data(), &key, sizeof(key));
    std::memcpy(user.data() + sizeof(key), &high, sizeof(high));
    now_.engine_ns += step_ns;
    const Request request{.method = "GET",
                          .path = "/",
                          .host = "example.test",
                          .user = std::string_view(user.data(), user.size())};
    allowed_ += engine_->Decide(*rules_, request, now_)->allowed() ? 1U : 0U;
  }

  std::uint64_t keys_;
  std::unique_ptr<engine::Engine> engine_;
  std::shared_ptr<const engine::Ruleset> rules_;
  Now now_{.engine_ns = 1'000'000'000'000, .unix_ns = 0};
  std::uint64_t random_ = 0x853c49e6748fea9bULL;
  std::uint64_t allowed_ = 0;
};

void FewKeys() {
  constexpr std::uint64_t kKeys = 1000;
  constexpr std::uint64_t kSteps = 1'000'000;
  // 10 s a key and round: each is far below its limits; then none at all: each is at its limit.
  for (const auto& [name, step_ns] : {std::pair{"allowed", 10'000'000ULL * 10}, {"denied", 0ULL}}) {
    Decisions decisions(kKeys, std::size_t{16} << 20U);
    decisions.Run(kSteps, step_ns);
    const std::uint64_t before = decisions.allowed();
    std::vector<double> seconds;
    for (unsigned round = 0; round < kRounds; ++round) {
      seconds.push_back(SecondsOf([&] { decisions.Run(kSteps, step_ns); }));
    }
    std::printf("| four default limits, 16-byte key, 1 k keys, %s | %.0f ns | %.0f %% allowed |\n",
                name, Median(seconds) / kSteps * 1e9,
                100.0 * static_cast<double>(decisions.allowed() - before) / (kRounds * kSteps));
  }
}

void ManyKeys(std::uint64_t keys) {
  constexpr std::uint64_t kSteps = 2'000'000;
  constexpr std::uint64_t kStepNs = 10'000;
  constexpr std::size_t kSlotBytes = 134;  // 128 bytes of state and a twelfth of the header line.
  Decisions decisions(keys, keys * 2 * kSlotBytes);
  decisions.TouchAll();
  const engine::RuleReport report = decisions.report();
  auto mapping = table::Mapping::Create(report.bytes);
  if (!mapping) {
    std::fprintf(stderr, "%s\n", mapping.error().c_str());
    std::exit(1);
  }
  DependentLines lines({(*mapping)->data(), (*mapping)->size()});
  std::vector<double> ours;
  std::vector<double> memory;
  std::vector<double> ratios;
  for (unsigned round = 0; round < kRounds; ++round) {
    ours.push_back(SecondsOf([&] { decisions.Run(kSteps, kStepNs); }));
    memory.push_back(SecondsOf([&] { lines.Run(kSteps); }));
    ratios.push_back(ours.back() / memory.back());
  }
  std::printf("| the same, %llu M keys in %.1f GiB (%llu evicted while filling) | %.0f ns | |\n",
              static_cast<unsigned long long>(keys / 1'000'000),
              static_cast<double>(report.bytes) / (1 << 30),
              static_cast<unsigned long long>(report.evictions), Median(ours) / kSteps * 1e9);
  std::printf(
      "| one dependent random cache-line read-modify-write over as much memory | %.0f ns | |\n",
      Median(memory) / kSteps * 1e9);
  std::printf("| **ratio, decision to memory** | **%.2f** | aim: at most 2 |\n", Median(ratios));
}

}  // namespace
}  // namespace sluicegate

int main(int argc, char** argv) {
  const std::uint64_t millions = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 10;
  std::printf("| core | a decision | |\n|---|---|---|\n");
  sluicegate::FewKeys();
  sluicegate::ManyKeys(std::max<std::uint64_t>(millions, 1) * 1'000'000);
  return 0;
}
