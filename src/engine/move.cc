#include "engine/move.h"

#include <algorithm>
#include <ranges>
#include <tuple>

#include "engine/weigher.h"

namespace sluicegate::engine {
namespace {

// The same limit set in both: the rule's own, or the one of the same `when`.
std::optional<std::size_t> SetIn(const KeptLayout& after, const KeptLayout& before,
                                 std::size_t set) {
  if (set == 0) return 0;
  for (std::size_t i = 1; i < after.sets.size(); ++i) {
    if (after.sets[i].when == before.sets[set].when) return i;
  }
  return std::nullopt;
}

bool SameBytes(const KeptLimit& a, const KeptLimit& b) {
  return a.offset == b.offset && a.limit.SharesState(b.limit);
}

// The requests in flight are the same for every limit of them. So each takes over from one of its
// own lease, in its own place if there is one, else from the longest, which has forgotten the
// fewest. Null: there was none.
const KeptLimit* LeaseFor(const KeptLimit& limit, const std::vector<KeptLimit>& before) {
  const KeptLimit* best = nullptr;
  const auto better = [&limit](const KeptLimit& a, const KeptLimit& b) {
    const auto rank = [&limit](const KeptLimit& old) {
      return std::tuple(SameBytes(old, limit), old.limit.window_ns() == limit.limit.window_ns(),
                        old.limit.window_ns());
    };
    return rank(a) > rank(b);
  };
  for (const KeptLimit& old : before) {
    if (old.limit.algorithm() != Algorithm::kConcurrency) continue;
    if (best == nullptr || better(old, *best)) best = &old;
  }
  return best;
}

}  // namespace

LayoutMover::LayoutMover(KeptLayout before, KeptLayout after)
    : before_(std::move(before)), after_(std::move(after)), bound_(after_.Bound()) {
  same_ = before_.slot_bytes == after_.slot_bytes && before_.sets.size() == after_.sets.size();
  for (std::size_t from = 0; from < before_.sets.size(); ++from) {
    const auto to = SetIn(after_, before_, from);
    variants_.push_back(std::nullopt);
    if (to) variants_.back() = Match(before_.sets[from], *to);
    same_ = same_ && to == from;
    if (same_) {
      const auto& pairs = variants_.back()->pairs;
      same_ = pairs.size() == before_.sets[from].limits.size() &&
              pairs.size() == after_.sets[from].limits.size() &&
              std::ranges::all_of(pairs,
                                  [](const Pair& pair) { return SameBytes(*pair.from, *pair.to); });
    }
  }
}

// A limit takes from the one of its name if it can, else from the first that it can and that no
// other takes from.
LayoutMover::Variant LayoutMover::Match(const KeptSet& before, std::size_t to) {
  Variant variant{.to = static_cast<std::uint8_t>(to), .pairs = {}};
  std::vector<const KeptLimit*> left;
  left.reserve(before.limits.size());
  for (const KeptLimit& limit : before.limits) left.push_back(&limit);
  const auto take = [&](const KeptLimit& limit, bool by_name) {
    const auto found = std::ranges::find_if(left, [&](const KeptLimit* old) {
      return limit.limit.CanTake(old->limit) && (!by_name || old->name == limit.name);
    });
    if (found == left.end()) return false;
    variant.pairs.push_back({.from = *found, .to = &limit});
    left.erase(found);
    return true;
  };
  std::vector<const KeptLimit*> unnamed;
  for (const KeptLimit& limit : after_.sets[to].limits) {
    if (limit.limit.algorithm() == Algorithm::kConcurrency) {
      const KeptLimit* old = LeaseFor(limit, before.limits);
      if (old != nullptr) variant.pairs.push_back({.from = old, .to = &limit});
      if (old == nullptr) unnamed.push_back(&limit);
    } else if (!take(limit, true)) {
      unnamed.push_back(&limit);
    }
  }
  for (const KeptLimit* limit : unnamed) {
    if (take(*limit, false)) continue;
    afresh_.push_back(limit->name);
    // No stamp names a limit set that had nothing here.
    if (!before.limits.empty()) keeps_stamps_ = false;
  }
  for (const Pair& pair : variant.pairs) Pairing(*pair.from, *pair.to);
  return variant;
}

void LayoutMover::Pairing(const KeptLimit& from, const KeptLimit& to) {
  using Wide = unsigned __int128;
  if (to.limit.algorithm() == Algorithm::kConcurrency &&
      to.limit.window_ns() != from.limit.window_ns()) {
    shortest_lease_ns_ = std::min(shortest_lease_ns_, from.limit.window_ns());
  }
  if (to.limit.algorithm() != Algorithm::kTokenBucket) return;
  const Rise rise{.now_ns = to.limit.window_ns() / to.limit.quota(),
                  .before_ns = from.limit.window_ns() / from.limit.quota(),
                  .full_ns = to.limit.window_ns()};
  if (rise.now_ns == rise.before_ns) return;
  keeps_stamps_ = false;
  if (rise.now_ns < rise.before_ns) return;
  const std::uint64_t full_ns = std::max(rise_.full_ns, rise.full_ns);
  if (Wide{rise.now_ns} * rise_.before_ns > Wide{rise_.now_ns} * rise.before_ns) rise_ = rise;
  rise_.full_ns = full_ns;
}

bool LayoutMover::Move(const std::byte* old_state, std::uint8_t old_variant, std::byte* state,
                       std::uint8_t& variant, Now now) const noexcept {
  if (old_variant >= variants_.size() || !variants_[old_variant]) return false;
  const Variant& to = *variants_[old_variant];
  variant = to.to;
  for (const Pair& pair : to.pairs) {
    pair.to->limit.Take(state + pair.to->offset, pair.from->limit, old_state + pair.from->offset,
                        now);
  }
  return !to.pairs.empty();
}

bool LayoutMover::HandOn(table::Table& from, table::Table& to, Now now,
                         table::Table::Leave leave) const noexcept {
  const bool complete = after_.of_leases()
                            ? from.MoveInto(to, *this, LeaseWeigher(bound_), now, leave)
                            : from.MoveInto(to, *this, LimitWeigher(bound_), now, leave);
  // A request that outlived its lease is in flight no more; under a longer one its end would be
  // taken for another's.
  to.ForgetStampsBefore(limit::SubtractSaturating(now.engine_ns, shortest_lease_ns_));
  return complete;
}

LayoutMover::Rise SteepestRise(const std::vector<KeptLayout>& before,
                               const std::vector<KeptLayout>& after) {
  using Wide = unsigned __int128;
  LayoutMover::Rise steepest;
  for (const KeptLayout& layout : after) {
    const KeptLayout* old = FindPart(before, layout.part);
    if (old == nullptr) continue;
    const LayoutMover::Rise rise = LayoutMover(*old, layout).rise();
    const std::uint64_t full_ns = std::max(steepest.full_ns, rise.full_ns);
    if (Wide{rise.now_ns} * steepest.before_ns > Wide{steepest.now_ns} * rise.before_ns) {
      steepest = rise;
    }
    steepest.full_ns = full_ns;
  }
  return steepest;
}

}  // namespace sluicegate::engine
