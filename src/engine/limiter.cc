// The public Limiter: one claim of the engine over a table of its own. It decides nothing itself.
#include "sluicegate/limiter.h"

#include <algorithm>
#include <cassert>
#include <vector>

#include "base/siphash.h"
#include "engine/decide.h"
#include "limit/compiled_limit.h"
#include "policy/rule.h"
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
    set.limits.push_back(
        {.limit = *compiled, .offset = set.state_bytes, .name = limit.name, .written = limit});
    set.state_bytes += compiled->state_bytes();
  }
  return set;
}

}  // namespace

class Limiter::Impl {
 public:
  Impl(policy::LimitSet set, std::unique_ptr<table::Table> table, const Clock& clock)
      : set_(std::move(set)),
        table_(std::move(table)),
        clock_(clock),
        secret_(HashSecret::Random()) {
    for (const policy::RuleLimit& limit : set_.limits) written_.push_back(limit.written);
  }

  [[nodiscard]] Decision Check(std::string_view key, std::uint64_t cost) noexcept {
    engine::Claim claim{.table = table_.get(),
                        .limits = &set_,
                        .variants = {&set_, 1},
                        .hash = SipHash(secret_, key),
                        .cost = cost};
    return engine::DecideClaims({&claim, 1}, clock_.Read());
  }

  void GiveBack(const Stamp& charge) noexcept {
    if (charge.cost == 0 || charge.table != table_->id()) return;
    engine::GiveBackCharge(*table_, set_, charge, clock_.Read());
  }

  [[nodiscard]] std::span<const Limit> limits() const noexcept { return written_; }
  [[nodiscard]] std::uint64_t capacity() const noexcept { return table_->capacity(); }
  [[nodiscard]] std::uint64_t evictions() const noexcept {
    const table::TableCounts counts = table_->counts();
    return counts.evictions + counts.evictions_at_limit;
  }

 private:
  // Constant after construction; the table is thread-safe.
  const policy::LimitSet set_;
  const std::unique_ptr<table::Table> table_;
  const Clock& clock_;
  const HashSecret secret_;
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
  auto table = table::Table::Create({.state_bytes = set->state_bytes}, options.memory_bytes);
  if (!table) return std::unexpected(std::move(table.error()));
  // A table has at least one bucket, whatever was asked; more than was allowed is refused.
  if ((*table)->bytes() > options.memory_bytes) {
    return std::unexpected("The memory of " + std::to_string(options.memory_bytes) +
                           " bytes has no room for one bucket of keys. Write a memory_bytes of at "
                           "least " +
                           std::to_string((*table)->bytes()) + ".");
  }
  const Clock& clock = options.clock == nullptr ? SystemClock() : *options.clock;
  return Limiter(std::make_unique<Impl>(std::move(*set), std::move(*table), clock));
}

Decision Limiter::Check(std::string_view key, std::uint64_t cost) noexcept {
  assert(impl_ != nullptr && "a moved-from limiter was asked");
  return impl_->Check(key, cost);
}

void Limiter::GiveBack(const Decision& decision) noexcept {
  assert(impl_ != nullptr && "a moved-from limiter was asked");
  impl_->GiveBack(decision.stamp);
}

std::span<const Limit> Limiter::limits() const noexcept { return impl_->limits(); }

std::uint64_t Limiter::capacity() const noexcept { return impl_->capacity(); }

std::uint64_t Limiter::evictions() const noexcept { return impl_->evictions(); }

}  // namespace sluicegate
