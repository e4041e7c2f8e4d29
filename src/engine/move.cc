#include "engine/move.h"

#include <algorithm>
#include <ranges>
#include <tuple>

namespace sluicegate::engine {
namespace {

using policy::BoundLimit;
using policy::Layout;
using policy::Rule;

const std::string& NameOf(const Rule& rule, std::size_t variant, const BoundLimit& limit) {
  static const std::string new_keys = "new_keys";
  const auto& limits = rule.variants()[variant].limits;
  return limit.index < limits.size() ? limits[limit.index].name : new_keys;
}

// The same limit set under both rules: the rule's own, or the one of the same `when`.
std::optional<std::size_t> VariantIn(const Rule& after, const Rule& before, std::size_t variant) {
  if (variant == 0) return 0;
  for (std::size_t i = 1; i < after.variants().size(); ++i) {
    if (after.OverrideHash(i - 1) == before.OverrideHash(variant - 1)) return i;
  }
  return std::nullopt;
}

bool SameBytes(const BoundLimit& a, const BoundLimit& b) {
  return a.offset == b.offset && a.limit.SharesState(b.limit);
}

// The requests in flight are the same for every limit of them. So each takes over from one of its
// own lease, in its own place if there is one, else from the longest, which has forgotten the
// fewest. Null: there was none.
const BoundLimit* LeaseFor(const BoundLimit& limit, const policy::BoundLimits& before) {
  const BoundLimit* best = nullptr;
  const auto better = [&limit](const BoundLimit& a, const BoundLimit& b) {
    const auto rank = [&limit](const BoundLimit& old) {
      return std::tuple(SameBytes(old, limit), old.limit.window_ns() == limit.limit.window_ns(),
                        old.limit.window_ns());
    };
    return rank(a) > rank(b);
  };
  for (const BoundLimit& old : before) {
    if (best == nullptr || better(old, *best)) best = &old;
  }
  return best;
}

}  // namespace

LayoutMover::LayoutMover(const RuleLayout& before, const RuleLayout& after) {
  same_ = before.layout.slot_bytes == after.layout.slot_bytes &&
          before.layout.variants.size() == after.layout.variants.size();
  for (std::size_t from = 0; from < before.layout.variants.size(); ++from) {
    const auto to = VariantIn(after.rule, before.rule, from);
    variants_.push_back(std::nullopt);
    if (to) variants_.back() = Match(before, from, after, *to);
    same_ = same_ && to == from;
    if (same_) {
      const auto& pairs = variants_.back()->pairs;
      same_ = pairs.size() == before.layout.variants[from].size() &&
              pairs.size() == after.layout.variants[from].size() &&
              std::ranges::all_of(pairs,
                                  [](const Pair& pair) { return SameBytes(*pair.from, *pair.to); });
    }
  }
}

// A limit takes from the one of its name if it can, else from the first that it can and that no
// other takes from.
LayoutMover::Variant LayoutMover::Match(const RuleLayout& before, std::size_t from,
                                        const RuleLayout& after, std::size_t to) {
  Variant variant{.to = static_cast<std::uint8_t>(to), .pairs = {}};
  const policy::BoundLimits& old_limits = before.layout.variants[from];
  std::vector<const BoundLimit*> left;
  for (const BoundLimit& limit : old_limits) left.push_back(&limit);
  const auto take = [&](const BoundLimit& limit, bool by_name) {
    const std::string& name = NameOf(after.rule, to, limit);
    const auto found = std::ranges::find_if(left, [&](const BoundLimit* old) {
      return limit.limit.CanTake(old->limit) &&
             (!by_name || NameOf(before.rule, from, *old) == name);
    });
    if (found == left.end()) return false;
    variant.pairs.push_back({.from = *found, .to = &limit});
    left.erase(found);
    return true;
  };
  std::vector<const BoundLimit*> unnamed;
  for (const BoundLimit& limit : after.layout.variants[to]) {
    if (limit.limit.algorithm() == Algorithm::kConcurrency) {
      const BoundLimit* old = LeaseFor(limit, old_limits);
      if (old != nullptr) variant.pairs.push_back({.from = old, .to = &limit});
      if (old == nullptr) unnamed.push_back(&limit);
    } else if (!take(limit, true)) {
      unnamed.push_back(&limit);
    }
  }
  for (const BoundLimit* limit : unnamed) {
    if (take(*limit, false)) continue;
    afresh_.push_back(NameOf(after.rule, to, *limit));
    // No stamp names a limit set that had nothing here.
    if (!old_limits.empty()) keeps_stamps_ = false;
  }
  for (const Pair& pair : variant.pairs) Pairing(*pair.from, *pair.to);
  return variant;
}

void LayoutMover::Pairing(const BoundLimit& from, const BoundLimit& to) {
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

}  // namespace sluicegate::engine
