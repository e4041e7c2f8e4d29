// The public Limiter: one claim of the engine over a table of its own. It decides nothing itself.
#include "sluicegate/limiter.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cassert>
#include <optional>
#include <vector>

#include "base/siphash.h"
#include "engine/decide_inline.h"
#include "engine/regions.h"
#include "limit/compiled_limit.h"
#include "policy/capacity.h"
#include "table/open_once.h"
#include "table/table.h"

namespace sluicegate {
namespace {

std::string NoSuchNumber(std::size_t count) {
  if (count == 0)
    return "There are no limits. Write at least one, like Limiter::Create({\"60/minute\"}).";
  return "There are " + std::to_string(count) + " limits, and a limiter has at most " +
         std::to_string(policy::kMaxLimitsPerRule) + ". Leave out those that others imply.";
}

// Compiles the limits, in their order, into a layout of one slot.
std::expected<policy::LimitSet, std::string> CompileLimits(std::vector<Limit> limits) {
  if (limits.empty() || limits.size() > policy::kMaxLimitsPerRule)
    return std::unexpected(NoSuchNumber(limits.size()));
  (void)limit::ResolveRefills(limits);  // A bucket left without a refill is told by its Compile.
  policy::LimitSet set;
  for (Limit& limit : limits) {
    const auto compiled = limit::CompiledLimit::Compile(limit);
    if (!compiled) return std::unexpected(compiled.error());
    if (limit.name.empty()) limit.name = limit::DefaultName(limit);
    if (std::ranges::find(set.limits, limit.name, &policy::RuleLimit::name) != set.limits.end()) {
      return std::unexpected("Two limits are called " + limit.name +
                             ". Leave one out, or set its Limit::name.");
    }
    set.limits.push_back({.limit = *compiled, .name = limit.name, .written = limit});
  }
  return set;
}

// What a limiter keeps: as a rule of a policy, without what a rule has beside its limits.
struct Tables {
  std::shared_ptr<table::Table> rates;     // Null: all limits are of units in flight.
  std::shared_ptr<table::Table> leases;    // Null: none is.
  std::shared_ptr<table::Table> overflow;  // As leases.
};

// Its limits as its tables hold them.
struct Layouts {
  engine::KeptLayout rates;
  engine::KeptLayout leases;
  engine::KeptLayout overflow;
};

// `regions`: of a limiter in a file; else null.
std::expected<Tables, std::string> MakeTables(const policy::MemoryNeeds& needs,
                                              const Layouts& layouts, engine::Regions* regions) {
  const policy::MemoryPlan plan = policy::PlanMemory(needs);
  std::string error;
  const auto take = [&error](auto made) {
    if (!made) error = std::move(made.error());
    return made ? std::move(*made) : nullptr;
  };
  std::shared_ptr<table::BlockedSketch> sketch;
  if (plan.sketch > 0 && regions != nullptr) {
    sketch = take(regions->AttachSketch({layouts.rates}, {.bytes = plan.sketch}));
  } else if (plan.sketch > 0) {
    sketch = take(table::BlockedSketch::Create({.bytes = plan.sketch}));
  }
  const auto make = [&](const engine::KeptLayout& layout, std::size_t bytes,
                        std::shared_ptr<table::BlockedSketch> victims) {
    std::shared_ptr<table::Table> table;
    if (bytes == 0 || !error.empty()) return table;
    if (regions != nullptr) {
      table = take(regions->AttachTable(layout, bytes, std::move(victims)));
    } else {
      table = take(table::Table::Create(layout.shape(), bytes, std::move(victims)));
    }
    return table;
  };
  Tables tables;
  tables.rates = make(layouts.rates, plan.table, sketch);
  tables.leases = make(layouts.leases, plan.leases, nullptr);
  tables.overflow = make(layouts.overflow, plan.overflow, nullptr);
  if (!error.empty()) return std::unexpected(std::move(error));
  return tables;
}

// Null: in memory.
std::expected<std::shared_ptr<table::StateFile>, std::string> OpenState(
    const LimiterOptions& options) {
  if (options.state_file.empty()) return nullptr;
  const auto bad = [](char c) { return c == '/' || static_cast<unsigned char>(c) < ' '; };
  if (options.name.empty() || std::ranges::any_of(options.name, bad)) {
    return std::unexpected(
        "A limiter in a file needs a name without slashes and control characters. Set "
        "LimiterOptions::name.");
  }
  return table::OpenOnce(options.state_file);
}

}  // namespace

class Limiter::Impl {
 public:
  static std::expected<Limiter, std::string> Create(policy::LimitSet set,
                                                    const LimiterOptions& options) {
    using policy::Layout;
    const policy::MemoryNeeds needs{
        .memory = options.memory_bytes,
        .rates_bytes = Layout::Lay({&set, 1}, Layout::Of::kRates).slot_bytes,
        .leases_bytes = Layout::Lay({&set, 1}, Layout::Of::kLeases).slot_bytes,
        .sketch_ppm = policy::kDefaultSketchPpm};
    const std::size_t least = policy::LeastMemory(needs);
    if (options.memory_bytes < least) {
      return std::unexpected("The memory of " + std::to_string(options.memory_bytes) +
                             " bytes has no room for one bucket of keys. Write a memory_bytes of "
                             "at least " +
                             std::to_string(least) + ".");
    }
    auto file = OpenState(options);
    if (!file) return std::unexpected(std::move(file.error()));
    auto impl = std::make_unique<Impl>(std::move(set), options, std::move(*file));
    std::optional<engine::Regions> regions;
    if (impl->file_ != nullptr) {
      regions.emplace(*impl->file_, options.name, impl->clock_.Read());
    }
    auto tables = MakeTables(needs, impl->Kept(), regions ? &*regions : nullptr);
    if (!tables) return std::unexpected(std::move(tables.error()));
    impl->tables_ = std::move(*tables);
    return Limiter(std::move(impl));
  }
  Impl(policy::LimitSet set, const LimiterOptions& options, std::shared_ptr<table::StateFile> file)
      : file_(std::move(file)),
        fails_open_(options.fails_open),
        set_(std::move(set)),
        rates_(policy::Layout::Lay({&set_, 1}, policy::Layout::Of::kRates)),
        leases_(policy::Layout::Lay({&set_, 1}, policy::Layout::Of::kLeases)),
        machine_clock_(options.clock == nullptr ? SystemClock() : *options.clock),
        state_clock_(file_ == nullptr ? nullptr : file_->ClockBy(machine_clock_)),
        clock_(state_clock_ == nullptr ? machine_clock_ : *state_clock_),
        hasher_(file_ == nullptr ? HashSecret::Random() : file_->secret()),
        limits_(file_ != nullptr      ? Limits::kInFile
                : !Leases().empty()   ? Limits::kWithLeases
                : Rates().size() == 1 ? Limits::kOneRate
                                      : Limits::kRates) {
    for (const policy::RuleLimit& limit : set_.limits) written_.push_back(limit.written);
  }

