#include "engine/rebind.h"

#include <algorithm>
#include <utility>

#include "engine/move.h"
#include "engine/weigher.h"

namespace sluicegate::engine {
namespace {

using policy::BoundLimit;
using policy::Layout;
using policy::Rule;
using table::BlockedSketch;
using table::Table;

shield::PenaltyTerms TermsOf(const policy::Penalty& penalty) {
  shield::PenaltyTerms terms{
      .violations = penalty.violations,
      .within_ns = static_cast<std::uint64_t>(penalty.within.count()),
      .ban_ns = static_cast<std::uint64_t>(penalty.ban.count()),
      .levels = std::min(penalty.escalate.size(), shield::PenaltyTerms::kMaxLevels)};
  std::copy_n(penalty.escalate.begin(), terms.levels, terms.escalate);
  return terms;
}

// What a unit of a token bucket costs now and cost before, where that rose: the bucket's debts grow
// by this, and so do those that the sketch remembers.
struct Rise {
  std::uint64_t now_ns = 1;
  std::uint64_t before_ns = 1;
  std::uint64_t full_ns = 0;  // What an empty bucket takes to fill: no debt is remembered longer.

  [[nodiscard]] bool steeper_than(const Rise& other) const noexcept {
    return static_cast<unsigned __int128>(now_ns) * other.before_ns >
           static_cast<unsigned __int128>(other.now_ns) * before_ns;
  }
};

// The steepest of all of a rule's buckets, over any pair of them: which one a block came from is
// not known.
Rise SteepestRise(const Layout& before, const Layout& after) {
  Rise steepest;
  for (const auto& old_variant : before.variants) {
    for (const BoundLimit& old : old_variant) {
      if (old.limit.algorithm() != Algorithm::kTokenBucket) continue;
      for (const auto& variant : after.variants) {
        for (const BoundLimit& limit : variant) {
          if (!limit.limit.CanTake(old.limit)) continue;
          const Rise rise{.now_ns = limit.limit.window_ns() / limit.limit.quota(),
                          .before_ns = old.limit.window_ns() / old.limit.quota(),
                          .full_ns = limit.limit.window_ns()};
          const std::uint64_t full_ns = std::max(steepest.full_ns, rise.full_ns);
          if (rise.steeper_than(steepest)) steepest = rise;
          steepest.full_ns = full_ns;
        }
      }
    }
  }
  return steepest;
}

}  // namespace

std::expected<RuleState, std::string> Rebind::MakeState() {
  RuleState state;
  state.counters = before_ == nullptr ? std::make_shared<RuleCounters>() : before_->counters;
  if (auto made = MakeSketch(state); !made) return std::unexpected(std::move(made.error()));
  if (auto made = MakeBans(state); !made) return std::unexpected(std::move(made.error()));
  std::string error;
  const auto make = [&](const Predecessor& before, const Layout& layout, std::size_t bytes,
                        bool leases) -> TablePtr {
    if (bytes == 0 || !error.empty()) return nullptr;
    auto table = MakeTable(before, layout, bytes, leases);
    if (table) return std::move(*table);
    error = std::move(table.error());
    return nullptr;
  };
  const auto had = [this](const TablePtr RuleState::* table,
                          const Layout& (Rule::*layout)() const) -> Predecessor {
    if (before_ == nullptr) return {};
    return {.table = &(before_->*table), .layout = &(old_->*layout)()};
  };
  state.table = make(had(&RuleState::table, &Rule::rates), rule_.rates(), plan_.table, false);
  state.leases = make(had(&RuleState::leases, &Rule::leases), rule_.leases(), plan_.leases, true);
  state.overflow =
      make(had(&RuleState::overflow, &Rule::leases), rule_.leases(), plan_.overflow, true);
  state.parents =
      make(had(&RuleState::parents, &Rule::parents), rule_.parents(), plan_.parents, false);
  for (const policy::Ceiling& ceiling : rule_.ceilings()) {
    state.ceilings.push_back(
        make(CeilingOf(ceiling.prefix_bits), ceiling.layout, plan_.ceiling, false));
  }
  if (!error.empty()) return std::unexpected(std::move(error));
  return state;
}

std::expected<void, std::string> Rebind::MakeSketch(RuleState& state) {
  if (plan_.sketch == 0) return {};
  const bool had = before_ != nullptr && before_->sketch != nullptr;
  const Rise rise = had ? SteepestRise(old_->rates(), rule_.rates()) : Rise{};
  const BlockedSketch::Options options{.bytes = plan_.sketch, .protect = rule_.protect()};
  if (had && before_->sketch->Fits(options) && rise.now_ns <= rise.before_ns) {
    state.sketch = sketch_ = before_->sketch;
    return {};
  }
  auto fresh = BlockedSketch::Create(options);
  if (!fresh) return std::unexpected(std::move(fresh.error()));
  state.sketch = sketch_ = std::move(*fresh);
  if (!had) return {};
  const table::Stretch stretch{
      .numerator = rise.now_ns, .denominator = rise.before_ns, .cap_ns = rise.full_ns};
  moves_.emplace_back([to = sketch_, from = before_->sketch, stretch](Now now, auto& /*afresh*/) {
    to->Take(*from, now.engine_ns, stretch);
  });
  return {};
}

std::expected<void, std::string> Rebind::MakeBans(RuleState& state) {
  if (!rule_.penalty()) return {};
  state.penalty = TermsOf(*rule_.penalty());
  const bool had = before_ != nullptr && before_->bans != nullptr;
  if (had && before_->bans->Fits(plan_.bans) &&
      before_->penalty.interval_ns() == state.penalty.interval_ns()) {
    state.bans = before_->bans;
    return {};
  }
  auto fresh = shield::Bans::Create(plan_.bans);
  if (!fresh) return std::unexpected(std::move(fresh.error()));
  state.bans = std::move(*fresh);
  if (!had) return {};
  moves_.emplace_back(
      [to = state.bans, from = before_->bans, old_terms = before_->penalty, terms = state.penalty](
          Now now, auto& /*afresh*/) { from->MoveInto(*to, old_terms, terms, now); });
  return {};
}

std::expected<Rebind::TablePtr, std::string> Rebind::MakeTable(const Predecessor& before,
                                                               const Layout& layout,
                                                               std::size_t bytes, bool leases) {
  const Table::Shape shape{.state_bytes = layout.slot_bytes, .tagged = layout.variants.size() > 1};
  const bool had = before.table != nullptr && *before.table != nullptr;
  if (!had) return Table::Create(shape, bytes, leases ? nullptr : sketch_);
  const TablePtr& from = *before.table;
  auto mover = std::make_shared<LayoutMover>(RuleLayout{.rule = *old_, .layout = *before.layout},
                                             RuleLayout{.rule = rule_, .layout = layout});
  if (mover->same() && from->Fits(shape, bytes) && (leases || from->sketch() == sketch_)) {
    return from;
  }
  auto fresh = from->CreateSuccessor(shape, bytes, leases ? nullptr : sketch_);
  if (!fresh) return std::unexpected(std::move(fresh.error()));
  TablePtr to = std::move(*fresh);
  moves_.emplace_back([to, from, mover, &layout, leases, name = rule_.name()](
                          Now now, std::vector<std::string>& afresh) {
    if (leases) {
      from->MoveInto(*to, *mover, LeaseWeigher(layout), now);
    } else {
      from->MoveInto(*to, *mover, LimitWeigher(layout), now);
    }
    for (const std::string& limit : mover->afresh()) {
      std::string line = "rule " + name + ": limit " + limit +
                         " counts afresh: no limit of its algorithm and window was there before";
      if (std::ranges::find(afresh, line) == afresh.end()) afresh.push_back(std::move(line));
    }
  });
  return to;
}

Rebind::Predecessor Rebind::CeilingOf(unsigned prefix_bits) const {
  if (before_ == nullptr) return {};
  for (std::size_t i = 0; i < before_->ceilings.size(); ++i) {
    const policy::Ceiling& ceiling = old_->ceilings()[i];
    if (ceiling.prefix_bits != prefix_bits) continue;
    return {.table = &before_->ceilings[i], .layout = &ceiling.layout};
  }
  return {};
}

void Rebind::Move(Now now, std::vector<std::string>& afresh) {
  // Tables first, as they may still fold into the old sketch until they are sealed.
  for (auto move = moves_.rbegin(); move != moves_.rend(); ++move) (*move)(now, afresh);
}

}  // namespace sluicegate::engine
