// Bound: the promise of one limit to one key, held against the list of what was admitted. It knows
// nothing of slices, debts and states: it adds up. A value type.
#pragma once

#include <cstdint>
#include <deque>

#include "policy_spec.h"
#include "sluicegate/time.h"

namespace sluicegate::sim {

class Bound {
 public:
  /// `spec` must outlive it.
  explicit Bound(const LimitSpec& spec) : spec_(&spec) {}

  /// Notes an admission of `cost` units under the number `id`; false: with it more was admitted
  /// than the limit promises. `newest_ns`: the latest reading of any loop.
  [[nodiscard]] bool Admit(Now now, std::uint64_t cost, std::uint64_t id, std::uint64_t newest_ns);
  /// It was given back, by a reading `now`.
  void Remove(std::uint64_t id, Now now);
  /// A reload gives the limit another quota (a bucket: another rate).
  void ContinueAs(const LimitSpec& next, Now now);

 private:
  struct Admission {
    std::uint64_t at_ns = 0;
    std::int64_t window_end = 0;   // Of a fixed window: the one in which it was counted.
    unsigned __int128 amount = 0;  // Units; of a bucket: times the period.
    std::uint64_t id = 0;
  };
  [[nodiscard]] bool SlidingHolds(std::uint64_t at_ns) const;
  [[nodiscard]] unsigned __int128 BucketLevel(std::uint64_t at_ns) const;
  [[nodiscard]] bool LeasesHold(std::uint64_t newest_ns) const;
  [[nodiscard]] bool WindowHolds(std::int64_t end) const;
  void Forget();

  const LimitSpec* spec_;
  std::deque<Admission> admissions_;
  std::uint64_t latest_ns_ = 0;
  // Of a bucket: what give-backs by readings behind a later charge may have forgiven of that.
  unsigned __int128 forgiven_ = 0;
  std::uint64_t lag_ns_ = 0;  // By which a reading lay behind the latest of any loop, at most.
  std::int64_t open_until_ = 0;
  bool opened_ = false;
};

}  // namespace sluicegate::sim
