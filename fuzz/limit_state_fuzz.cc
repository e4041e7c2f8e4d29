// A state that anything may have written: whatever its bytes, what it says about itself comes true,
// a charge takes what it costs, and a reload forgives nothing.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "fuzz_target.h"
#include "limit/compiled_limit.h"
#include "sluicegate/limit.h"

using sluicegate::Algorithm;
using sluicegate::CalendarUnit;
using sluicegate::Decision;
using sluicegate::Duration;
using sluicegate::Limit;
using sluicegate::Now;
using sluicegate::fuzz::Require;
using sluicegate::limit::CompiledLimit;

namespace {

// Zeros beyond the end.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  void Read(void* to, std::size_t size) {
    const std::size_t there = std::min(size, bytes_.size());
    std::memcpy(to, bytes_.data(), there);
    bytes_.remove_prefix(there);
  }
  // Of up to `bits` bits: any number of them, so that small ones are as likely as large ones.
  std::uint64_t Number(unsigned bits) {
    std::uint8_t length = 0;
    std::uint64_t value = 0;
    Read(&length, 1);
    Read(&value, 8);
    return value & ((std::uint64_t{1} << (1 + length % bits)) - 1);
  }

 private:
  std::string_view bytes_;
};

constexpr std::size_t kLargestState = 72;
struct State {
  alignas(8) std::array<std::byte, kLargestState> bytes{};
  [[nodiscard]] std::byte* data() { return bytes.data(); }
};

Limit ReadLimit(Reader& reader) {
  Limit written;
  written.algorithm = static_cast<Algorithm>(reader.Number(2));
  written.quota = reader.Number(40);
  written.window = Duration(reader.Number(55));
  written.refill = reader.Number(20);
  written.unit = static_cast<CalendarUnit>(reader.Number(3) % 7);
  return written;
}

Now After(Now now, std::uint64_t ns) {
  return {.engine_ns = now.engine_ns + ns, .unix_ns = now.unix_ns + static_cast<std::int64_t>(ns)};
}

// Any counters, charged at any time within the 146 years that an instant can tell.
void ReadState(Reader& reader, const CompiledLimit& compiled, State& state) {
  reader.Read(state.data(), compiled.state_bytes());
  const bool bucket = compiled.algorithm() == Algorithm::kTokenBucket;
  if (bucket || compiled.algorithm() == Algorithm::kFixedWindow) return;
  const std::uint64_t slice_ns = (compiled.window_ns() + 14) / 15;
  std::uint64_t head = 0;
  std::memcpy(&head, state.data(), sizeof(head));
  head %= (std::uint64_t{1} << 62U) / slice_ns;
  if (head <= 16) state = {};  // A key that is not known is all zero.
  if (head > 16) std::memcpy(state.data(), &head, sizeof(head));
}

void CheckRetry(const CompiledLimit& compiled, State& state, Now now, std::uint64_t cost) {
  const std::uint64_t retry = compiled.RetryAfter(state.data(), now, cost);
  if (cost > compiled.quota()) return Require(retry == Decision::kNever);
  Require((retry == 0) == (cost <= compiled.Remaining(state.data(), now)));
  // Later than both clocks can tell.
  if (retry == 0 || retry > std::uint64_t{1} << 62U) return;
  Require(compiled.Remaining(state.data(), After(now, retry - 1)) < cost);
  Require(compiled.Remaining(state.data(), After(now, retry)) >= cost);
}

void CheckTimes(const CompiledLimit& compiled, State& state, Now now) {
  const std::uint64_t remaining = compiled.Remaining(state.data(), now);
  Require(remaining <= compiled.quota());
  const std::uint64_t hold = compiled.HoldFor(state.data(), now);
  const std::uint64_t reset = compiled.ResetAfter(state.data(), now);
  const auto times = compiled.TimesOf(state.data(), now, remaining);
  Require(times.hold_ns == hold && times.reset_after_ns == reset && hold <= reset);
  Require(remaining == compiled.quota() || hold > 0);
  if (reset > std::uint64_t{1} << 62U) return;
  Require(compiled.Remaining(state.data(), After(now, reset)) == compiled.quota());
  if (hold > 0) {
    Require(compiled.Remaining(state.data(), After(now, hold - 1)) <= remaining);
  }
}

// All of `before` that counts goes on counting, unless the leases get shorter.
void CheckTake(const CompiledLimit& before, State& state, const CompiledLimit& after, Now now) {
  if (!after.CanTake(before)) return;
  State taken;
  after.Take(taken.data(), before, state.data(), now);
  CheckTimes(after, taken, now);
  if (after.window_ns() < before.window_ns() && after.algorithm() == Algorithm::kConcurrency) {
    return;
  }
  const std::uint64_t used = before.quota() - before.Remaining(state.data(), now);
  const std::uint64_t left = after.Remaining(taken.data(), now);
  Require(left <= after.quota() - std::min(used, after.quota()));
}

}  // namespace

SG_FUZZ_TARGET(limit_state) {
  Reader reader(bytes);
  const auto compiled = CompiledLimit::Compile(ReadLimit(reader));
  const auto after = CompiledLimit::Compile(ReadLimit(reader));
  if (!compiled) return;
  Now now{.engine_ns = reader.Number(62), .unix_ns = static_cast<std::int64_t>(reader.Number(62))};
  State state;
  ReadState(reader, *compiled, state);
  for (unsigned steps = 0; steps < 64; ++steps) {
    CheckTimes(*compiled, state, now);
    const std::uint64_t cost = reader.Number(40);
    CheckRetry(*compiled, state, now, cost);
    if (after) CheckTake(*compiled, state, *after, now);
    const std::uint64_t remaining = compiled->Remaining(state.data(), now);
    if (cost > 0 && cost <= remaining) {
      compiled->Charge(state.data(), now, cost);
      Require(compiled->Remaining(state.data(), now) == remaining - cost);
    } else if (cost % 2 == 0) {
      compiled->GiveBack(state.data(), now, now, cost);
      Require(compiled->Remaining(state.data(), now) >= remaining);
    } else {
      compiled->GiveBackOldest(state.data(), now, cost);
      Require(compiled->Remaining(state.data(), now) >= remaining);
    }
    if (reader.empty()) return;
    // Forth, or a little back.
    const std::uint64_t step = reader.Number(50);
    now.engine_ns = step % 8 == 0 ? now.engine_ns - std::min(now.engine_ns, step)
                                  : std::min(now.engine_ns + step, std::uint64_t{1} << 62U);
    now.unix_ns = std::min(now.unix_ns + static_cast<std::int64_t>(step), std::int64_t{1} << 62U);
  }
}
