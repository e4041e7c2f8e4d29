// Replays every target's corpus, and mutations of it, without libFuzzer: what fuzzing found once
// stays mended, with every compiler and sanitizer that runs the unit tests.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "base/seed_for_test.h"
#include "fuzz_target.h"

#define SG_FUZZ(name) extern "C" int sg_fuzz_##name(const std::uint8_t* data, std::size_t size);
#include "fuzz_targets.inc"
#undef SG_FUZZ

namespace sluicegate::fuzz {
namespace {

namespace fs = std::filesystem;

// Of each file; some ten thousand in all, which take a second without sanitizers.
constexpr unsigned kMutations = 300;
constexpr unsigned kMaxSteps = 4;  // Changes that make one mutation.

struct Target {
  const char* name;
  int (*run)(const std::uint8_t* data, std::size_t size);
};

constexpr auto kTargets = std::to_array<Target>({
#define SG_FUZZ(name) {#name, sg_fuzz_##name},
#include "fuzz_targets.inc"
#undef SG_FUZZ
});

void PrintTo(const Target& target, std::ostream* out) { *out << target.name; }

struct Input {
  std::string file;
  std::string bytes;
};

std::vector<Input> Corpus(std::string_view target) {
  std::vector<Input> inputs;
  for (const auto& entry : fs::directory_iterator(fs::path(SLUICEGATE_FUZZ_CORPUS) / target)) {
    std::ifstream file(entry.path(), std::ios::binary);
    inputs.push_back({.file = entry.path().filename(),
                      .bytes = std::string(std::istreambuf_iterator<char>(file), {})});
  }
  std::ranges::sort(inputs, {}, &Input::file);
  return inputs;
}

// Changes texts at random. The same seed makes the same changes.
class Mutator {
 public:
  Mutator(std::uint64_t seed, const std::vector<Input>& corpus) : random_(seed), corpus_(corpus) {}

  std::string Mutate(std::string bytes) {
    for (auto steps = 1 + Below(kMaxSteps); steps > 0; --steps) Step(bytes);
    bytes.resize(std::min(bytes.size(), kMaxInputBytes));
    return bytes;
  }

 private:
  std::size_t Below(std::size_t bound) { return static_cast<std::size_t>(random_() % bound); }

  char Character() {
    constexpr std::string_view kTelling("\0\t\n\r \"#%&'*+,-./0159:;=?@[\\]_{|}~\x7F\x80\xC3\xFF",
                                        38);
    return Below(4) == 0 ? static_cast<char>(Below(256)) : kTelling[Below(kTelling.size())];
  }

  std::string Piece(const std::string& bytes) {
    const std::size_t at = Below(bytes.size() + 1);
    return bytes.substr(at, Below(std::size_t{32}) + 1);
  }

  void Step(std::string& bytes) {
    const std::size_t at = Below(bytes.size() + 1);
    switch (Below(6)) {
      case 0:
        bytes.insert(at, 1, Character());
        break;
      case 1:
        bytes.erase(at, 1 + Below(std::size_t{8}));
        break;
      case 2:
        if (at < bytes.size()) bytes[at] = Character();
        break;
      case 3:
        bytes.insert(at, Piece(bytes));
        break;
      case 4:
        bytes.insert(at, Piece(corpus_[Below(corpus_.size())].bytes));
        break;
      default:
        if (Below(4) == 0) bytes.resize(at);
        break;
    }
  }

  std::mt19937_64 random_;
  const std::vector<Input>& corpus_;
};

class FuzzRegressionTest : public testing::TestWithParam<Target> {
 protected:
  // The failure's text, with where the input was left; nothing if all holds.
  static std::optional<std::string> Run(const std::string& bytes) {
    const Target& target = GetParam();
    try {
      target.run(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
      return std::nullopt;
    } catch (const Broken& broken) {
      const std::string path = testing::TempDir() + "fuzz_" + target.name + "_input";
      std::ofstream(path, std::ios::binary) << bytes;
      return std::string(broken.where.file_name()) + ":" + std::to_string(broken.where.line()) +
             ": this does not hold; repeat it with build/fuzz/fuzz/fuzz_" + target.name + " " +
             path;
    }
  }
};

TEST_P(FuzzRegressionTest, TheCorpusHolds) {
  const std::vector<Input> corpus = Corpus(GetParam().name);
  EXPECT_FALSE(corpus.empty());
  for (const Input& input : corpus) {
    const auto failure = Run(input.bytes);
    EXPECT_FALSE(failure) << input.file << ": " << *failure;
  }
}

TEST_P(FuzzRegressionTest, MutationsOfItHold) {
  const std::uint64_t seed = SeedForTest();
  const std::vector<Input> corpus = Corpus(GetParam().name);
  for (const Input& input : corpus) {
    // Printed before, as a sanitizer's report ends the program.
    std::cout << "SLUICEGATE_SEED=" << seed << " " << input.file << std::endl;
    Mutator mutator(seed, corpus);
    for (unsigned i = 0; i < kMutations; ++i) {
      const auto failure = Run(mutator.Mutate(input.bytes));
      ASSERT_FALSE(failure) << "mutation " << i << " of " << input.file
                            << ", SLUICEGATE_SEED=" << seed << ": " << *failure;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Fuzz, FuzzRegressionTest, testing::ValuesIn(kTargets),
                         [](const auto& target) { return std::string(target.param.name); });

TEST(FuzzCorpusTest, EveryFolderBelongsToATarget) {
  constexpr std::string_view kLeftOut = SLUICEGATE_FUZZ_LEFT_OUT;  // A package is missing.
  for (const auto& entry : fs::directory_iterator(SLUICEGATE_FUZZ_CORPUS)) {
    if (kLeftOut.contains(entry.path().filename().string())) continue;
    EXPECT_NE(std::ranges::find(kTargets, entry.path().filename(), &Target::name), kTargets.end())
        << entry.path() << " has no target";
  }
}

}  // namespace
}  // namespace sluicegate::fuzz
