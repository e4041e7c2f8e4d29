// The public Limiter: one claim of the engine over a table of its own. It decides nothing itself.
#include "sluicegate/limiter.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <tuple>
#include <vector>

#include "base/siphash.h"
#include "engine/decide_inline.h"
#include "engine/limiter_tables.h"
#include "engine/time_keeper.h"
#include "engine/weigher.h"
#include "limit/saturating.h"
#include "table/table.h"

namespace sluicegate {
namespace {

constexpr std::size_t kMostLimits = policy::kMaxLimitsPerRule;
static_assert(kMostLimits == std::tuple_size_v<decltype(KeyUse::used)>);

}  // namespace

class Limiter::Impl {
 public:
  static std::expected<Limiter, std::string> Create(engine::LimiterLimits limits,
                                                    const LimiterOptions& options) {
    auto file = engine::OpenLimiterState(options);
    if (!file) return std::unexpected(std::move(file.error()));
    auto impl = std::make_unique<Impl>(std::move(limits), options, std::move(*file));
    auto tables =
        engine::LimiterTables::Make(impl->limits_, options, impl->file_.get(), impl->clock_.Read());
    if (!tables) return std::unexpected(std::move(tables.error()));
    impl->tables_ = std::move(*tables);
    return Limiter(std::move(impl));
  }
  Impl(engine::LimiterLimits limits, const LimiterOptions& options,
       std::shared_ptr<table::StateFile> file)
      : file_(std::move(file)),
        fails_open_(options.fails_open),
        penalty_(engine::TermsOf(options.penalty.value_or(Penalty{}))),
        limits_(std::move(limits)),
        machine_clock_(options.clock == nullptr ? SystemClock() : *options.clock),
        state_clock_(file_ == nullptr ? nullptr : file_->ClockBy(machine_clock_)),
        clock_(state_clock_ == nullptr ? machine_clock_ : *state_clock_),
        hasher_(file_ == nullptr ? HashSecret::Random() : file_->secret()),
        way_(file_ != nullptr || options.penalty ? Way::kApart
             : !Leases().empty()                 ? Way::kWithLeases
             : Rates().size() == 1               ? Way::kOneRate
                                                 : Way::kRates) {
    for (const policy::RuleLimit& limit : limits_.set.limits) written_.push_back(limit.written);
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
      (void)engine::GiveBackCharge(*tables_.rates, limits_.rates, charge, clock_.Read());
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
    (void)engine::GiveBackCharge(table, limits_.leases, lease, clock_.Read());
  }

  bool RecordViolation(std::string_view key) noexcept {
    if (tables_.bans == nullptr) return false;
    const std::uint64_t hash = SipHasher(hasher_).HashWhole(key);
    return tables_.bans->RecordViolation(hash, penalty_, clock_.Read()).ban_ns > 0;
  }

  [[nodiscard]] KeyUse Look(std::string_view key) noexcept {
    const std::uint64_t hash = SipHasher(hasher_).HashWhole(key);
    const Now now = clock_.Read();
    KeyUse use;
    Look(tables_.rates.get(), Rates(), hash, now, use);
    Look(tables_.leases.get(), Leases(), hash, now, use);
    if (tables_.bans == nullptr) return use;
    const shield::Bans::Record ban = tables_.bans->Find(hash, now);
    use.ban_left_ns = ban.left_ns;
    use.violations = ban.left_ns > 0 ? penalty_.violations
                                     : limit::DivideRoundingUp(ban.debt_ns, penalty_.interval_ns());
    return use;
  }

  // The sketch is asked for absent keys only, and cells of it are others' as well: so a key that it
  // blocks is made a present one that has used nothing.
  bool Forget(std::string_view key) noexcept {
    const std::uint64_t hash = SipHasher(hasher_).HashWhole(key);
    const bool forgiven = tables_.bans == nullptr || tables_.bans->Forget(hash);
    if (tables_.rates == nullptr) return forgiven;
    table::Cell cell = tables_.rates->Lock(hash);
    if (cell.sealed()) return false;
    cell.Vacate();
    const Now now = clock_.Read();
    if (tables_.rates->BlockedFor(hash, now) > 0) {
      (void)cell.Claim(engine::LimitWeigher(limits_.rates), 0, now);
    }
    return forgiven;
  }

