// LimitSetCompiler: a list of limits as it was written -> a LimitSet. Bound to one rule's compile.
#pragma once

#include <optional>
#include <vector>

#include "policy/config.h"
#include "policy/mistakes.h"
#include "policy/rule.h"

namespace sluicegate::policy {

class LimitSetCompiler {
 public:
  /// `cost`: of the rule's requests. A limit below the default cost could never be met; one below
  /// the highest is worth a warning.
  LimitSetCompiler(Mistakes& mistakes, const Cost& cost) : mistakes_(mistakes), cost_(cost) {}

  /// The limits as far as they can be understood. `at` is the place of the whole list.
  [[nodiscard]] LimitSet Compile(const std::vector<LimitConfig>& configs, Position at);

 private:
  std::optional<Limit> ReadLimit(const LimitConfig& config);
  std::optional<Limit> ReadWindow(const LimitConfig& config);
  std::optional<Limit> ReadBurst(const LimitConfig& config);
  std::optional<Limit> ReadConcurrency(const LimitConfig& config);
  void CheckQuota(const limit::CompiledLimit& limit, Position at);
  void WarnOfBigBurst(const LimitSet& set, const std::vector<Position>& places);
  void WarnOfIdleWindows(const LimitSet& set, const std::vector<Position>& places);

  Mistakes& mistakes_;
  const Cost& cost_;
};

}  // namespace sluicegate::policy
