#include "shield/bans.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>

#include "base/write_order.h"
#include "limit/token_bucket.h"

namespace sluicegate::shield {
namespace {

using limit::AddSaturating;
using limit::MultiplySaturating;
using limit::SubtractSaturating;

constexpr table::Table::Shape kShape{.state_bytes = sizeof(BanState), .tagged = false};
constexpr std::uint64_t kForgiveNs = 24ULL * 3600 * 1'000'000'000;

// Levels that are left once clean days have taken theirs.
std::uint64_t LevelAt(const BanState& state, std::uint64_t now_ns) noexcept {
  const std::uint64_t clean_days = SubtractSaturating(now_ns, state.clean_since_ns) / kForgiveNs;
  return SubtractSaturating(state.level, clean_days);
}

// State words lie in a table's bytes; copies in and out are two moves each and keep the type rules.
BanState Load(const std::byte* bytes) noexcept {
  BanState state;
  std::memcpy(&state, bytes, sizeof(state));
  return state;
}

// In an order in which a process that dies between two of them leaves no fewer violations, no lower
// level and no shorter ban than there were.
void Store(std::byte* bytes, const BanState& state) noexcept {
  const auto store = [&](const std::uint64_t& word) {
    const auto at =
        reinterpret_cast<const std::byte*>(&word) - reinterpret_cast<const std::byte*>(&state);
    std::memcpy(bytes + at, &word, sizeof(word));
    KeepWriteOrder();
  };
  store(state.clean_since_ns);  // From later on the levels last longer.
  store(state.level);
  store(state.until_ns);
  store(state.violations_tat_ns);  // The ban takes them away.
}

// A running ban is pinned; else the longer the memory lasts, the heavier.
class BanWeigher final : public table::Weigher {
 public:
  [[nodiscard]] table::Weight Weigh(const std::byte* bytes, std::uint8_t /*variant*/,
                                    Now now) const noexcept override {
    const BanState state = Load(bytes);
    return {.used_ppm = BanLeft(state, now.engine_ns) > 0 ? table::Weight::kPinned : 0,
            .clears_after_ns = MemoryLeft(state, now.engine_ns)};
  }
};

// As many violations as before, whatever one weighs now.
class BanMover final : public table::Mover {
 public:
  BanMover(const PenaltyTerms& before, const PenaltyTerms& after) noexcept
      : before_(before.violations, before.interval_ns()),
        after_(after.violations, after.interval_ns()) {}

  [[nodiscard]] bool Move(const std::byte* old_bytes, std::uint8_t /*old_variant*/,
                          std::byte* bytes, std::uint8_t& variant,
                          Now now) const noexcept override {
    BanState state = Load(old_bytes);
    state.violations_tat_ns = after_.Repriced(state.violations_tat_ns, now.engine_ns, before_);
    std::memcpy(bytes, &state, sizeof(state));
    variant = 0;
    return true;
  }

