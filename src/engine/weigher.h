// Weighs the keys of a bucket by the fullest of their limits. Values over a table's layout, which
// must outlive them. Pure.
#pragma once

#include <algorithm>

#include "policy/layout.h"
#include "table/table.h"

namespace sluicegate::engine {

class LimitWeigher final : public table::Weigher {
 public:
  explicit LimitWeigher(const policy::Layout& layout) noexcept : layout_(layout) {}

  [[nodiscard]] table::Weight Weigh(const std::byte* state, std::uint8_t variant,
                                    Now now) const noexcept override {
    table::Weight weight;
    if (variant >= layout_.variants.size()) return weight;  // In a file may be anything.
    for (const policy::BoundLimit& bound : layout_.variants[variant]) {
      const limit::Load load = bound.limit.LoadOf(state + bound.offset, now);
      weight.used_ppm = std::max(weight.used_ppm, load.used_ppm);
      weight.clears_after_ns = std::max(weight.clears_after_ns, load.clears_after_ns);
      if (load.used_ppm >= table::Weight::kAtLimitPpm) {
        weight.blocked_ns = std::max(weight.blocked_ns, load.clears_after_ns);
      }
    }
    return weight;
  }

 private:
  const policy::Layout& layout_;
};

/// Of leases: a key with one out stays.
class LeaseWeigher final : public table::Weigher {
 public:
  explicit LeaseWeigher(const policy::Layout& layout) noexcept : limits_(layout) {}

  [[nodiscard]] table::Weight Weigh(const std::byte* state, std::uint8_t variant,
                                    Now now) const noexcept override {
    table::Weight weight = limits_.Weigh(state, variant, now);
    weight.used_ppm = weight.clears_after_ns > 0 ? table::Weight::kPinned : 0;
    return weight;
  }

 private:
  LimitWeigher limits_;
};

}  // namespace sluicegate::engine
