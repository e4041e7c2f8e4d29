// Generates policies, and what an operator might make of one before the next reload. Bound to one
// thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "policy_spec.h"
#include "random.h"

namespace sluicegate::sim {

/// What an episode is like.
struct Setting {
  bool roomy = true;             ///< No table is ever full; else all are small.
  std::uint64_t longest_ns = 1;  ///< Windows, periods and leases are at most so long.
};

class Generator {
 public:
  Generator(Random& random, Setting setting) : random_(random), setting_(setting) {}

  [[nodiscard]] PolicySpec Policy();
  /// The policy after a few changes, good or bad.
  [[nodiscard]] PolicySpec Edited(const PolicySpec& policy);

 private:
  [[nodiscard]] RuleSpec Rule();
  [[nodiscard]] std::vector<LimitSpec> Limits();
  [[nodiscard]] LimitSpec Limit(const std::string& name);
  [[nodiscard]] std::uint64_t Quota();
  [[nodiscard]] std::uint64_t Memory();
  [[nodiscard]] WhoSpec Who(bool one);
  [[nodiscard]] PenaltySpec Penalty();
  [[nodiscard]] LimitSpec NewKeys();
  [[nodiscard]] std::vector<CeilingSpec> Ceilings();

  void EditPolicy(PolicySpec& policy);
  void EditRule(RuleSpec& rule);
  void EditLimits(std::vector<LimitSpec>& limits);
  void EditLimit(LimitSpec& limit);
  void EditOverrides(RuleSpec& rule);
  /// Makes a rule one that the compiler takes, as far as its parts go.
  static void Mend(RuleSpec& rule);

  Random& random_;
  const Setting setting_;
  std::uint64_t names_ = 0;
};

// What requests are made of.
inline const std::vector<std::string> kPaths = {"/a", "/b", "/c"};
inline const std::vector<std::string> kHosts = {"a.test", "b.test"};
inline const std::vector<std::string> kUsers = {"ann", "bob", "eve"};

}  // namespace sluicegate::sim
