#include "engine/limiter_tables.h"

#include <algorithm>
#include <utility>

#include "engine/regions.h"
#include "limit/compiled_limit.h"
#include "table/open_once.h"

namespace sluicegate::engine {
namespace {

std::string NoSuchNumber(std::size_t count) {
  if (count == 0)
    return "There are no limits. Write at least one, like Limiter::Create({\"60/minute\"}).";
  return "There are " + std::to_string(count) + " limits, and a limiter has at most " +
         std::to_string(policy::kMaxLimitsPerRule) + ". Leave out those that others imply.";
}

std::string WhatIsWrongWith(const Penalty& penalty) {
  const auto bad = [](Duration length) { return length <= Duration::zero(); };
  if (penalty.violations == 0 || bad(penalty.within) || bad(penalty.ban)) {
    return "A penalty needs at least one violation, and lengths above 0. Write them, or leave "
           "LimiterOptions::penalty out.";
  }
  return {};
}

// Makes one part after the other, in memory or in a file, until one cannot be had.
class Maker {
 public:
  explicit Maker(Regions* regions) : regions_(regions) {}

  [[nodiscard]] std::shared_ptr<table::BlockedSketch> Sketch(const KeptLayout& layout,
                                                             std::size_t bytes) {
    if (bytes == 0) return nullptr;
    return regions_ != nullptr ? Take(regions_->AttachSketch({layout}, {.bytes = bytes}))
                               : Take(table::BlockedSketch::Create({.bytes = bytes}));
  }
  [[nodiscard]] std::shared_ptr<table::Table> Table(const KeptLayout& layout, std::size_t bytes,
                                                    std::shared_ptr<table::BlockedSketch> sketch) {
    if (bytes == 0 || !error_.empty()) return nullptr;
    return regions_ != nullptr
               ? Take(regions_->AttachTable(layout, bytes, std::move(sketch)))
               : Take(table::Table::Create(layout.shape(), bytes, std::move(sketch)));
  }
  [[nodiscard]] std::shared_ptr<shield::Bans> Bans(const shield::PenaltyTerms& terms,
                                                   std::size_t bytes) {
    if (bytes == 0 || !error_.empty()) return nullptr;
    if (regions_ != nullptr) return Take(regions_->AttachBans(terms, bytes));
    return Take(shield::Bans::Create(bytes));
  }
  [[nodiscard]] const std::string& error() const noexcept { return error_; }

 private:
  template <class Made>
  auto Take(Made made) -> std::shared_ptr<typename Made::value_type::element_type> {
    if (!made) error_ = std::move(made.error());
    return made ? std::move(*made) : nullptr;
  }

  Regions* const regions_;  // Null: in memory.
  std::string error_;
};

}  // namespace

std::expected<LimiterLimits, std::string> LimiterLimits::Compile(std::vector<Limit> limits) {
  if (limits.empty() || limits.size() > policy::kMaxLimitsPerRule)
    return std::unexpected(NoSuchNumber(limits.size()));
  (void)limit::ResolveRefills(limits);  // A bucket left without a refill is told by its Compile.
  policy::LimitSet set;
  for (Limit& limit : limits) {
    const auto read = limit::CompiledLimit::Compile(limit);
    if (!read) return std::unexpected(read.error());
    if (limit.name.empty()) limit.name = limit::DefaultName(limit);
    if (std::ranges::find(set.limits, limit.name, &policy::RuleLimit::name) != set.limits.end()) {
      return std::unexpected("Two limits are called " + limit.name +
                             ". Leave one out, or set its Limit::name.");
    }
    set.limits.push_back({.limit = *read, .name = limit.name, .written = limit});
  }
  LimiterLimits compiled{.set = {},
                         .rates = policy::Layout::Lay({&set, 1}, policy::Layout::Of::kRates),
                         .leases = policy::Layout::Lay({&set, 1}, policy::Layout::Of::kLeases)};
  compiled.set = std::move(set);
  return compiled;
}

std::expected<LimiterTables, std::string> LimiterTables::Make(const LimiterLimits& limits,
                                                              const LimiterOptions& options,
                                                              table::StateFile* file, Now now) {
  if (options.penalty) {
    if (const std::string why = WhatIsWrongWith(*options.penalty); !why.empty()) {
      return std::unexpected(why);
    }
  }
  const policy::MemoryNeeds needs{.memory = options.memory_bytes,
                                  .rates_bytes = limits.rates.slot_bytes,
                                  .leases_bytes = limits.leases.slot_bytes,
                                  .bans = options.penalty.has_value(),
                                  .sketch_ppm = policy::kDefaultSketchPpm};
  const std::size_t least = policy::LeastMemory(needs);
  if (options.memory_bytes < least) {
    return std::unexpected("The memory of " + std::to_string(options.memory_bytes) +
                           " bytes has no room for one bucket of keys. Write at least " +
                           std::to_string(least) + ".");
  }
  const policy::MemoryPlan plan = policy::PlanMemory(needs);
  std::optional<Regions> regions;
  if (file != nullptr) regions.emplace(*file, options.name, now);
  Maker maker(regions ? &*regions : nullptr);
  const auto rates = KeptLayout::Of("rates", limits.set, limits.rates);
  LimiterTables tables;
  tables.rates = maker.Table(rates, plan.table, maker.Sketch(rates, plan.sketch));
  tables.leases =
      maker.Table(KeptLayout::Of("leases", limits.set, limits.leases), plan.leases, nullptr);
  tables.overflow =
      maker.Table(KeptLayout::Of("overflow", limits.set, limits.leases), plan.overflow, nullptr);
  if (options.penalty) tables.bans = maker.Bans(TermsOf(*options.penalty), plan.bans);
  if (!maker.error().empty()) return std::unexpected(maker.error());
  return tables;
}

std::expected<std::shared_ptr<table::StateFile>, std::string> OpenLimiterState(
    const LimiterOptions& options) {
  if (options.state_file.empty()) return nullptr;
  const auto bad = [](char c) { return c == '/' || static_cast<unsigned char>(c) < ' '; };
  if (options.name.empty() || std::ranges::any_of(options.name, bad)) {
    return std::unexpected(
        "A limiter in a file needs a name without slashes and control characters. Write another "
        "name.");
  }
  return table::OpenOnce(options.state_file);
}

shield::PenaltyTerms TermsOf(const Penalty& penalty) noexcept {
  return {.violations = penalty.violations,
          .within_ns = static_cast<std::uint64_t>(penalty.within.count()),
          .ban_ns = static_cast<std::uint64_t>(penalty.ban.count())};
}

}  // namespace sluicegate::engine
