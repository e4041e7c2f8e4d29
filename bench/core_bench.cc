// How long a decision takes, beside what the memory itself takes. Prints tables; every figure is
// the median of rounds that alternate with their reference, so that a noisy machine hurts both.
//
//   core_bench                     the tables
//   core_bench --curve FILE        1 k to 30 M keys, as lines "limits keys memory check many" in ns
//   core_bench --state [FOLDER]    tables in a file against tables in memory
//   core_bench --threads           random keys on 1, 2, 4 ... threads, as many as there are cores
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
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
#include <thread>
#include <vector>

#include "config/load.h"
#include "engine/engine.h"
#include "sluicegate/limiter.h"
#include "table/mapping.h"
#include "table/state_file.h"

namespace sluicegate {
namespace {

constexpr std::size_t kLine = 64;
constexpr std::size_t kBatch = 64;
constexpr std::uint64_t kMillion = 1'000'000;

double SecondsOf(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double Median(std::vector<double> values) {
  std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2));
  return values[values.size() / 2];
}

template <class T>
T OrExit(std::expected<T, std::string> value) {
  if (value) return std::move(*value);
  std::fprintf(stderr, "core_bench: %s\n", value.error().c_str());
  std::exit(1);
}

// xorshift64*: cheap enough not to show beside a cache miss.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ULL + 1) {}
  std::uint64_t Below(std::uint64_t bound) {
    state_ ^= state_ >> 12U;
    state_ ^= state_ << 25U;
    state_ ^= state_ >> 27U;
    const std::uint64_t next = state_ * 0x2545F4914F6CDD1DULL;
    return static_cast<std::uint64_t>((static_cast<unsigned __int128>(next) * bound) >> 64U);
  }

 private:
  std::uint64_t state_;
};

// 16 bytes, as a user's id might be.
struct Key {
  explicit Key(std::uint64_t number = 0) {
    const std::uint64_t high = number * 0x9E3779B97F4A7C15ULL;
    std::memcpy(bytes.data(), &number, sizeof(number));
    std::memcpy(bytes.data() + sizeof(number), &high, sizeof(high));
  }
  [[nodiscard]] std::string_view view() const { return {bytes.data(), bytes.size()}; }
  std::array<char, 16> bytes;
};

// Random lines of a memory, each read, changed and written; the next one's address depends on what
// was read, so no two overlap: the latency of the memory.
class DependentLines {
 public:
  explicit DependentLines(std::size_t bytes) : memory_(OrExit(table::Mapping::Create(bytes))) {}

  void Run(std::uint64_t steps) {
    const std::uint64_t lines = memory_->size() / kLine;
    for (std::uint64_t i = 0; i < steps; ++i) {
      std::byte* at = memory_->data() + (random_.Below(lines) ^ carry_) * kLine;
      std::uint64_t word = 0;
      std::memcpy(&word, at, sizeof(word));
      ++word;
      std::memcpy(at, &word, sizeof(word));
      carry_ = word >> 63U;  // Always 0, which only the memory knows.
    }
  }

 private:
  std::unique_ptr<table::Mapping> memory_;
  Random random_{1};
  std::uint64_t carry_ = 0;
};

// Time that is passed in: no more than two words.
struct PassedClock final : Clock {
  [[nodiscard]] Now Read() const noexcept override { return now; }
  Now now{.engine_ns = 1'000'000'000'000, .unix_ns = 0};
};

struct Limits {
  const char* name;
  std::vector<LimitLike> limits;
  std::size_t slot_bytes;  // A twelfth of a bucket.
};

const Limits kOneBucket{"one token bucket", {Limit::Burst(10, "1/s")}, 16};
const Limits kFourDefaults{
    "four default limits", {"60/minute", "1000/hour", "10000/day", Limit::Burst(10)}, 134};

