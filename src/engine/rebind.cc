#include "engine/rebind.h"

#include <algorithm>
#include <chrono>
#include <initializer_list>
#include <utility>

#include "engine/kept_layout.h"

namespace sluicegate::engine {
namespace {

using policy::Layout;
using policy::Rule;
using table::BlockedSketch;
using table::Table;

constexpr std::string_view kRates = "rates";

std::string PartOf(const policy::Ceiling& ceiling) {
  return "ceiling/" + std::to_string(ceiling.prefix_bits);
}

// Of the tables whose victims a rule's sketch remembers, as it does not say whose a block is.
std::vector<KeptLayout> SketchedLayouts(const Rule& rule) {
  std::vector<KeptLayout> layouts = {KeptLayout::Of(kRates, rule, rule.rates())};
  for (const policy::Ceiling& ceiling : rule.ceilings()) {
    layouts.push_back(KeptLayout::Of(PartOf(ceiling), rule, ceiling.layout));
  }
  return layouts;
}

shield::PenaltyTerms TermsOf(const policy::Penalty& penalty) {
  shield::PenaltyTerms terms{
      .violations = penalty.violations,
      .within_ns = static_cast<std::uint64_t>(penalty.within.count()),
      .ban_ns = static_cast<std::uint64_t>(penalty.ban.count()),
      .levels = std::min(penalty.escalate.size(), shield::PenaltyTerms::kMaxLevels)};
  std::copy_n(penalty.escalate.begin(), terms.levels, terms.escalate);
  return terms;
}

}  // namespace

std::expected<RuleState, std::string> Rebind::MakeState() {
  RuleState state;
  state.counters = before_ == nullptr ? std::make_shared<RuleCounters>() : before_->counters;
  if (auto made = MakeSketch(state); !made) return std::unexpected(std::move(made.error()));
  if (auto made = MakeBans(state); !made) return std::unexpected(std::move(made.error()));
  std::string error;
  const auto make = [&](const Predecessor& before, const Wanted& wanted) -> TablePtr {
    if (wanted.bytes == 0 || !error.empty()) return nullptr;
    auto table = MakeTable(before, wanted);
    if (table) return std::move(*table);
    error = std::move(table.error());
    return nullptr;
  };
  const auto had = [this](const TablePtr RuleState::* table,
                          const Layout& (Rule::*layout)() const) -> Predecessor {
    if (before_ == nullptr) return {};
    return {.table = &(before_->*table), .layout = &(old_->*layout)()};
  };
  state.table = make(had(&RuleState::table, &Rule::rates),
                     {.part = std::string(kRates), .layout = rule_.rates(), .bytes = plan_.table});
  state.leases =
      make(had(&RuleState::leases, &Rule::leases),
           {.part = "leases", .layout = rule_.leases(), .bytes = plan_.leases, .leases = true});
  state.overflow =
      make(had(&RuleState::overflow, &Rule::leases),
           {.part = "overflow", .layout = rule_.leases(), .bytes = plan_.overflow, .leases = true});
  state.parents = make(had(&RuleState::parents, &Rule::parents),
                       {.part = "networks", .layout = rule_.parents(), .bytes = plan_.parents});
  for (const policy::Ceiling& ceiling : rule_.ceilings()) {
    state.ceilings.push_back(
        make(CeilingOf(ceiling.prefix_bits),
             {.part = PartOf(ceiling), .layout = ceiling.layout, .bytes = plan_.ceiling}));
  }
  if (!error.empty()) return std::unexpected(std::move(error));
  return state;
}

std::expected<void, std::string> Rebind::MakeSketch(RuleState& state) {
  if (plan_.sketch == 0) return {};
  const bool had = before_ != nullptr && before_->sketch != nullptr;
  const BlockedSketch::Options options{.bytes = plan_.sketch, .protect = rule_.protect()};
  if (regions_) {
    auto attached = regions_->AttachSketch(SketchedLayouts(rule_), options);
    if (!attached) return std::unexpected(std::move(attached.error()));
    state.sketch = sketch_ = std::move(*attached);
    return {};
  }
  const LayoutMover::Rise rise =
      had ? SteepestRise(SketchedLayouts(*old_), SketchedLayouts(rule_)) : LayoutMover::Rise{};
  if (had && before_->sketch->Fits(options) && rise.now_ns <= rise.before_ns) {
    state.sketch = sketch_ = before_->sketch;
    return {};
  }
  auto fresh = BlockedSketch::Create(options);
  if (!fresh) return std::unexpected(std::move(fresh.error()));
  state.sketch = sketch_ = std::move(*fresh);
  if (!had) return {};
  const auto move = [to = sketch_, from = before_->sketch, rise](Now now) {
    to->Take(*from, now.engine_ns, rise.stretch());
    return std::uint64_t{0};
  };
  steps_.push_back({.move = move, .what = {}});
  return {};
}

std::expected<void, std::string> Rebind::MakeBans(RuleState& state) {
  if (!rule_.penalty()) return {};
  state.penalty = TermsOf(*rule_.penalty());
  const bool had = before_ != nullptr && before_->bans != nullptr;
  if (regions_) {
    auto attached = regions_->AttachBans(state.penalty, plan_.bans);
    if (!attached) return std::unexpected(std::move(attached.error()));
    state.bans = std::move(*attached);
    return {};
  }
  if (had && before_->bans->Fits(plan_.bans) &&
      before_->penalty.interval_ns() == state.penalty.interval_ns()) {
    state.bans = before_->bans;
    return {};
  }
  auto fresh = had ? before_->bans->CreateSuccessor(plan_.bans) : shield::Bans::Create(plan_.bans);
  if (!fresh) return std::unexpected(std::move(fresh.error()));
  state.bans = std::move(*fresh);
  if (!had) return {};
  const auto move = [to = state.bans, from = before_->bans, old_terms = before_->penalty,
                     terms = state.penalty](Now now) {
    const std::uint64_t refused = from->refused();
    from->MoveInto(*to, old_terms, terms, now);
    return to->refused() - refused;
  };
  steps_.push_back({.move = move, .what = "running bans"});
  return {};
}

std::expected<Rebind::TablePtr, std::string> Rebind::MakeTable(const Predecessor& before,
                                                               const Wanted& wanted) {
  KeptLayout layout = KeptLayout::Of(wanted.part, rule_, wanted.layout);
  const Table::Shape shape = layout.shape();
  const bool leases = wanted.leases;
  const auto sketch = leases ? nullptr : sketch_;
  if (regions_) return regions_->AttachTable(layout, wanted.bytes, sketch);
  const bool had = before.table != nullptr && *before.table != nullptr;
  if (!had) return Table::Create(shape, wanted.bytes, sketch);
  const TablePtr& from = *before.table;
  auto mover = std::make_shared<LayoutMover>(KeptLayout::Of(wanted.part, *old_, *before.layout),
                                             std::move(layout));
  if (mover->same() && from->Fits(shape, wanted.bytes) && from->sketch() == sketch) return from;
  auto fresh = from->CreateSuccessor(shape, wanted.bytes, sketch, mover->keeps_stamps());
  if (!fresh) return std::unexpected(std::move(fresh.error()));
  TablePtr to = std::move(*fresh);
  const auto move = [to, from, mover](Now now) {
    const std::uint64_t refusals = from->counts().refusals;
    mover->HandOn(*from, *to, now, Table::Leave::kSealed);
    return to->counts().refusals - refusals;
  };
  steps_.push_back({.move = move, .what = leases ? "keys with requests in flight" : ""});
  afresh_.insert(mover->afresh().begin(), mover->afresh().end());
  return to;
}

namespace {

template <class Use>
void ForEachTable(const RuleState& state, const Use& use) {
  for (const auto& table : {state.table, state.leases, state.overflow, state.parents}) {
    if (table != nullptr) use(*table);
  }
  for (const auto& ceiling : state.ceilings) {
    if (ceiling != nullptr) use(*ceiling);
  }
  if (state.bans != nullptr) use(*state.bans);
}

}  // namespace

// Threads of this process then wait for what comes, as where a table moves. Those that have begun a
// decision need a microsecond for it, so they are through by then, unless one gets no core.
Regions::BeforeCopying Rebind::LeaverOf(const Storage& storage, const RuleState* before) {
  if (before == nullptr || storage.leaves == nullptr) return {};
  return [before, leaves = storage.leaves] {
    *leaves = true;
    ForEachTable(*before, [](auto& table) { table.Depart(); });
    constexpr std::chrono::milliseconds kGrace{10};
    table::Nap(kGrace);
  };
}

void Rebind::ComeBack(const RuleState& before, table::StateFile& file) noexcept {
  ForEachTable(before, [&file](auto& table) { table.ComeBack(file.owners()); });
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

void Rebind::Move(Now now) noexcept {
  // Tables first, as they may still fold into the old sketch until they are sealed.
  for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) step->lost = step->move(now);
}

void Rebind::Tell(std::vector<std::string>& lines) const {
  const auto tell = [this, &lines](std::initializer_list<std::string_view> words) {
    std::string& line = lines.emplace_back("rule ");
    line.append(rule_.name()).append(": ");
    for (const std::string_view word : words) line.append(word);
  };
  for (const std::string& limit : regions_ ? regions_->afresh() : afresh_) {
    tell(
        {"limit ", limit, " counts afresh: no limit of its algorithm and window was there before"});
  }
  for (const Step& step : steps_) {
    if (step.lost == 0 || step.what.empty()) continue;
    tell({std::to_string(step.lost), " ", step.what,
          " have no place in the smaller memory and are forgotten"});
  }
}

}  // namespace sluicegate::engine
