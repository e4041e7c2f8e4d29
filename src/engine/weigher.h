// Weighs the other keys of a bucket by the fullest of their limits. A value over a rule's limit
// sets, which must outlive it. Pure.
#pragma once

#include <algorithm>
#include <span>

#include "policy/policy.h"
#include "table/table.h"

namespace sluicegate::engine {

class LimitWeigher final : public table::Weigher {
 public:
  explicit LimitWeigher(std::span<const policy::LimitSet> variants) noexcept
      : variants_(variants) {}

  [[nodiscard]] limit::Load Weigh(const std::byte* state, std::uint8_t variant,
                                  Now now) const noexcept override {
    limit::Load fullest;
    for (const policy::RuleLimit& rule_limit : variants_[variant].limits) {
      const limit::Load load = rule_limit.limit.LoadOf(state + rule_limit.offset, now);
      fullest.used_ppm = std::max(fullest.used_ppm, load.used_ppm);
      fullest.clears_after_ns = std::max(fullest.clears_after_ns, load.clears_after_ns);
    }
    return fullest;
  }

 private:
  std::span<const policy::LimitSet> variants_;
};

}  // namespace sluicegate::engine