  // Nothing but the hash stands before the fetch, so that a core that waits for one key's bucket
  // gets as far as to the next key's.
  [[nodiscard]] Decision Check(std::string_view key, std::uint64_t cost) noexcept {
    const std::uint64_t hash = SipHasher(hasher_).HashWhole(key);
    if (tables_.rates != nullptr) tables_.rates->Prefetch(hash);
    Decision decision;
    Decide(hash, cost, clock_.Read(), decision);
    return decision;
  }

  void CheckMany(std::span<const std::string_view> keys, std::span<Decision> decisions,
                 std::uint64_t cost) noexcept {
    const Now now = clock_.Read();
    std::array<std::uint64_t, kHeadersAhead> hashes;  // A ring of those under way.
    const std::size_t size = keys.size();
    for (std::size_t i = 0; i < size + kHeadersAhead; ++i) {
      if (i >= kHeadersAhead) {
        const std::size_t due = i - kHeadersAhead;
        Decide(hashes[due % kHeadersAhead], cost, now, decisions[due]);
      }
      if (i < size) {
        hashes[i % kHeadersAhead] = SipHasher(hasher_).HashWhole(keys[i]);
        FetchHeader(hashes[i % kHeadersAhead]);
      }
      const std::size_t near = i - (kHeadersAhead - kStatesAhead);  // Wraps before the first.
      if (near < size) FetchState(hashes[near % kHeadersAhead]);
    }
  }

  void GiveBack(const Decision& decision) noexcept {
    const Stamp& charge = decision.stamp;
    if (tables_.rates != nullptr && charge.table == tables_.rates->id()) {
      (void)engine::GiveBackCharge(*tables_.rates, rates_, charge, clock_.Read());
    }
    Release(decision);
  }

  void Release(const Decision& decision) noexcept {
    const table::Table& named = tables_.rates != nullptr ? *tables_.rates : *tables_.leases;
    const bool ours =
        decision.stamp.table == named.id() ||
        (tables_.overflow != nullptr && decision.stamp.table == tables_.overflow->id());
    if (decision.held.place == kNowhere || !ours) return;
    table::Table& table = decision.held.place == kOverflow ? *tables_.overflow : *tables_.leases;
    Stamp lease = decision.stamp;
    lease.table = table.id();
    lease.generation = decision.held.generation;
    if (decision.held.place == kOverflow) lease.hash = 0;
    (void)engine::GiveBackCharge(table, leases_, lease, clock_.Read());
  }

