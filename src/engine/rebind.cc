#include "engine/rebind.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <utility>

#include "base/siphash.h"
#include "engine/weigher.h"

namespace sluicegate::engine {
namespace {

using policy::BoundLimit;
using policy::Layout;
using policy::Rule;
using table::BlockedSketch;
using table::Table;

Table::Shape ShapeOf(const Layout& layout) {
  return {.state_bytes = layout.slot_bytes, .tagged = layout.variants.size() > 1};
}

// What the keys of a table weigh by.
struct Kind {
  const Layout& layout;
  bool leases = false;
};

// Hands a table's keys on, as the limits of another layout take them.
void HandOn(Table& from, Table& to, const LayoutMover& mover, const Kind& kind, Now now,
            Table::Leave leave) noexcept {
  if (kind.leases) {
    from.MoveInto(to, mover, LeaseWeigher(kind.layout), now, leave);
  } else {
    from.MoveInto(to, mover, LimitWeigher(kind.layout), now, leave);
  }
  // A request that outlived its lease is in flight no more; under a longer one its end would be
  // taken for another's.
  to.ForgetStampsBefore(limit::SubtractSaturating(now.engine_ns, mover.shortest_lease_ns()));
}

// The name of a region in a file: the rule's and its part's. A long one ends in a hash of itself.
std::string NameOf(const Rule& rule, std::string_view part) {
  std::string name = rule.name();
  name.append("/").append(part);
  constexpr std::size_t kMost = 47;
  if (name.size() <= kMost) return name;
  const std::string hash = std::to_string(SipHash(HashSecret{}, name));
  return name.substr(0, kMost - hash.size() - 1) + "#" + hash;
}

// A hash of what the bytes of a region mean. Of 128 bits, under secrets that all processes know: it
// need not resist anybody, as the policy is the operator's.
class Identity {
 public:
  // What the keys are made of.
  explicit Identity(const Rule& rule) {
    for (const policy::KeyPart& part : rule.key()) Add(part.text);
  }
  void Add(std::uint64_t number) {
    for (SipHasher& hasher : hashers_) hasher.UpdateU64(number);
  }
  void Add(std::string_view text) {
    Add(text.size());
    for (SipHasher& hasher : hashers_) hasher.Update(text);
  }
  void Add(const Layout& layout, const Rule& rule) {
    Add(layout.slot_bytes);
    for (std::size_t i = 0; i < layout.variants.size(); ++i) {
      if (i > 0) Add(rule.OverrideHash(i - 1));
      Add(layout.variants[i].size());
      for (const BoundLimit& limit : layout.variants[i]) {
        Add(limit.offset);
        for (const std::uint64_t word : limit.limit.state_identity()) Add(word);
        const auto& limits = rule.variants()[i].limits;
        Add(limit.index < limits.size() ? std::string_view(limits[limit.index].name)
                                        : std::string_view("new_keys"));
      }
    }
  }
  // Once. Of a part of the rule.
  [[nodiscard]] table::RegionKey KeyOf(const Rule& rule, std::string_view part) {
    return {.name = NameOf(rule, part), .identity = {hashers_[0].Finish(), hashers_[1].Finish()}};
  }

 private:
  std::array<SipHasher, 2> hashers_ = {SipHasher(HashSecret{.k0 = 1, .k1 = 2}),
                                       SipHasher(HashSecret{.k0 = 3, .k1 = 4})};
};

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
                     {.part = "rates", .layout = rule_.rates(), .bytes = plan_.table});
  state.leases =
      make(had(&RuleState::leases, &Rule::leases),
           {.part = "leases", .layout = rule_.leases(), .bytes = plan_.leases, .leases = true});
  state.overflow =
      make(had(&RuleState::overflow, &Rule::leases),
           {.part = "overflow", .layout = rule_.leases(), .bytes = plan_.overflow, .leases = true});
  state.parents = make(had(&RuleState::parents, &Rule::parents),
                       {.part = "networks", .layout = rule_.parents(), .bytes = plan_.parents});
  for (const policy::Ceiling& ceiling : rule_.ceilings()) {
    state.ceilings.push_back(make(CeilingOf(ceiling.prefix_bits),
                                  {.part = "ceiling/" + std::to_string(ceiling.prefix_bits),
                                   .layout = ceiling.layout,
                                   .bytes = plan_.ceiling}));
  }
  if (!error.empty()) return std::unexpected(std::move(error));
  return state;
}

