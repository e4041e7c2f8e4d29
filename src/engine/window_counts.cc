#include "engine/window_counts.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

#include "base/write_order.h"
#include "engine/limiter_tables.h"
#include "engine/regions.h"

namespace sluicegate::engine {
namespace {

using limit::AddSaturating;
using limit::SubtractSaturating;
using table::Table;

constexpr std::string_view kDescription = "window_counts\n";
// No window is known when a region is made. One of a longer window than this is forgotten if nobody
// uses the file for so long.
constexpr std::uint64_t kLastsNs = 366ULL * 24 * 3600 * 1'000'000'000;
constexpr std::uint64_t kSecondNs = 1'000'000'000;

// All zero for a key never seen.
struct State {
  // When nothing of it counts any more: the end of a fixed window; of a sliding one the end of the
  // next, as until then this one is the one before.
  std::uint64_t until_ns = 0;
  std::uint64_t count = 0;
  std::uint64_t before = 0;
};

constexpr Table::Shape kShape{.state_bytes = sizeof(State), .tagged = false};

State Load(const std::byte* bytes) noexcept {
  State state;
  std::memcpy(&state, bytes, sizeof(state));
  return state;
}

// In an order in which a process that dies between two of them leaves what was counted before in
// the new window: more than there is, and never less.
void Store(std::byte* bytes, const State& state) noexcept {
  std::memcpy(bytes + offsetof(State, before), &state.before, sizeof(state.before));
  KeepWriteOrder();
  std::memcpy(bytes + offsetof(State, until_ns), &state.until_ns, sizeof(state.until_ns));
  KeepWriteOrder();
  std::memcpy(bytes + offsetof(State, count), &state.count, sizeof(state.count));
}

// The lower the count, the lighter.
class CountWeigher final : public table::Weigher {
 public:
  [[nodiscard]] table::Weight Weigh(const std::byte* bytes, std::uint8_t /*variant*/,
                                    Now now) const noexcept override {
    constexpr std::uint64_t kMost = table::Weight::kPinned - 1;
    const State state = Load(bytes);
    const std::uint64_t counted = std::min(AddSaturating(state.count, state.before), kMost);
    return {.used_ppm = static_cast<std::uint32_t>(counted),
            .clears_after_ns = SubtractSaturating(state.until_ns, now.engine_ns)};
  }
};

class CountMover final : public table::Mover {
 public:
  [[nodiscard]] bool Move(const std::byte* old_bytes, std::uint8_t /*old_variant*/,
                          std::byte* bytes, std::uint8_t& variant,
                          Now /*now*/) const noexcept override {
    std::memcpy(bytes, old_bytes, sizeof(State));
    variant = 0;
    return true;
  }
};

bool IsRegion(std::string_view description, std::size_t bytes) noexcept {
  return description == kDescription && Table::IsRegion(kShape, bytes);
}

// A region of another size takes over what the one before it counted, where nobody uses that.
std::expected<std::unique_ptr<Table>, std::string> Attach(table::StateFile& file, std::string name,
                                                          std::size_t bytes, Now now) {
  const auto prepare = [&](const table::StateFile::Fresh& fresh) {
    if (fresh.before == nullptr || !IsRegion(fresh.described, fresh.before->size())) {
      Table::Begin(*fresh.region, kShape, fresh.id);
      return true;
    }
    const auto from = Table::OfRegion(kShape, fresh.before, file.owners(), nullptr);
    from->BeginSuccessor(*fresh.region, fresh.id, false);
    const auto next = Table::OfRegion(kShape, fresh.region, file.owners(), nullptr);
    return from->MoveInto(*next, CountMover(), CountWeigher(), now, Table::Leave::kUsable);
  };
  auto region = file.Attach({.name = std::move(name),
                             .description = std::string(kDescription),
                             .lasts_ns = kLastsNs,
                             .of_any_size = true},
                            Table::RegionBytes(kShape, bytes), prepare);
  if (!region) return std::unexpected(std::move(region.error()));
  return Table::OfRegion(kShape, std::move(*region), file.owners(), nullptr);
}

// The windows of a sliding counter at a time: the one that runs then, and its end.
struct Windows {
  State state;
  std::uint64_t left_ns = 0;  // 0: neither of the state counts.
};

// A reading of before the window began is taken for its beginning: the weight stays at most 1.
Windows WindowsAt(State state, std::uint64_t window_ns, std::uint64_t now_ns) noexcept {
  if (now_ns >= state.until_ns) return {};
  const std::uint64_t end_ns = SubtractSaturating(state.until_ns, window_ns);
  if (now_ns < end_ns) return {.state = state, .left_ns = std::min(end_ns - now_ns, window_ns)};
  const State next{.until_ns = AddSaturating(state.until_ns, window_ns), .before = state.count};
  return {.state = next, .left_ns = state.until_ns - now_ns};
}

}  // namespace

std::uint64_t WindowCounts::Pair::Weighted(std::uint64_t window_ns) const noexcept {
  const auto share = static_cast<unsigned __int128>(before) * left_ns / window_ns;
  return AddSaturating(static_cast<std::uint64_t>(share), count);  // Left is at most the window.
}

WindowCounts::WindowCounts(const LimiterOptions& options, std::shared_ptr<table::StateFile> file)
    : file_(std::move(file)),
      fails_open_(options.fails_open),
      machine_clock_(options.clock == nullptr ? SystemClock() : *options.clock),
      state_clock_(file_ == nullptr ? nullptr : file_->ClockBy(machine_clock_)),
      clock_(state_clock_ == nullptr ? machine_clock_ : *state_clock_),
      hasher_(file_ == nullptr ? HashSecret::Random() : file_->secret()) {}

std::expected<std::unique_ptr<WindowCounts>, std::string> WindowCounts::Create(
    const LimiterOptions& options) {
  const std::size_t least = Table::RegionBytes(kShape, 0) - table::kCacheLine;  // A bucket.
  if (options.memory_bytes < least) {
    return std::unexpected("The memory of " + std::to_string(options.memory_bytes) +
                           " bytes has no room for one bucket of keys. Write at least " +
                           std::to_string(least) + ".");
  }
  auto file = OpenLimiterState(options);
  if (!file) return std::unexpected(std::move(file.error()));
  std::unique_ptr<WindowCounts> counts(new WindowCounts(options, std::move(*file)));
  const Now now = counts->clock_.Read();
  auto table =
      counts->file_ == nullptr
          ? Table::Create(kShape, options.memory_bytes)
          : Attach(*counts->file_, Regions(*counts->file_, options.name, now).NameOf("counts"),
                   options.memory_bytes, now);
  if (!table) return std::unexpected(std::move(table.error()));
  counts->table_ = std::move(*table);
  return counts;
}

// A fixed window has length 0 here, so that no sliding one of the key is the same.
std::uint64_t WindowCounts::HashOf(std::string_view key, std::uint64_t window_ns) const noexcept {
  SipHasher hasher(hasher_);
  hasher.Update(key);
  hasher.UpdateU64(window_ns);
  return hasher.Finish();
}

auto WindowCounts::Add(std::string_view key, std::uint64_t amount, Fixed window, Now now) noexcept
    -> Count {
  KeepTime(now);
  table::Cell cell = table_->Lock(HashOf(key, 0));
  if (cell.sealed()) return fails_open_ ? Count{} : Count{.count = kUnknown, .left_ns = kSecondNs};
  State state = Load(cell.state());
  const std::uint64_t end_ns = AddSaturating(now.engine_ns, window.window_ns);
  if (now.engine_ns >= state.until_ns) state = {.until_ns = amount == 0 ? now.engine_ns : end_ns};
  if (amount > 0) {
    if (window.elastic) state.until_ns = std::max(state.until_ns, end_ns);
    state.count = AddSaturating(state.count, amount);
    (void)cell.Claim(CountWeigher(), 0, now);  // No count is ever pinned.
    Store(cell.state(), state);
  }
  return {.count = state.count, .left_ns = state.until_ns - now.engine_ns};
}

auto WindowCounts::Read(std::string_view key, Now now) noexcept -> Count {
  return Add(key, 0, {.window_ns = 1}, now);
}

bool WindowCounts::Acquire(std::string_view key, std::uint64_t amount, Sliding window,
                           Now now) noexcept {
  KeepTime(now);
  table::Cell cell = table_->Lock(HashOf(key, window.window_ns));
  if (cell.sealed()) return fails_open_;
  Windows windows = WindowsAt(Load(cell.state()), window.window_ns, now.engine_ns);
  State& state = windows.state;
  const Pair pair{.before = state.before, .count = state.count, .left_ns = windows.left_ns};
  if (AddSaturating(pair.Weighted(window.window_ns), amount) > window.quota) return false;
  if (amount == 0) return true;
  if (windows.left_ns == 0) {
    const std::uint64_t end_ns = AddSaturating(now.engine_ns, window.window_ns);
    state.until_ns = AddSaturating(end_ns, window.window_ns);
  }
  state.count = AddSaturating(state.count, amount);
  (void)cell.Claim(CountWeigher(), 0, now);
  Store(cell.state(), state);
  return true;
}

auto WindowCounts::ReadPair(std::string_view key, std::uint64_t window_ns, Now now) noexcept
    -> Pair {
  const table::Cell cell = table_->Lock(HashOf(key, window_ns));
  if (cell.sealed()) return fails_open_ ? Pair{} : Pair{.count = kUnknown, .left_ns = kSecondNs};
  const Windows windows = WindowsAt(Load(cell.state()), window_ns, now.engine_ns);
  return {.before = windows.state.before, .count = windows.state.count, .left_ns = windows.left_ns};
}

bool WindowCounts::Vacate(std::uint64_t hash) noexcept {
  table::Cell cell = table_->Lock(hash);
  cell.Vacate();
  return !cell.sealed();
}

bool WindowCounts::Forget(std::string_view key) noexcept { return Vacate(HashOf(key, 0)); }

bool WindowCounts::ForgetPair(std::string_view key, std::uint64_t window_ns) noexcept {
  return Vacate(HashOf(key, window_ns));
}

std::uint64_t WindowCounts::ForgetAll(Now now) noexcept {
  return table_->Clear(CountWeigher(), now);
}

auto WindowCounts::LookInto(const table::StateFile::Region& region, table::Owners& owners, Now now)
    -> std::optional<Contents> {
  if (!IsRegion(region.description, region.bytes->size())) return std::nullopt;
  const auto table = Table::OfRegion(kShape, region.bytes, owners, nullptr);
  return Contents{.live = table->EstimateLive(CountWeigher(), now),
                  .capacity = table->capacity(),
                  .evictions = table->counts().evictions};
}

}  // namespace sluicegate::engine
