// The simulator's program:
//
//     sluicegate_sim [--seed N] [--episodes N] [--steps N] [--first N] [--only roomy|tight]
//                    [--hammer MILLISECONDS]
//
// Without a seed it takes SLUICEGATE_SEED, or a constant as all tests do; it prints what it took. A
// failure tells how to repeat it.
#include <charconv>
#include <iostream>
#include <map>
#include <optional>
#include <string>

#include "base/seed_for_test.h"
#include "episode.h"
#include "hammer.h"

namespace sluicegate::sim {
namespace {

using Flags = std::map<std::string, std::string>;

std::uint64_t Number(const Flags& flags, const std::string& name, std::uint64_t otherwise) {
  const auto found = flags.find(name);
  if (found == flags.end()) return otherwise;
  std::uint64_t value = 0;
  const std::string& text = found->second;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size()) return value;
  std::cerr << name << " is no number: " << text << "\n";
  std::exit(2);
}

// Every second episode has small tables, unless all shall be of one kind.
bool IsRoomy(const Flags& flags, std::uint64_t episode) {
  const auto only = flags.find("--only");
  return only == flags.end() ? episode % 2 == 0 : only->second == "roomy";
}

void Print(const Tally& tally) {
  std::cout << tally.decisions << " decisions, " << tally.denied << " denied, " << tally.banned
            << " banned; " << tally.reloads << " reloads, " << tally.crashes << " crashes, "
            << tally.give_backs << " given back; " << tally.evictions + tally.evictions_at_limit
            << " evicted, " << tally.evictions_at_limit << " of them at a limit, "
            << tally.forgotten << " forgotten; " << tally.refused << " of " << tally.newcomers
            << " newcomers refused";
}

bool RunEpisodes(const Flags& flags, std::uint64_t seed) {
  Tally tally;
  const std::uint64_t first = Number(flags, "--first", 0);
  const std::uint64_t end = first + Number(flags, "--episodes", 20);
  for (std::uint64_t i = first; i < end; ++i) {
    Episode episode({.seed = seed,
                     .number = i,
                     .roomy = IsRoomy(flags, i),
                     .steps = Number(flags, "--steps", 4000)},
                    tally);
    const auto failure = episode.Run();
    if (!failure) continue;
    std::cout << "failed: " << *failure << "repeat it with: make sim SEED=" << seed << "\n";
    return false;
  }
  Print(tally);
  return true;
}

bool RunHammer(const Flags& flags, std::uint64_t seed) {
  const std::uint64_t milliseconds = Number(flags, "--hammer", 0);
  if (milliseconds == 0) return true;
  HammerTally tally;
  const auto failure =
      Hammer({.seed = seed, .milliseconds = static_cast<unsigned>(milliseconds)}, tally);
  if (failure) {
    std::cout << "\nfailed: with threads, " << *failure << " (not repeatable bit by bit; seed "
              << seed << ")\n";
    return false;
  }
  std::cout << "; threads: " << tally.decisions << " decisions, " << tally.admitted << " admitted, "
            << tally.moved << " met a table on its move, " << tally.reloads << " reloads";
  return true;
}

}  // namespace
}  // namespace sluicegate::sim

int main(int argc, char** argv) {
  using namespace sluicegate;
  sim::Flags flags;
  for (int i = 1; i + 1 < argc; i += 2) flags[argv[i]] = argv[i + 1];
  const std::uint64_t seed = sim::Number(flags, "--seed", SeedForTest());
  std::cout << "seed " << seed << ": " << std::flush;
  if (!sim::RunEpisodes(flags, seed) || !sim::RunHammer(flags, seed)) return 1;
  std::cout << "\n";
}