std::expected<void, std::string> Rebind::MakeSketch(RuleState& state) {
  if (plan_.sketch == 0) return {};
  const bool had = before_ != nullptr && before_->sketch != nullptr;
  const LayoutMover::Rise rise = had ? SteepestRise() : LayoutMover::Rise{};
  const BlockedSketch::Options options{.bytes = plan_.sketch, .protect = rule_.protect()};
  const table::Stretch stretch{
      .numerator = rise.now_ns, .denominator = rise.before_ns, .cap_ns = rise.full_ns};
  if (storage_.file != nullptr) {
    auto attached = AttachSketch(options, stretch);
    state.sketch = sketch_;
    return attached;
  }
  if (had && before_->sketch->Fits(options) && rise.now_ns <= rise.before_ns) {
    state.sketch = sketch_ = before_->sketch;
    return {};
  }
  auto fresh = BlockedSketch::Create(options);
  if (!fresh) return std::unexpected(std::move(fresh.error()));
  state.sketch = sketch_ = std::move(*fresh);
  if (!had) return {};
  const auto move = [to = sketch_, from = before_->sketch, stretch](Now now) {
    to->Take(*from, now.engine_ns, stretch);
    return std::uint64_t{0};
  };
  steps_.push_back({.move = move, .what = {}});
  return {};
}

// Of all the tables whose victims the sketch remembers, as it does not say whose a block is.
LayoutMover::Rise Rebind::SteepestRise() const {
  using Wide = unsigned __int128;
  LayoutMover::Rise steepest;
  const auto look = [this, &steepest](const Layout& before, const Layout& after) {
    const LayoutMover mover({.rule = *old_, .layout = before}, {.rule = rule_, .layout = after});
    const LayoutMover::Rise& rise = mover.rise();
    const std::uint64_t full_ns = std::max(steepest.full_ns, rise.full_ns);
    if (Wide{rise.now_ns} * steepest.before_ns > Wide{steepest.now_ns} * rise.before_ns) {
      steepest = rise;
    }
    steepest.full_ns = full_ns;
  };
  look(old_->rates(), rule_.rates());
  for (const policy::Ceiling& ceiling : rule_.ceilings()) {
    const Predecessor before = CeilingOf(ceiling.prefix_bits);
    if (before.layout != nullptr) look(*before.layout, ceiling.layout);
  }
  return steepest;
}

