// The public Limiter: one claim of the engine over a table of its own. It decides nothing itself.
#include "sluicegate/limiter.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <vector>

#include "base/siphash.h"
#include "engine/decide_inline.h"
#include "limit/compiled_limit.h"
#include "policy/capacity.h"
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
  std::unique_ptr<table::Table> rates;     // Null: all limits are of units in flight.
  std::unique_ptr<table::Table> leases;    // Null: none is.
  std::unique_ptr<table::Table> overflow;  // As leases.
};

std::expected<Tables, std::string> MakeTables(const policy::MemoryNeeds& needs) {
  const policy::MemoryPlan plan = policy::PlanMemory(needs);
  Tables tables;
  std::shared_ptr<table::BlockedSketch> sketch;
  if (plan.sketch > 0) {
    auto made = table::BlockedSketch::Create({.bytes = plan.sketch});
    if (!made) return std::unexpected(std::move(made.error()));
    sketch = std::move(*made);
  }
  std::string error;
  const auto make = [&error](std::size_t slot_bytes, std::size_t bytes,
                             std::shared_ptr<table::BlockedSketch> victims) {
    std::unique_ptr<table::Table> table;
    if (bytes == 0 || !error.empty()) return table;
    auto made = table::Table::Create({.state_bytes = slot_bytes}, bytes, std::move(victims));
    if (made) {
      table = std::move(*made);
    } else {
      error = std::move(made.error());
    }
    return table;
  };
  tables.rates = make(needs.rates_bytes, plan.table, sketch);
  tables.leases = make(needs.leases_bytes, plan.leases, nullptr);
  tables.overflow = make(needs.leases_bytes, plan.overflow, nullptr);
  if (!error.empty()) return std::unexpected(std::move(error));
  return tables;
}

}  // namespace

class Limiter::Impl {
 public:
  static std::expected<Limiter, std::string> Create(policy::LimitSet set, LimiterOptions options) {
    auto impl = std::make_unique<Impl>(std::move(set), options);
    const policy::MemoryNeeds needs{.memory = options.memory_bytes,
                                    .rates_bytes = impl->rates_.slot_bytes,
                                    .leases_bytes = impl->leases_.slot_bytes,
                                    .sketch_ppm = policy::kDefaultSketchPpm};
    const std::size_t least = policy::LeastMemory(needs);
    if (options.memory_bytes < least) {
      return std::unexpected("The memory of " + std::to_string(options.memory_bytes) +
                             " bytes has no room for one bucket of keys. Write a memory_bytes of "
                             "at least " +
                             std::to_string(least) + ".");
    }
    auto tables = MakeTables(needs);
    if (!tables) return std::unexpected(std::move(tables.error()));
    impl->tables_ = std::move(*tables);
    return Limiter(std::move(impl));
  }
  Impl(policy::LimitSet set, LimiterOptions options)
      : set_(std::move(set)),
        rates_(policy::Layout::Lay({&set_, 1}, policy::Layout::Of::kRates)),
        leases_(policy::Layout::Lay({&set_, 1}, policy::Layout::Of::kLeases)),
        clock_(options.clock == nullptr ? SystemClock() : *options.clock),
        hasher_(HashSecret::Random()),
        limits_(!Leases().empty()     ? Limits::kWithLeases
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

  void Decide(std::uint64_t hash, std::uint64_t cost, Now now, Decision& decision) noexcept {
    switch (limits_) {
      case Limits::kOneRate:
        return DecideRates<1>(hash, cost, now, decision);
      case Limits::kRates:
        return DecideRates<std::dynamic_extent>(hash, cost, now, decision);
      case Limits::kWithLeases:
        break;
    }
    DecideWithLeases(hash, cost, now, decision);
  }

  // Functions of their own, so that each has all registers.
  template <std::size_t kLimits>
  [[gnu::noinline]] void DecideRates(std::uint64_t hash, std::uint64_t cost, Now now,
                                     Decision& decision) noexcept {
    engine::Claim claim{.table = tables_.rates.get(),
                        .layout = &rates_,
                        .limits = Rates(),
                        .hash = hash,
                        .cost = cost};
    const std::span<engine::Claim, 1> one(&claim, 1);
    (void)engine::internal::DecideUpTo<1, kLimits>(one, now, decision, {});
  }

  // A key that finds no place for its lease shares one with all others that find none.
  [[gnu::noinline]] void DecideWithLeases(std::uint64_t hash, std::uint64_t cost, Now now,
                                          Decision& decision) noexcept {
    std::array<engine::Claim, 2> claims;
    std::array<Stamp, 2> stamps;
    std::size_t size = 0;
    if (tables_.rates != nullptr) {
      claims[size++] = {.table = tables_.rates.get(),
                        .layout = &rates_,
                        .limits = Rates(),
                        .hash = hash,
                        .cost = cost};
    }
    claims[size++] = {.table = tables_.leases.get(),
                      .layout = &leases_,
                      .limits = Leases(),
                      .hash = hash,
                      .cost = cost,
                      .lease = true};
    const std::span<engine::Claim> all(claims.data(), size);
    const std::span<Stamp> charges(stamps.data(), size);
    const engine::Attempt attempt = engine::DecideClaims(all, now, decision, charges);
    const bool overflowed = attempt.hindrance != engine::Hindrance::kNone;
    if (overflowed) {
      claims[size - 1].table = tables_.overflow.get();
      claims[size - 1].hash = 0;
      claims[size - 1].shared_bits = Decision::kSharedByAll;
      (void)engine::DecideClaims(all, now, decision, charges);
    }
    if (!decision.allowed()) return;
    decision.stamp = stamps[0];
    decision.held = {.place = overflowed ? kOverflow : kOwn,
                     .generation = stamps[size - 1].generation};
  }

  // Constant after construction; the tables are thread-safe. Their ids ascend in the order of
  // Tables.
  const policy::LimitSet set_;
  const policy::Layout rates_;
  const policy::Layout leases_;
  Tables tables_;
  const Clock& clock_;
  const SipHasher hasher_;  // Of no bytes yet; each key goes into a copy.
  enum class Limits : std::uint8_t { kOneRate, kRates, kWithLeases };
  const Limits limits_;
  std::vector<Limit> written_;
};

Limiter::Limiter(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Limiter::Limiter(Limiter&& other) noexcept = default;
Limiter& Limiter::operator=(Limiter&& other) noexcept = default;
Limiter::~Limiter() = default;

std::expected<Limiter, std::string> Limiter::Create(std::initializer_list<LimitLike> limits,
                                                    LimiterOptions options) {
  std::vector<Limit> read;
  for (const LimitLike& like : limits) {
    if (!like.limit()) return std::unexpected(like.limit().error());
    read.push_back(*like.limit());
  }
  return Create(std::span<const Limit>(read), options);
}

std::expected<Limiter, std::string> Limiter::Create(std::span<const Limit> limits,
                                                    LimiterOptions options) {
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
