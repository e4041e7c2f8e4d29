// What a reload does to the states of a rule whose layout changed: each limit that goes on takes
// what was counted on it. Values over two rules, which must outlive them. Pure but for what they
// write.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "limit/saturating.h"
#include "policy/rule.h"
#include "table/table.h"

namespace sluicegate::engine {

/// A rule and what one of its tables holds.
struct RuleLayout {
  const policy::Rule& rule;
  const policy::Layout& layout;
};

class LayoutMover final : public table::Mover {
 public:
  LayoutMover(const RuleLayout& before, const RuleLayout& after);

  [[nodiscard]] bool Move(const std::byte* old_state, std::uint8_t old_variant, std::byte* state,
                          std::uint8_t& variant, Now now) const noexcept override;

  /// Whether the bytes of both mean the same, so that nothing needs to move.
  [[nodiscard]] bool same() const noexcept { return same_; }
  /// Whether a stamp of before may still be given back: every limit goes on, at the same price.
  [[nodiscard]] bool keeps_stamps() const noexcept { return keeps_stamps_; }
  /// Of the leases whose length changes the shortest before; kMaxU64: none changes.
  [[nodiscard]] std::uint64_t shortest_lease_ns() const noexcept { return shortest_lease_ns_; }
  /// What a unit costs now to what it cost, of the bucket where that rose the most; no rise: 1
  /// to 1.
  struct Rise {
    std::uint64_t now_ns = 1;
    std::uint64_t before_ns = 1;
    std::uint64_t full_ns = 0;  ///< What the slowest risen bucket takes to fill.
  };
  [[nodiscard]] const Rise& rise() const noexcept { return rise_; }
  /// Names of limits that begin with nothing, in limit sets that were there before.
  [[nodiscard]] const std::vector<std::string>& afresh() const noexcept { return afresh_; }

 private:
  struct Pair {
    const policy::BoundLimit* from = nullptr;
    const policy::BoundLimit* to = nullptr;
  };
  struct Variant {
    std::uint8_t to = 0;
    std::vector<Pair> pairs;
  };
  [[nodiscard]] Variant Match(const RuleLayout& before, std::size_t from, const RuleLayout& after,
                              std::size_t to);
  void Pairing(const policy::BoundLimit& from, const policy::BoundLimit& to);

  std::vector<std::optional<Variant>> variants_;  // As the old layout's.
  std::vector<std::string> afresh_;
  Rise rise_;
  std::uint64_t shortest_lease_ns_ = limit::kMaxU64;
  bool same_ = false;
  bool keeps_stamps_ = true;
};

}  // namespace sluicegate::engine