std::expected<void, std::string> Rebind::MakeBans(RuleState& state) {
  if (!rule_.penalty()) return {};
  state.penalty = TermsOf(*rule_.penalty());
  const bool had = before_ != nullptr && before_->bans != nullptr;
  if (storage_.file != nullptr) {
    Identity identity(rule_);
    identity.Add(state.penalty.interval_ns());
    auto attached =
        shield::Bans::Attach(*storage_.file, identity.KeyOf(rule_, "bans"), plan_.bans,
                             had ? before_->bans.get() : nullptr,
                             had ? before_->penalty : state.penalty, state.penalty, storage_.now);
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

// In a file: what is there, as it is; else made there from what this process had in its place.
std::expected<Rebind::TablePtr, std::string> Rebind::AttachTable(const Predecessor& before,
                                                                 const Wanted& wanted) {
  const Table::Shape shape = ShapeOf(wanted.layout);
  table::StateFile& file = *storage_.file;
  const auto sketch = wanted.leases ? nullptr : sketch_;
  const auto prepare = [&](const table::StateFile::Fresh& fresh) {
    const bool had = before.table != nullptr && *before.table != nullptr;
    if (!had) return Table::Begin(*fresh.region, shape, fresh.id);
    Table& from = **before.table;
    const LayoutMover mover({.rule = *old_, .layout = *before.layout},
                            {.rule = rule_, .layout = wanted.layout});
    from.BeginSuccessor(*fresh.region, fresh.id, mover.keeps_stamps());
    const auto next = Table::OfRegion(shape, fresh.region, file.owners(), sketch);
    HandOn(from, *next, mover, {wanted.layout, wanted.leases}, storage_.now, Table::Leave::kUsable);
    afresh_.insert(mover.afresh().begin(), mover.afresh().end());
  };
  Identity identity(rule_);
  identity.Add(wanted.layout, rule_);
  auto region = file.Attach(identity.KeyOf(rule_, wanted.part),
                            Table::RegionBytes(shape, wanted.bytes), prepare);
  if (!region) return std::unexpected(std::move(region.error()));
  return TablePtr(Table::OfRegion(shape, std::move(*region), file.owners(), sketch));
}

// Its keys are known by the fingerprints of the rule's tables.
std::expected<void, std::string> Rebind::AttachSketch(const BlockedSketch::Options& options,
                                                      const table::Stretch& stretch) {
  table::StateFile& file = *storage_.file;
  const auto prepare = [&](const table::StateFile::Fresh& fresh) {
    BlockedSketch::Begin(*fresh.region);
    if (before_ == nullptr || before_->sketch == nullptr) return;
    BlockedSketch::OfRegion(options, fresh.region, file.owners())
        ->Take(*before_->sketch, storage_.now.engine_ns, stretch);
  };
  Identity identity(rule_);
  identity.Add(rule_.rates(), rule_);
  identity.Add(plan_.table);
  auto region =
      file.Attach(identity.KeyOf(rule_, "sketch"), BlockedSketch::RegionBytes(options), prepare);
  if (!region) return std::unexpected(std::move(region.error()));
  sketch_ = BlockedSketch::OfRegion(options, std::move(*region), file.owners());
  return {};
}

std::expected<Rebind::TablePtr, std::string> Rebind::MakeTable(const Predecessor& before,
                                                               const Wanted& wanted) {
  if (storage_.file != nullptr) return AttachTable(before, wanted);
  const Layout& layout = wanted.layout;
  const std::size_t bytes = wanted.bytes;
  const bool leases = wanted.leases;
  const Table::Shape shape = ShapeOf(layout);
  const bool had = before.table != nullptr && *before.table != nullptr;
  if (!had) return Table::Create(shape, bytes, leases ? nullptr : sketch_);
  const TablePtr& from = *before.table;
  auto mover = std::make_shared<LayoutMover>(RuleLayout{.rule = *old_, .layout = *before.layout},
                                             RuleLayout{.rule = rule_, .layout = layout});
  if (mover->same() && from->Fits(shape, bytes) && (leases || from->sketch() == sketch_)) {
    return from;
  }
  auto fresh =
      from->CreateSuccessor(shape, bytes, leases ? nullptr : sketch_, mover->keeps_stamps());
  if (!fresh) return std::unexpected(std::move(fresh.error()));
  TablePtr to = std::move(*fresh);
  const auto move = [to, from, mover, &layout, leases](Now now) {
    const std::uint64_t refusals = from->counts().refusals;
    HandOn(*from, *to, *mover, {layout, leases}, now, Table::Leave::kSealed);
    return to->counts().refusals - refusals;
  };
  steps_.push_back({.move = move, .what = leases ? "keys with requests in flight" : ""});
  afresh_.insert(mover->afresh().begin(), mover->afresh().end());
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
  for (const std::string& limit : afresh_) {
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
