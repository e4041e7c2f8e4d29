// What a reload does to the states of a rule whose layout changed: each limit that goes on takes
// what was counted on it. Values; pure but for what they write.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/kept_layout.h"
#include "limit/saturating.h"
#include "table/table.h"

namespace sluicegate::engine {

class LayoutMover final : public table::Mover {
 public:
  LayoutMover(KeptLayout before, KeptLayout after);
  LayoutMover(const LayoutMover&) = delete;
  LayoutMover& operator=(const LayoutMover&) = delete;

  [[nodiscard]] bool Move(const std::byte* old_state, std::uint8_t old_variant, std::byte* state,
                          std::uint8_t& variant, Now now) const noexcept override;

  /// Hands all keys of `from` on, as the limits of the new layout take them.
  /// False: see Table::MoveInto.
  bool HandOn(table::Table& from, table::Table& to, Now now,
              table::Table::Leave leave) const noexcept;

  /// Whether the bytes of both mean the same, so that nothing needs to move.
  [[nodiscard]] bool same() const noexcept { return same_; }
  /// Whether a stamp of before may still be given back: every limit goes on, at the same price.
  [[nodiscard]] bool keeps_stamps() const noexcept { return keeps_stamps_; }
  /// What a unit costs now to what it cost, of the bucket where that rose the most; no rise: 1
  /// to 1.
  struct Rise {
    std::uint64_t now_ns = 1;
    std::uint64_t before_ns = 1;
    std::uint64_t full_ns = 0;  ///< What the slowest risen bucket takes to fill.

    /// What becomes of the time that an evicted key must stay away.
    [[nodiscard]] table::Stretch stretch() const noexcept {
      return {.numerator = now_ns, .denominator = before_ns, .cap_ns = full_ns};
    }
  };
  [[nodiscard]] const Rise& rise() const noexcept { return rise_; }
  /// Names of limits that begin with nothing, in limit sets that were there before.
  [[nodiscard]] const std::vector<std::string>& afresh() const noexcept { return afresh_; }

 private:
  struct Pair {
    const KeptLimit* from = nullptr;
    const KeptLimit* to = nullptr;
  };
  struct Variant {
    std::uint8_t to = 0;
    std::vector<Pair> pairs;
  };
  [[nodiscard]] Variant Match(const KeptSet& before, std::size_t to);
  void Pairing(const KeptLimit& from, const KeptLimit& to);

  const KeptLayout before_;
  const KeptLayout after_;
  const policy::Layout bound_;                    // As after_.
  std::vector<std::optional<Variant>> variants_;  // As the old layout's.
  std::vector<std::string> afresh_;
  Rise rise_;
  // Of the leases whose length changes the shortest before; kMaxU64: none changes.
  std::uint64_t shortest_lease_ns_ = limit::kMaxU64;
  bool same_ = false;
  bool keeps_stamps_ = true;
};

/// Over all tables of before that are still there.
[[nodiscard]] LayoutMover::Rise SteepestRise(const std::vector<KeptLayout>& before,
                                             const std::vector<KeptLayout>& after);

}  // namespace sluicegate::engine
