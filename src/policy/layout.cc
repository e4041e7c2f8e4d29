#include "policy/layout.h"

#include <algorithm>

namespace sluicegate::policy {

Layout Layout::Lay(std::span<const LimitSet> sets, Of of) {
  Layout layout;
  for (const LimitSet& set : sets) {
    BoundLimits bound;
    std::size_t offset = 0;
    for (std::size_t i = 0; i < set.limits.size(); ++i) {
      const limit::CompiledLimit& limit = set.limits[i].limit;
      if ((limit.algorithm() == Algorithm::kConcurrency) != (of == Of::kLeases)) continue;
      bound.push_back({.limit = limit,
                       .offset = static_cast<std::uint32_t>(offset),
                       .index = static_cast<std::uint32_t>(i)});
      offset += limit.state_bytes();
    }
    layout.variants.push_back(std::move(bound));
    layout.slot_bytes = std::max(layout.slot_bytes, offset);
  }
  return layout;
}

}  // namespace sluicegate::policy