 private:
  const limit::TokenBucket before_;
  const limit::TokenBucket after_;
};

constexpr std::string_view kWord = "bans ";

// The terms of a region, as far as its bytes depend on them. Nothing: it is no bans.
std::optional<PenaltyTerms> TermsDescribed(std::string_view description) {
  if (!description.starts_with(kWord) || !description.ends_with('\n')) return std::nullopt;
  const char* const begin = description.data() + kWord.size();
  const char* const end = description.data() + description.size() - 1;
  PenaltyTerms terms;
  const auto [at, error] = std::from_chars(begin, end, terms.within_ns);
  if (error != std::errc() || at != end || terms.within_ns == 0) return std::nullopt;
  return terms;
}

// After the last ban of an offender its levels are lost one clean day after the other.
std::uint64_t LastsNs(const PenaltyTerms& terms) noexcept {
  const std::uint64_t factor = *std::max_element(terms.escalate, terms.escalate + terms.levels);
  return AddSaturating(AddSaturating(terms.within_ns, MultiplySaturating(terms.ban_ns, factor)),
                       terms.levels * kForgiveNs);
}

}  // namespace

std::uint64_t BanLeft(const BanState& state, std::uint64_t now_ns) noexcept {
  return SubtractSaturating(state.until_ns, now_ns);
}

std::uint64_t MemoryLeft(const BanState& state, std::uint64_t now_ns) noexcept {
  const std::uint64_t forgiven_ns =
      state.level == 0
          ? 0
          : AddSaturating(state.clean_since_ns, MultiplySaturating(state.level, kForgiveNs));
  return SubtractSaturating(std::max({state.violations_tat_ns, state.until_ns, forgiven_ns}),
                            now_ns);
}

bool AddViolation(BanState& state, const PenaltyTerms& terms, std::uint64_t now_ns) noexcept {
  state.level = LevelAt(state, now_ns);
  state.clean_since_ns = std::max(state.clean_since_ns, now_ns);
  // GCRA as in limit/token_bucket.h: the charge that leaves less than one unit begins the ban.
  const std::uint64_t interval_ns = terms.interval_ns();
  const std::uint64_t tolerance_ns = MultiplySaturating(interval_ns, terms.violations);
  state.violations_tat_ns = AddSaturating(std::max(state.violations_tat_ns, now_ns), interval_ns);
  const std::uint64_t debt_ns = SubtractSaturating(state.violations_tat_ns, now_ns);
  if (AddSaturating(debt_ns, interval_ns) <= tolerance_ns) return false;
  // A reload may have taken the last levels away.
  const std::uint64_t factor =
      terms.escalate[std::min<std::uint64_t>(state.level, terms.levels - 1)];
  state.until_ns = AddSaturating(now_ns, MultiplySaturating(terms.ban_ns, factor));
  state.clean_since_ns = state.until_ns;
  state.violations_tat_ns = 0;
  state.level = std::min<std::uint64_t>(state.level + 1, terms.levels - 1);
  return true;
}

std::expected<std::unique_ptr<Bans>, std::string> Bans::Create(std::size_t bytes) {
  auto table = table::Table::Create(kShape, bytes);
  if (!table) return std::unexpected(std::move(table.error()));
  return std::unique_ptr<Bans>(new Bans(std::move(*table)));
}

std::string Bans::Describe(const PenaltyTerms& terms) {
  return std::string(kWord) + std::to_string(terms.interval_ns()) + "\n";
}

std::unique_ptr<Bans> Bans::OfRegion(std::string_view description,
                                     std::shared_ptr<table::Mapping> region,
                                     table::Owners& owners) {
  if (!TermsDescribed(description) || !table::Table::IsRegion(kShape, region->size())) {
    return nullptr;
  }
  return std::unique_ptr<Bans>(
      new Bans(table::Table::OfRegion(kShape, std::move(region), owners, nullptr)));
}

std::expected<std::unique_ptr<Bans>, std::string> Bans::Attach(
    table::StateFile& file, std::string name, std::size_t bytes, const PenaltyTerms& terms, Now now,
    const std::function<void(const table::StateFile::Fresh&)>& before_copying) {
  const auto prepare = [&](const table::StateFile::Fresh& fresh) {
    before_copying(fresh);
    const auto before =
        fresh.before == nullptr ? nullptr : OfRegion(fresh.described, fresh.before, file.owners());
    if (before == nullptr) {
      table::Table::Begin(*fresh.region, kShape, fresh.id);
      return true;
    }
    before->table_->BeginSuccessor(*fresh.region, fresh.id, false);
    const auto next = table::Table::OfRegion(kShape, fresh.region, file.owners(), nullptr);
    return before->table_->MoveInto(*next, BanMover(*TermsDescribed(fresh.described), terms),
                                    BanWeigher(), now, table::Table::Leave::kUsable);
  };
  auto region = file.Attach(
      {.name = std::move(name), .description = Describe(terms), .lasts_ns = LastsNs(terms)},
      table::Table::RegionBytes(kShape, bytes), prepare);
  if (!region) return std::unexpected(std::move(region.error()));
  return std::unique_ptr<Bans>(
      new Bans(table::Table::OfRegion(kShape, std::move(*region), file.owners(), nullptr)));
}

std::expected<std::unique_ptr<Bans>, std::string> Bans::CreateSuccessor(std::size_t bytes) const {
  auto table = table_->CreateSuccessor(table_->shape(), bytes, nullptr, false);
  if (!table) return std::unexpected(std::move(table.error()));
  return std::unique_ptr<Bans>(new Bans(std::move(*table)));
}

Bans::Record Bans::Find(std::uint64_t hash, Now now) noexcept {
  const table::Cell cell = table_->Lock(hash);
  if (cell.sealed()) return {.sealed = !cell.stuck(), .stuck = cell.stuck()};
  if (cell.present()) {
    const BanState state = Load(cell.state());
    return {.left_ns = BanLeft(state, now.engine_ns),
            .debt_ns = SubtractSaturating(state.violations_tat_ns, now.engine_ns)};
  }
  return {.no_place = cell.IsCrowded(BanWeigher(), now)};
}

Violation Bans::RecordViolation(std::uint64_t hash, const PenaltyTerms& terms, Now now) noexcept {
  table::Cell cell = table_->Lock(hash);
  BanState state = Load(cell.state());
  if (BanLeft(state, now.engine_ns) > 0) return {};
  // A table that has moved: this violation is lost to a reload.
  if (cell.sealed() || !cell.Claim(BanWeigher(), 0, now)) return {};
  const bool begins = AddViolation(state, terms, now.engine_ns);
  Store(cell.state(), state);
  return {.counted = true, .ban_ns = begins ? BanLeft(state, now.engine_ns) : 0};
}

bool Bans::Forget(std::uint64_t hash) noexcept {
  table::Cell cell = table_->Lock(hash);
  cell.Vacate();
  return !cell.stuck();
}

void Bans::ForgetAll(Now now) noexcept { table_->Clear(BanWeigher(), now); }

void Bans::MoveInto(Bans& next, const PenaltyTerms& before, const PenaltyTerms& after,
                    Now now) noexcept {
  table_->MoveInto(*next.table_, BanMover(before, after), BanWeigher(), now);
}

std::uint64_t Bans::EstimateLive(Now now) const noexcept {
  return table_->EstimateLive(BanWeigher(), now);
}

}  // namespace sluicegate::shield