  [[nodiscard]] std::span<const Limit> limits() const noexcept { return written_; }
  [[nodiscard]] std::uint64_t capacity() const noexcept {
    return (tables_.rates != nullptr ? tables_.rates : tables_.leases)->capacity();
  }
  [[nodiscard]] std::uint64_t evictions() const noexcept {
    if (tables_.rates == nullptr) return 0;
    const table::TableCounts counts = tables_.rates->counts();
    return counts.evictions + counts.evictions_at_limit;
  }

 private:
  // Decision::Held::place.
  static constexpr std::uint8_t kNowhere = 0;
  static constexpr std::uint8_t kOwn = 1;
  static constexpr std::uint8_t kOverflow = 2;
  // How many keys ahead of the decision a bucket's header is fetched, and its state. A decision
  // takes some 30 ns and a miss up to 300, so ten are enough, and a core holds two dozen.
  static constexpr std::size_t kHeadersAhead = 32;
  static constexpr std::size_t kStatesAhead = 16;

  void FetchHeader(std::uint64_t hash) const noexcept {
    if (tables_.rates != nullptr) tables_.rates->PrefetchHeader(hash);
    if (tables_.leases != nullptr) tables_.leases->PrefetchHeader(hash);
  }
  void FetchState(std::uint64_t hash) const noexcept {
    if (tables_.rates != nullptr) tables_.rates->PrefetchState(hash);
    if (tables_.leases != nullptr) tables_.leases->PrefetchState(hash);
  }

  [[nodiscard]] std::span<const policy::BoundLimit> Rates() const noexcept {
    return rates_.variants[0];
  }
  [[nodiscard]] std::span<const policy::BoundLimit> Leases() const noexcept {
    return leases_.variants[0];
  }

  [[nodiscard]] Layouts Kept() const {
    return {.rates = engine::KeptLayout::Of("rates", set_, rates_),
            .leases = engine::KeptLayout::Of("leases", set_, leases_),
            .overflow = engine::KeptLayout::Of("overflow", set_, leases_)};
  }

  // In memory nothing can hinder a decision.
  void Decide(std::uint64_t hash, std::uint64_t cost, Now now, Decision& decision) noexcept {
    switch (limits_) {
      case Limits::kOneRate:
        return DecideRates<1>(hash, cost, now, decision);
      case Limits::kRates:
        return DecideRates<std::dynamic_extent>(hash, cost, now, decision);
      case Limits::kWithLeases:
        return (void)DecideWithLeases(hash, cost, now, decision);
      case Limits::kInFile:
        break;
    }
    DecideInFile(hash, cost, now, decision);
  }

  // No loop of its own keeps the file's time, so those who ask do.
  [[gnu::noinline]] void DecideInFile(std::uint64_t hash, std::uint64_t cost, Now now,
                                      Decision& decision) noexcept {
    constexpr std::uint64_t kSecondNs = 1'000'000'000;
    std::uint64_t due_ns = keep_due_ns_.load(std::memory_order_relaxed);
    if (now.engine_ns >= due_ns &&
        keep_due_ns_.compare_exchange_strong(due_ns, now.engine_ns + kSecondNs,
                                             std::memory_order_relaxed)) {
      file_->Keep(now);
    }
    engine::Claim rates = RatesOf(hash, cost);
    const engine::Hindrance hindrance =
        Leases().empty() ? engine::DecideClaims({&rates, 1}, now, decision).hindrance
                         : DecideWithLeases(hash, cost, now, decision);
    if (hindrance == engine::Hindrance::kNone) return;
    decision = fails_open_ ? Decision{} : engine::Undecided();
    decision.limit = 0;  // Nobody knows which one binds; callers look it up.
  }

  [[nodiscard]] engine::Claim RatesOf(std::uint64_t hash, std::uint64_t cost) const noexcept {
    return {.table = tables_.rates.get(),
            .layout = &rates_,
            .limits = Rates(),
            .hash = hash,
            .cost = cost};
  }

  // Functions of their own, so that each has all registers.
  template <std::size_t kLimits>
  [[gnu::noinline]] void DecideRates(std::uint64_t hash, std::uint64_t cost, Now now,
                                     Decision& decision) noexcept {
    engine::Claim claim = RatesOf(hash, cost);
    const std::span<engine::Claim, 1> one(&claim, 1);
    (void)engine::internal::DecideUpTo<1, kLimits>(one, now, decision, {});
  }

