// Ledger: what one key has used of one limit, as a plain list of charges. The oracle that a
// simulation compares every answer with: written from doc/algorithms.md and apart from src/limit,
// and for nothing but being obviously right. A value type.
#pragma once

#include <cstdint>
#include <vector>

#include "policy_spec.h"
#include "probe.h"
#include "sluicegate/decision.h"
#include "sluicegate/time.h"

namespace sluicegate::sim {

class Ledger {
 public:
  /// `spec` must outlive it.
  explicit Ledger(const LimitSpec& spec) : spec_(&spec) {}

  [[nodiscard]] const LimitSpec& spec() const { return *spec_; }

  [[nodiscard]] std::uint64_t Remaining(Now now) const;
  /// Decision::kNever for a cost above the quota.
  [[nodiscard]] std::uint64_t RetryAfter(Now now, std::uint64_t cost) const;
  [[nodiscard]] std::uint64_t Hold(Now now) const;
  [[nodiscard]] std::uint64_t Reset(Now now) const;
  [[nodiscard]] bool AtLimit(Now now) const { return Remaining(now) == 0; }
  /// All that a state can say at an instant.
  [[nodiscard]] Probe::Numbers NumbersAt(Now now) const;

  void Charge(Now now, std::uint64_t cost);
  void GiveBack(Now now, Now charged, std::uint64_t cost);

  /// What a reload makes of it. `moved`: the table is another. REQUIRES: next.Continues(spec()).
  [[nodiscard]] Ledger ContinuedAs(const LimitSpec& next, Now now, bool moved) const;
  /// The same of a key that lost its place: what is left of a bucket's debt is remembered for no
  /// longer than an empty one takes to fill, or than before.
  [[nodiscard]] Ledger BlockedAs(const LimitSpec& next, Now now) const;

 private:
  struct Units {
    std::uint64_t slice;
    std::uint64_t units;
  };
  [[nodiscard]] bool IsRing() const {
    return spec_->algorithm == Algorithm::kSlidingWindow || spec_->is_lease();
  }
  [[nodiscard]] std::uint64_t SliceNs() const { return (spec_->window_ns + 14) / 15; }
  [[nodiscard]] std::uint64_t LeavesAt(std::uint64_t slice) const;
  [[nodiscard]] bool SliceCounts(std::uint64_t slice, std::uint64_t at_ns) const {
    return LeavesAt(slice) > at_ns;
  }
  [[nodiscard]] bool Counts(const Units& units, std::uint64_t at_ns) const;
  [[nodiscard]] std::uint64_t UsedAt(std::uint64_t at_ns) const;
  [[nodiscard]] std::uint64_t RingRetry(std::uint64_t now_ns, std::uint64_t cost) const;
  void GiveBackToRing(std::uint64_t now_ns, std::uint64_t slice, std::uint64_t cost);
  void ChargeRing(std::uint64_t now_ns, std::uint64_t cost);
  [[nodiscard]] std::uint64_t Debt(Now now) const {
    return full_at_ns_ > now.engine_ns ? full_at_ns_ - now.engine_ns : 0;
  }
  [[nodiscard]] bool IsOpen(Now now) const { return opened_ && now.unix_ns < end_unix_ns_; }

  const LimitSpec* spec_;
  // Rings: the units that were charged, by the slice that they were put into.
  std::vector<Units> charged_;
  std::uint64_t newest_ = 0;
  // A bucket: when it is full again.
  std::uint64_t full_at_ns_ = 0;
  // A fixed window.
  bool opened_ = false;
  std::int64_t end_unix_ns_ = 0;
  std::uint64_t used_ = 0;
};

/// The end of the calendar's window in which `unix_ns` lies.
[[nodiscard]] std::int64_t EndOfWindow(CalendarUnit unit, std::int64_t unix_ns);

}  // namespace sluicegate::sim
