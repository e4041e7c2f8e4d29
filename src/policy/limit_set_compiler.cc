#include "policy/limit_set_compiler.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "policy/values.h"
#include "policy/words.h"

namespace sluicegate::policy {
namespace {

constexpr std::uint64_t kWeekNs = std::uint64_t{7} * 24 * 3600 * 1'000'000'000;

constexpr std::array<std::string_view, 3> kAlgorithms = {"sliding_window", "token_bucket",
                                                         "fixed_window"};

}  // namespace

std::optional<Limit> LimitSetCompiler::ReadWindow(const LimitConfig& config) {
  std::string algorithm = config.algorithm ? config.algorithm->value : "sliding_window";
  if (std::ranges::find(kAlgorithms, algorithm) == kAlgorithms.end()) {
    mistakes_.Add(config.algorithm->at, "No algorithm is called " + Quoted(algorithm) + ".",
                  Suggest(algorithm, kAlgorithms));
    algorithm = "sliding_window";
  }
  auto limit = algorithm == "fixed_window" ? Limit::ParseFixedWindow(config.limit->value)
                                           : Limit::Parse(config.limit->value);
  if (!limit) {
    mistakes_.AddSentence(config.limit->at, limit.error());
    return std::nullopt;
  }
  if (algorithm == "token_bucket") {
    limit->algorithm = Algorithm::kTokenBucket;
    limit->refill = limit->quota;
  }
  return *limit;
}

std::optional<Limit> LimitSetCompiler::ReadBurst(const LimitConfig& config) {
  if (config.algorithm && config.algorithm->value != "token_bucket") {
    mistakes_.Add(config.algorithm->at, "A burst is a token bucket.", "Leave the algorithm out.");
  }
  const auto capacity = ReadNumber(*config.burst, "The burst", 1, 1'000'000'000'000, mistakes_);
  if (!capacity) return std::nullopt;
  Limit limit = Limit::Burst(*capacity, config.refill ? config.refill->value : std::string_view());
  // An empty text is no refill for Limit::Burst; here it is one that somebody forgot to write.
  const bool forgotten = config.refill && config.refill->value.empty();
  if (limit.window >= Duration::zero() && !forgotten) return limit;
  mistakes_.Add(config.refill->at,
                "The refill " + Quoted(config.refill->value) + " cannot be read.",
                "Write units per time, like 1/s or 100/5min.");
  return std::nullopt;
}

std::optional<Limit> LimitSetCompiler::ReadConcurrency(const LimitConfig& config) {
  constexpr Duration kDefaultLease = std::chrono::seconds(60);
  if (config.algorithm)
    mistakes_.Add(config.algorithm->at, "Concurrency has no algorithm.", "Leave it out.");
  const auto most = ReadNumber(*config.concurrency, "concurrency", 1, 0xFFFF'FFFF, mistakes_);
  const auto lease = config.lease ? ReadDuration(*config.lease, "lease", mistakes_) : kDefaultLease;
  if (!most || !lease) return std::nullopt;
  return Limit{.algorithm = Algorithm::kConcurrency, .quota = *most, .window = *lease, .name = {}};
}

std::optional<Limit> LimitSetCompiler::ReadLimit(const LimitConfig& config) {
  const int kinds = (config.limit ? 1 : 0) + (config.burst ? 1 : 0) + (config.concurrency ? 1 : 0);
  if (kinds != 1) {
    mistakes_.Add(config.at, "A limit is one of limit, burst and concurrency.",
                  "Write 60/minute, {limit: 60/minute, name: x}, {burst: 10, refill: 1/s} or "
                  "{concurrency: 20}.");
    return std::nullopt;
  }
  if (config.lease && !config.concurrency)
    mistakes_.Add(config.lease->at, "Only concurrency has a lease.", "Leave it out.");
  if (config.refill && !config.burst) {
    mistakes_.Add(config.refill->at, "Only a burst has a refill.",
                  "Write {burst: 10, refill: 1/s}.");
  }
  auto limit = config.concurrency ? ReadConcurrency(config)
               : config.burst     ? ReadBurst(config)
                                  : ReadWindow(config);
  if (limit && config.name && CheckName(*config.name, "The limit's name", mistakes_)) {
    limit->name = config.name->value;
  }
  return limit;
}

void LimitSetCompiler::CheckQuota(const limit::CompiledLimit& limit, Position at) {
  const std::string quota = std::to_string(limit.quota());
  if (cost_.fallback > limit.quota()) {
    mistakes_.Add(at,
                  "A request costs " + std::to_string(cost_.fallback) +
                      " units, more than this limit ever has (" + quota + ").",
                  "Write a higher limit or a lower cost.");
  } else if (cost_.max > limit.quota()) {
    mistakes_.Warn(at,
                   "A request may cost " + std::to_string(cost_.max) +
                       " units, more than this limit ever has (" + quota +
                       "), and is always refused then.",
                   "Write a higher limit, or a max of at most " + quota + ".");
  }
}

void LimitSetCompiler::WarnOfBigBurst(const LimitSet& set, const std::vector<Position>& places) {
  if (set.limits.size() != places.size()) return;  // One is a mistake: nobody is warned.
  const limit::CompiledLimit* shortest = nullptr;
  for (const RuleLimit& one : set.limits) {
    const Algorithm algorithm = one.limit.algorithm();
    if (algorithm != Algorithm::kSlidingWindow && algorithm != Algorithm::kFixedWindow) continue;
    if (shortest == nullptr || one.limit.window_ns() < shortest->window_ns()) shortest = &one.limit;
  }
  for (std::size_t i = 0; shortest != nullptr && i < places.size(); ++i) {
    const limit::CompiledLimit& limit = set.limits[i].limit;
    if (limit.algorithm() != Algorithm::kTokenBucket || limit.quota() <= shortest->quota())
      continue;
    const std::string quota = std::to_string(shortest->quota());
    mistakes_.Warn(
        places[i],
        "This burst is above the shortest window's " + quota + ", so that window ends it first.",
        "Write a burst of at most " + quota + ".");
  }
}

void LimitSetCompiler::WarnOfIdleWindows(const LimitSet& set, const std::vector<Position>& places) {
  if (set.limits.size() != places.size()) return;
  // No interval has more than a longer one that it lies in. Of two that are alike one counts.
  const auto outdone = [](const limit::CompiledLimit& limit, const limit::CompiledLimit& other) {
    return other.algorithm() == Algorithm::kSlidingWindow &&
           other.window_ns() >= limit.window_ns() && other.quota() <= limit.quota();
  };
  for (std::size_t i = 0; i < places.size(); ++i) {
    const limit::CompiledLimit& limit = set.limits[i].limit;
    const Algorithm algorithm = limit.algorithm();
    // A month and a year of the calendar may be longer than their window says.
    const bool fixed = algorithm == Algorithm::kFixedWindow && limit.window_ns() <= kWeekNs;
    if (algorithm != Algorithm::kSlidingWindow && !fixed) continue;
    for (std::size_t j = 0; j < places.size(); ++j) {
      const limit::CompiledLimit& other = set.limits[j].limit;
      if (i == j || !outdone(limit, other) || (j > i && outdone(other, limit))) continue;
      mistakes_.Warn(places[i],
                     "This limit is never reached: " + set.limits[j].name + " has " +
                         std::to_string(other.quota()) + " in as long a time or a longer one.",
                     "Leave it out, or write fewer.");
      break;
    }
  }
}

LimitSet LimitSetCompiler::Compile(const std::vector<LimitConfig>& configs, Position at) {
  LimitSet set;
  if (configs.empty()) mistakes_.Add(at, "There are no limits here.", "Write limits: [60/minute].");
  if (configs.size() > kMaxLimitsPerRule) {
    mistakes_.Add(configs[kMaxLimitsPerRule].at, "A rule has at most 8 limits.",
                  "Make a second rule of some.");
    return set;
  }
  std::vector<Limit> limits;
  std::vector<Position> places;
  for (const LimitConfig& config : configs) {
    auto limit = ReadLimit(config);
    if (!limit) continue;
    limits.push_back(std::move(*limit));
    places.push_back(config.at);
  }
  // A window that could not be read is told already; a bucket must not be blamed for it.
  const bool refilled = limit::ResolveRefills(limits);
  for (std::size_t i = 0; i < limits.size(); ++i) {
    Limit& limit = limits[i];
    const bool without = limit.algorithm == Algorithm::kTokenBucket && limit.refill == 0;
    if (without && !refilled && limits.size() < configs.size()) continue;
    auto compiled = limit::CompiledLimit::Compile(limit);
    if (!compiled) {
      mistakes_.AddSentence(places[i], compiled.error());
      continue;
    }
    CheckQuota(*compiled, places[i]);
    if (limit.name.empty()) limit.name = limit::DefaultName(limit);
    if (std::ranges::find(set.limits, limit.name, &RuleLimit::name) != set.limits.end()) {
      mistakes_.Add(places[i], "Two limits here are called " + limit.name + ".",
                    "Give one a name: {limit: 60/minute, name: other}.");
    }
    set.limits.push_back({.limit = *compiled, .name = limit.name, .written = limit});
  }
  WarnOfBigBurst(set, places);
  WarnOfIdleWindows(set, places);
  return set;
}

}  // namespace sluicegate::policy
