// LimitSetCompiler: a list of limits as it was written -> a LimitSet. Bound to one rule's compile.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "policy/config.h"
#include "policy/mistakes.h"
#include "policy/rule.h"

namespace sluicegate::policy {

class LimitSetCompiler {
 public:
  /// `most_cost`: units that one request of the rule can take; a limit below it could never be met.
  LimitSetCompiler(Mistakes& mistakes, std::uint64_t most_cost)
      : mistakes_(mistakes), most_cost_(most_cost) {}

  /// The limits as far as they can be understood. `at` is the place of the whole list.
  [[nodiscard]] LimitSet Compile(const std::vector<LimitConfig>& configs, Position at);

 private:
  std::optional<Limit> ReadLimit(const LimitConfig& config);
  std::optional<Limit> ReadWindow(const LimitConfig& config);
  std::optional<Limit> ReadBurst(const LimitConfig& config);
  void CheckQuota(const limit::CompiledLimit& limit, Position at);
  void WarnOfBigBurst(const std::vector<Limit>& limits, const std::vector<Position>& places);

  Mistakes& mistakes_;
  const std::uint64_t most_cost_;
};

}  // namespace sluicegate::policy