// A limiter that is asked for random ones of `keys` keys, all of which it holds, at a time that is
// passed in.
class Asked {
 public:
  // `load`: the share of places that are taken. A quarter of the memory is the sketch's.
  Asked(const Limits& limits, std::uint64_t keys, double load) : keys_(keys) {
    const auto bytes =
        static_cast<std::size_t>(static_cast<double>(keys * limits.slot_bytes) / load / 0.75);
    std::vector<Limit> read;
    for (const LimitLike& like : limits.limits) read.push_back(*like.limit());
    limiter_ = std::make_unique<Limiter>(OrExit(Limiter::Create(
        read, {.memory_bytes = std::max<std::size_t>(bytes, 1 << 16), .clock = &clock_})));
    table_bytes_ = bytes / 4 * 3;
    for (std::uint64_t key = 0; key < keys; ++key) {
      clock_.now.engine_ns += 1;
      (void)limiter_->Check(Key(key).view());
    }
  }

  // The seconds that `steps` decisions take, without the choice of their keys. `step` of simulated
  // time pass from one to the next.
  [[nodiscard]] double Check(std::uint64_t steps, Duration step) {
    return ForEachChunk(steps, [&] {
      for (const std::string_view key : views_) {
        clock_.now.engine_ns += static_cast<std::uint64_t>(step.count());
        (void)limiter_->Check(key);
      }
    });
  }
  [[nodiscard]] double CheckMany(std::uint64_t steps, Duration step) {
    return ForEachChunk(steps, [&] {
      for (std::size_t i = 0; i < kChunk; i += kBatch) {
        clock_.now.engine_ns += static_cast<std::uint64_t>(step.count()) * kBatch;
        limiter_->CheckMany(std::span(views_).subspan(i, kBatch), decisions_);
      }
    });
  }
  // Every key's burst.
  void UseUp() {
    clock_.now.engine_ns += 100'000'000'000'000;
    for (std::uint64_t key = 0; key < keys_; ++key) (void)limiter_->Check(Key(key).view(), 10);
  }
  void Wait(std::uint64_t seconds) { clock_.now.engine_ns += seconds * 1'000'000'000; }
  [[nodiscard]] Limiter& limiter() { return *limiter_; }
  [[nodiscard]] std::uint64_t keys() const { return keys_; }
  [[nodiscard]] std::size_t table_bytes() const { return table_bytes_; }

 private:
  static constexpr std::size_t kChunk = 32 * kBatch;  // Of keys: 64 KiB with their views.

  template <class Use>
  double ForEachChunk(std::uint64_t steps, const Use& use) {
    double seconds = 0;
    for (std::uint64_t i = 0; i < steps; i += kChunk) {
      for (std::size_t j = 0; j < kChunk; ++j) {
        chosen_[j] = Key(random_.Below(keys_));
        views_[j] = chosen_[j].view();
      }
      seconds += SecondsOf(use);
    }
    return seconds;
  }

  const std::uint64_t keys_;
  PassedClock clock_;
  std::unique_ptr<Limiter> limiter_;
  std::size_t table_bytes_ = 0;
  Random random_{2};
  std::vector<Key> chosen_ = std::vector<Key>(kChunk);
  std::vector<std::string_view> views_ = std::vector<std::string_view>(kChunk);
  std::array<Decision, kBatch> decisions_;
};

struct Cost {
  double memory_ns = 0;
  double check_ns = 0;
  double many_ns = 0;
  double check_ratio = 0;
  double many_ratio = 0;
};

// So much time passes that nearly all are allowed: each key is asked once in 10 s.
Duration StepOf(std::uint64_t keys) {
  return std::chrono::nanoseconds(10'000'000'000 / static_cast<std::int64_t>(keys) + 1);
}

Cost Measure(Asked& asked, DependentLines& lines, unsigned rounds, std::uint64_t steps) {
  std::array<std::vector<double>, 5> rows;
  const Duration step = StepOf(asked.keys());
  for (unsigned round = 0; round < rounds; ++round) {
    const double per_step = 1e9 / static_cast<double>(steps);
    const double memory = SecondsOf([&] { lines.Run(steps); }) * per_step;
    const double check = asked.Check(steps, step) * per_step;
    const double many = asked.CheckMany(steps, step) * per_step;
    const double values[] = {memory, check, many, check / memory, many / memory};
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i].push_back(values[i]);
  }
  return {.memory_ns = Median(rows[0]),
          .check_ns = Median(rows[1]),
          .many_ns = Median(rows[2]),
          .check_ratio = Median(rows[3]),
          .many_ratio = Median(rows[4])};
}

void PrintCost(const Limits& limits, double check_aim, double many_aim) {
  Asked few(limits, 1000, 0.5);
  DependentLines cache(few.table_bytes());
  const Cost cached = Measure(few, cache, 7, kMillion);
  Asked asked(limits, 10 * kMillion, 0.5);
  DependentLines lines(asked.table_bytes());
  const Cost cost = Measure(asked, lines, 9, 2 * kMillion);
  std::printf("| %s, 1 k keys | %.0f ns | | |\n", limits.name, cached.check_ns);
  std::printf("| %s, 10 M keys in %.2f GiB | %.0f ns | **%.2f** | %.1f |\n", limits.name,
              static_cast<double>(asked.table_bytes()) / (1U << 30U), cost.check_ns,
              cost.check_ratio, check_aim);
  std::printf("| the same, CheckMany of 64 | %.0f ns | **%.2f** | %.1f |\n", cost.many_ns,
              cost.many_ratio, many_aim);
  std::printf(
      "| one dependent random cache-line read-modify-write over as much memory | %.0f ns "
      "| 1 | |\n",
      cost.memory_ns);
  std::fflush(stdout);
}

// Admissions and denials of the same keys in turns: a charge of the whole burst, then no time.
void PrintDenials(const Limits& limits) {
  constexpr std::uint64_t kSteps = kMillion;
  for (const std::uint64_t keys : {std::uint64_t{1000}, 10 * kMillion}) {
    Asked asked(limits, keys, 0.5);
    std::vector<double> ratios;
    std::vector<double> denials;
    for (unsigned round = 0; round < 7; ++round) {
      asked.Wait(200'000);
      const double allowed = asked.Check(kSteps, StepOf(keys));
      asked.UseUp();
      const double denied = asked.Check(kSteps, Duration(0));
      ratios.push_back(denied / allowed);
      denials.push_back(denied / kSteps * 1e9);
    }
    std::printf("| %s, %s keys, denied | %.0f ns | **%.2f** of an admission | 1 |\n", limits.name,
                keys == 1000 ? "1 k" : "10 M", Median(denials), Median(ratios));
    std::fflush(stdout);
  }
}

// Wall time of `work(thread)` on so many threads at once, in seconds.
double SecondsTogether(unsigned threads, const std::function<void(unsigned)>& work) {
  std::atomic<unsigned> ready{0};
  std::atomic<bool> go{false};
  std::vector<std::jthread> all;
  for (unsigned t = 0; t < threads; ++t) {
    all.emplace_back([&, t] {
      ++ready;
      while (!go.load(std::memory_order_acquire)) std::this_thread::yield();
      work(t);
    });
  }
  while (ready.load() < threads) std::this_thread::yield();
  return SecondsOf([&] {
    go.store(true, std::memory_order_release);
    for (std::jthread& thread : all) thread.join();
  });
}

// Decisions a second of random keys, in multiples of one thread's.
double Scaling(Asked& asked, unsigned threads, unsigned rounds) {
  constexpr std::uint64_t kSteps = kMillion;
  const auto ask = [&asked](unsigned thread) {
    Random random(thread + 3);
    for (std::uint64_t i = 0; i < kSteps; ++i) {
      (void)asked.limiter().Check(Key(random.Below(asked.keys())).view());
    }
  };
  std::vector<double> ratios;
  for (unsigned round = 0; round < rounds; ++round) {
    const double one = SecondsTogether(1, ask);
    const double all = SecondsTogether(threads, ask);
    ratios.push_back(threads * one / all);
  }
  return Median(ratios);
}

// A decision on one key that two threads ask for, in contended atomic additions.
double HotKey(const Limits& limits) {
  constexpr std::uint64_t kSteps = 2 * kMillion;
  Asked asked(limits, 1000, 0.5);
  alignas(kLine) std::atomic<std::uint64_t> sum{0};
  std::vector<double> ratios;
  for (unsigned round = 0; round < 9; ++round) {
    const double add = SecondsTogether(2, [&sum](unsigned /*thread*/) {
      for (std::uint64_t i = 0; i < kSteps; ++i) sum.fetch_add(1, std::memory_order_relaxed);
    });
    const double ask = SecondsTogether(2, [&asked](unsigned /*thread*/) {
      const Key key(7);
      for (std::uint64_t i = 0; i < kSteps; ++i) (void)asked.limiter().Check(key.view());
    });
    ratios.push_back(ask / add);
  }
  return Median(ratios);
}

std::shared_ptr<const policy::Policy> FourLimitsOf(std::size_t memory) {
  const auto policy = config::ParsePolicy(
      "state: {memory: " + std::to_string(memory) +
      "}\nclients: {identity: {header: x-user-id}}\n"
      "rules: [{name: default, key: [user], limits: [60/minute, 1000/hour, 10000/day, {burst: "
      "10}]}]\n");
  if (!policy) std::exit(1);
  return *policy;
}

// The whole engine: a policy's rule is matched, the key is made of the request, counters count.
class AskedEngine {
 public:
  AskedEngine(std::unique_ptr<engine::Engine> engine, std::uint64_t keys)
      : engine_(std::move(engine)), rules_(engine_->rulesets().Get()), keys_(keys) {
    for (std::uint64_t key = 0; key < keys; ++key) Decide(key);
  }

  // The seconds that decisions of random keys take.
  [[nodiscard]] double Run(std::uint64_t steps) {
    return SecondsOf([&] {
      for (std::uint64_t i = 0; i < steps; ++i) {
        now_.engine_ns += static_cast<std::uint64_t>(StepOf(keys_).count());
        Decide(random_.Below(keys_));
      }
    });
  }

 private:
  void Decide(std::uint64_t number) {
    const Key key(number);
    const Request request{.method = "GET", .path = "/", .host = "example.test", .user = key.view()};
    (void)engine_->Decide(*rules_, request, now_);
  }

  const std::unique_ptr<engine::Engine> engine_;
  const std::shared_ptr<const engine::Ruleset> rules_;
  const std::uint64_t keys_;
  Random random_{5};
  Now now_{.engine_ns = 1'000'000'000'000, .unix_ns = 0};
};

void PrintEngine(std::uint64_t keys) {
  constexpr std::uint64_t kSteps = kMillion;
  AskedEngine asked(
      OrExit(engine::Engine::Create(FourLimitsOf(keys * 134 * 8 / 3), HashSecret::Random())), keys);
  DependentLines lines(keys * 134 * 2);
  std::vector<double> ratios;
  std::vector<double> times;
  for (unsigned round = 0; round < 7; ++round) {
    const double memory = SecondsOf([&] { lines.Run(kSteps); });
    const double time = asked.Run(kSteps);
    times.push_back(time / kSteps * 1e9);
    ratios.push_back(time / memory);
  }
  std::printf("| the engine under a policy of the four, %s keys | %.0f ns | %.2f | |\n",
              keys == 1000 ? "1 k" : "10 M", Median(times), Median(ratios));
  std::fflush(stdout);
}

// The same with its tables in a file, in turns with one in memory; and how long it takes to attach
// to one that others have made.
void PrintState(const std::string& folder = "/dev/shm") {
  const std::string path = folder + "/sluicegate-bench-" + std::to_string(::getpid());
  const auto attach = [&path](std::size_t memory) {
    std::shared_ptr<table::StateFile> file(OrExit(table::StateFile::Open(path)));
    std::vector<std::string> lines;
    return OrExit(
        engine::Engine::Attach(FourLimitsOf(memory), std::move(file), {.engine_ns = 1}, lines));
  };
  std::printf("\n| state in a file (%s) | | aim: at most |\n|---|---|---|\n", folder.c_str());
  for (const std::uint64_t keys : {std::uint64_t{1000}, kMillion}) {
    const std::size_t bytes = keys * 134 * 8 / 3;
    AskedEngine in_memory(OrExit(engine::Engine::Create(FourLimitsOf(bytes), HashSecret::Random())),
                          keys);
    AskedEngine in_file(attach(bytes), keys);
    std::vector<double> ratios;
    for (unsigned round = 0; round < 9; ++round) {
      const double memory = in_memory.Run(kMillion);
      ratios.push_back(in_file.Run(kMillion) / memory);
    }
    std::printf(
        "| the engine, four limits, %s keys: a decision to one in memory | **%.2f** | 1.1 |\n",
        keys == 1000 ? "1 k" : "1 M", Median(ratios));
    ::unlink(path.c_str());
  }
  constexpr std::size_t kGiB = std::size_t{1} << 30U;
  (void)attach(kGiB);
  const double seconds = SecondsOf([&] { (void)attach(kGiB); });
  std::printf("| attaching to a file of 1 GiB | **%.2f s** | 1 s |\n", seconds);
  ::unlink(path.c_str());
}

void PrintTables() {
  std::printf("| core, one thread | a decision | to the memory | aim: at most |\n");
  std::printf("|---|---|---|---|\n");
  PrintCost(kOneBucket, 1.0, 0.2);
  PrintCost(kFourDefaults, 1.5, 0.6);
  PrintEngine(1000);
  PrintEngine(10 * kMillion);
  PrintDenials(kOneBucket);
  PrintDenials(kFourDefaults);
  std::printf("\n| core, two threads | | aim |\n|---|---|---|\n");
  for (const Limits* limits : {&kOneBucket, &kFourDefaults}) {
    Asked asked(*limits, 10 * kMillion, 0.5);
    std::printf("| %s, 10 M keys, random: to one thread | **%.2f** | at least 1.8 |\n",
                limits->name, Scaling(asked, 2, 7));
  }
  std::printf("| one hot key, %s: to a contended atomic addition | **%.2f** | at most 3 |\n",
              kOneBucket.name, HotKey(kOneBucket));
  std::printf("| one hot key, %s: to a contended atomic addition | **%.2f** | at most 3 |\n",
              kFourDefaults.name, HotKey(kFourDefaults));
  PrintState();
}

void PrintThreads() {
  std::printf("| threads |");
  const unsigned cores = std::max(std::thread::hardware_concurrency(), 1U);
  for (unsigned threads = 1; threads <= cores; threads *= 2) std::printf(" %u |", threads);
  std::printf("\n");
  for (const Limits* limits : {&kOneBucket, &kFourDefaults}) {
    Asked asked(*limits, 10 * kMillion, 0.5);
    std::printf("| %s, 10 M keys |", limits->name);
    for (unsigned threads = 1; threads <= cores; threads *= 2) {
      std::printf(" %.2f |", Scaling(asked, threads, 5));
      std::fflush(stdout);
    }
    std::printf("\n");
  }
}

int WriteCurve(const char* path) {
  std::FILE* file = std::fopen(path, "w");
  if (file == nullptr) {
    std::fprintf(stderr, "core_bench: cannot write %s: %s. Name a file in a folder that exists.\n",
                 path, std::strerror(errno));
    return 1;
  }
  constexpr std::uint64_t kKeys[] = {1'000,   3'000,     10'000,    30'000,     100'000,
                                     300'000, 1'000'000, 3'000'000, 10'000'000, 30'000'000};
  for (const Limits* limits : {&kOneBucket, &kFourDefaults}) {
    for (const std::uint64_t keys : kKeys) {
      std::fprintf(stderr, "\rcurve: %s, %llu keys          ", limits->name,
                   static_cast<unsigned long long>(keys));
      Asked asked(*limits, keys, 0.5);
      DependentLines lines(std::max<std::size_t>(asked.table_bytes(), kLine));
      const Cost cost = Measure(asked, lines, 3, kMillion);
      std::fprintf(file, "%s\t%llu\t%.1f\t%.1f\t%.1f\n", limits->name,
                   static_cast<unsigned long long>(keys), cost.memory_ns, cost.check_ns,
                   cost.many_ns);
    }
  }
  std::fprintf(stderr, "\n");
  return std::fclose(file) == 0 ? 0 : 1;
}

}  // namespace
}  // namespace sluicegate

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  if (what == "--curve" && argc == 3) return sluicegate::WriteCurve(argv[2]);
  if (what == "--state") {
    sluicegate::PrintState(argc > 2 ? argv[2] : "/dev/shm");
  } else if (what == "--threads") {
    sluicegate::PrintThreads();
  } else if (what.empty()) {
    sluicegate::PrintTables();
  } else {
    std::fprintf(stderr, "usage: core_bench [--curve FILE | --state [FOLDER] | --threads]\n");
    return 2;
  }
  return 0;
}