  // The tables first: who gives way meanwhile is blocked for what he used before.
  std::uint64_t ForgetAll() noexcept {
    const Now now = clock_.Read();
    if (tables_.bans != nullptr) tables_.bans->ForgetAll(now);
    if (tables_.rates == nullptr) return 0;
    const std::uint64_t live = tables_.rates->Clear(engine::LimitWeigher(limits_.rates), now);
    if (tables_.rates->sketch() != nullptr) tables_.rates->sketch()->Clear();
    return live;
  }

  [[nodiscard]] std::uint64_t EstimateLive() noexcept {
    const bool rated = tables_.rates != nullptr;
    const engine::LimitWeigher weigher(rated ? limits_.rates : limits_.leases);
    return (rated ? tables_.rates : tables_.leases)->EstimateLive(weigher, clock_.Read());
  }

  [[nodiscard]] std::uint64_t EstimateLive(std::size_t limit) {
    const bool rated = tables_.rates != nullptr;
    policy::Layout only = rated ? limits_.rates : limits_.leases;
    std::erase_if(only.variants[0],
                  [limit](const policy::BoundLimit& bound) { return bound.index != limit; });
    const engine::LimitWeigher weigher(only);
    return (rated ? tables_.rates : tables_.leases)->EstimateLive(weigher, clock_.Read());
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

  static void Look(table::Table* table, std::span<const policy::BoundLimit> limits,
                   std::uint64_t hash, Now now, KeyUse& use) noexcept {
    if (table == nullptr) return;
    const table::Cell cell = table->Lock(hash);
    if (!cell.present()) return;
    for (const policy::BoundLimit& limit : limits) {
      const std::uint64_t left = limit.limit.Remaining(cell.state() + limit.offset, now);
      use.used[limit.index] = limit::SubtractSaturating(limit.limit.quota(), left);
    }
  }

  void FetchHeader(std::uint64_t hash) const noexcept {
    if (tables_.rates != nullptr) tables_.rates->PrefetchHeader(hash);
    if (tables_.leases != nullptr) tables_.leases->PrefetchHeader(hash);
  }
  void FetchState(std::uint64_t hash) const noexcept {
    if (tables_.rates != nullptr) tables_.rates->PrefetchState(hash);
    if (tables_.leases != nullptr) tables_.leases->PrefetchState(hash);
  }

  [[nodiscard]] std::span<const policy::BoundLimit> Rates() const noexcept {
    return limits_.rates.variants[0];
  }
  [[nodiscard]] std::span<const policy::BoundLimit> Leases() const noexcept {
    return limits_.leases.variants[0];
  }

  // In memory nothing can hinder a decision on limits alone.
  void Decide(std::uint64_t hash, std::uint64_t cost, Now now, Decision& decision) noexcept {
    switch (way_) {
      case Way::kOneRate:
        return DecideRates<1>(hash, cost, now, decision);
      case Way::kRates:
        return DecideRates<std::dynamic_extent>(hash, cost, now, decision);
      case Way::kWithLeases:
        return (void)DecideWithLeases(hash, cost, now, decision);
      case Way::kApart:
        break;
    }
    DecideApart(hash, cost, now, decision);
  }

  [[gnu::noinline]] void DecideApart(std::uint64_t hash, std::uint64_t cost, Now now,
                                     Decision& decision) noexcept {
    if (file_ != nullptr) time_keeper_.Keep(*file_, now);
    if (tables_.bans != nullptr) {
      const shield::Bans::Record ban = tables_.bans->Find(hash, now);
      if (ban.left_ns > 0) return DecideBanned(hash, cost, ban.left_ns, now, decision);
      if (ban.stuck) return DecideWithoutState(decision);
    }
    engine::Claim rates = RatesOf(hash, cost);
    const engine::Hindrance hindrance =
        Leases().empty() ? engine::DecideClaims({&rates, 1}, now, decision).hindrance
                         : DecideWithLeases(hash, cost, now, decision);
    if (hindrance != engine::Hindrance::kNone) DecideWithoutState(decision);
  }

  // A limit may have no room yet when the ban ends.
  void DecideBanned(std::uint64_t hash, std::uint64_t cost, std::uint64_t left_ns, Now now,
                    Decision& decision) const noexcept {
    decision = {};
    decision.verdict = Verdict::kBanned;
    decision.hold_ns = decision.reset_after_ns = decision.retry_after_ns = left_ns;
    decision.key_hash = hash;
    for (const engine::Claim& claim : {RatesOf(hash, cost), LeaseOf(kOwn, hash, cost)}) {
      if (claim.table == nullptr) continue;
      const auto wait_ns = engine::RetryAfterOf({&claim, 1}, now);
      decision.retry_after_ns = std::max(decision.retry_after_ns, wait_ns.value_or(0));
    }
  }

  void DecideWithoutState(Decision& decision) const noexcept {
    decision = fails_open_ ? Decision{} : engine::Undecided();
    decision.limit = 0;  // Nobody knows which one binds; callers look it up.
  }

  [[nodiscard]] engine::Claim RatesOf(std::uint64_t hash, std::uint64_t cost) const noexcept {
    return {.table = tables_.rates.get(),
            .layout = &limits_.rates,
            .limits = Rates(),
            .hash = hash,
            .cost = cost};
  }

  [[nodiscard]] engine::Claim LeaseOf(std::uint8_t place, std::uint64_t hash,
                                      std::uint64_t cost) const noexcept {
    const bool own = place == kOwn;
    return {.table = own ? tables_.leases.get() : tables_.overflow.get(),
            .layout = &limits_.leases,
            .limits = Leases(),
            .hash = own ? hash : 0,
            .cost = cost,
            .shared_bits = own ? std::uint8_t{0} : Decision::kSharedByAll,
            .lease = true};
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
    const engine::Claim lease = LeaseOf(place, hash, cost);
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
  const shield::PenaltyTerms penalty_;
  const engine::LimiterLimits limits_;
  engine::LimiterTables tables_;
  const Clock& machine_clock_;
  const std::unique_ptr<const Clock> state_clock_;  // Null: in memory.
  const Clock& clock_;
  engine::TimeKeeper time_keeper_;
  const SipHasher hasher_;  // Of no bytes yet; each key goes into a copy.
  // How it decides: as fast as its limits let it; kApart has a file, or a penalty.
  enum class Way : std::uint8_t { kOneRate, kRates, kWithLeases, kApart };
  const Way way_;
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
  auto compiled = engine::LimiterLimits::Compile({limits.begin(), limits.end()});
  if (!compiled) return std::unexpected(std::move(compiled.error()));
  return Impl::Create(std::move(*compiled), options);
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

bool Limiter::RecordViolation(std::string_view key) noexcept {
  assert(impl_ != nullptr && "a moved-from limiter was asked");
  return impl_->RecordViolation(key);
}

KeyUse Limiter::Look(std::string_view key) noexcept {
  assert(impl_ != nullptr && "a moved-from limiter was asked");
  return impl_->Look(key);
}

bool Limiter::Forget(std::string_view key) noexcept {
  assert(impl_ != nullptr && "a moved-from limiter was asked");
  return impl_->Forget(key);
}

std::uint64_t Limiter::ForgetAll() noexcept {
  assert(impl_ != nullptr && "a moved-from limiter was asked");
  return impl_->ForgetAll();
}

std::uint64_t Limiter::EstimateLive() noexcept { return impl_->EstimateLive(); }

std::uint64_t Limiter::EstimateLive(std::size_t limit) { return impl_->EstimateLive(limit); }

std::span<const Limit> Limiter::limits() const noexcept { return impl_->limits(); }

std::uint64_t Limiter::capacity() const noexcept { return impl_->capacity(); }

std::uint64_t Limiter::evictions() const noexcept { return impl_->evictions(); }

}  // namespace sluicegate