  // A key that finds no place for its lease shares one with all others that find none.
  [[gnu::noinline]] engine::Hindrance DecideWithLeases(std::uint64_t hash, std::uint64_t cost,
                                                       Now now, Decision& decision) noexcept {
    const engine::Hindrance hindrance = DecideWithLease(kOwn, hash, cost, now, decision);
    return hindrance == engine::Hindrance::kCrowded
               ? DecideWithLease(kOverflow, hash, cost, now, decision)
               : hindrance;
  }

  [[nodiscard]] engine::Hindrance DecideWithLease(std::uint8_t place, std::uint64_t hash,
                                                  std::uint64_t cost, Now now,
                                                  Decision& decision) noexcept {
    const bool own = place == kOwn;
    const engine::Claim lease{.table = own ? tables_.leases.get() : tables_.overflow.get(),
                              .layout = &leases_,
                              .limits = Leases(),
                              .hash = own ? hash : 0,
                              .cost = cost,
                              .shared_bits = own ? std::uint8_t{0} : Decision::kSharedByAll,
                              .lease = true};
    std::array<engine::Claim, 2> claims = {lease};
    std::array<Stamp, 2> stamps;
    std::size_t size = 1;
    std::size_t leased = 0;
    if (tables_.rates != nullptr) {
      // In a file either may be the older.
      leased = tables_.rates->id() < lease.table->id() ? 1 : 0;
      claims[leased] = lease;
      claims[1 - leased] = RatesOf(hash, cost);
      size = 2;
    }
    const engine::Attempt attempt =
        engine::DecideClaims({claims.data(), size}, now, decision, {stamps.data(), size});
    if (attempt.hindrance != engine::Hindrance::kNone || !decision.allowed()) {
      return attempt.hindrance;
    }
    decision.stamp = stamps[size - 1 - leased];
    decision.held = {.place = place, .generation = stamps[leased].generation};
    return engine::Hindrance::kNone;
  }

  // Constant after construction, or thread-safe.
  const std::shared_ptr<table::StateFile> file_;  // Null: in memory. Outlives the tables.
  const bool fails_open_;
  const policy::LimitSet set_;
  const policy::Layout rates_;
  const policy::Layout leases_;
  Tables tables_;
  const Clock& machine_clock_;
  const std::unique_ptr<const Clock> state_clock_;  // Null: in memory.
  const Clock& clock_;
  std::atomic<std::uint64_t> keep_due_ns_{0};
  const SipHasher hasher_;  // Of no bytes yet; each key goes into a copy.
  enum class Limits : std::uint8_t { kOneRate, kRates, kWithLeases, kInFile };
  const Limits limits_;
  std::vector<Limit> written_;
};

Limiter::Limiter(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Limiter::Limiter(Limiter&& other) noexcept = default;
Limiter& Limiter::operator=(Limiter&& other) noexcept = default;
Limiter::~Limiter() = default;

std::expected<Limiter, std::string> Limiter::Create(std::initializer_list<LimitLike> limits,
                                                    const LimiterOptions& options) {
  std::vector<Limit> read;
  for (const LimitLike& like : limits) {
    if (!like.limit()) return std::unexpected(like.limit().error());
    read.push_back(*like.limit());
  }
  return Create(std::span<const Limit>(read), options);
}

std::expected<Limiter, std::string> Limiter::Create(std::span<const Limit> limits,
                                                    const LimiterOptions& options) {
  auto set = CompileLimits({limits.begin(), limits.end()});
  if (!set) return std::unexpected(std::move(set.error()));
  return Impl::Create(std::move(*set), options);
}

Decision Limiter::Check(std::string_view key, std::uint64_t cost) noexcept {
  assert(impl_ != nullptr && "a moved-from limiter was asked");
  return impl_->Check(key, cost);
}

void Limiter::GiveBack(const Decision& decision) noexcept {
  assert(impl_ != nullptr && "a moved-from limiter was asked");
  impl_->GiveBack(decision);
}

void Limiter::Release(const Decision& decision) noexcept {
  assert(impl_ != nullptr && "a moved-from limiter was asked");
  impl_->Release(decision);
}

void Limiter::Release(Impl& impl, const Decision& decision) noexcept { impl.Release(decision); }

void Limiter::CheckMany(std::span<const std::string_view> keys, std::span<Decision> decisions,
                        std::uint64_t cost) noexcept {
  assert(impl_ != nullptr && "a moved-from limiter was asked");
  impl_->CheckMany(keys.first(std::min(keys.size(), decisions.size())), decisions, cost);
}

std::span<const Limit> Limiter::limits() const noexcept { return impl_->limits(); }

std::uint64_t Limiter::capacity() const noexcept { return impl_->capacity(); }

std::uint64_t Limiter::evictions() const noexcept { return impl_->evictions(); }

}  // namespace sluicegate
