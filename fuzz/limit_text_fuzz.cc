// Quotas and lengths of time: what can be read is within its bounds and limits as it says; what can
// not is told with its mend.
#include <algorithm>
#include <array>
#include <cstddef>
#include <expected>
#include <string>

#include "fuzz_target.h"
#include "limit/compiled_limit.h"
#include "sluicegate/limit.h"

using sluicegate::Algorithm;
using sluicegate::Decision;
using sluicegate::Duration;
using sluicegate::Limit;
using sluicegate::Now;
using sluicegate::fuzz::Require;
namespace limit = sluicegate::limit;

namespace {

// A sentence and its mend.
void CheckError(const std::string& error) {
  const std::size_t stop = error.rfind(". ");
  Require(stop != std::string::npos && stop > 0 && error.ends_with('.'));
}

Now After(Now now, std::uint64_t ns) {
  return {.engine_ns = now.engine_ns + ns, .unix_ns = now.unix_ns + static_cast<std::int64_t>(ns)};
}

// Uses a fresh state up and waits as long as it says.
void Exhaust(const limit::CompiledLimit& compiled) {
  constexpr std::size_t kLargestState = 72;
  Require(compiled.state_bytes() % 8 == 0 && compiled.state_bytes() <= kLargestState);
  alignas(8) std::array<std::byte, kLargestState> state{};
  const Now now{.engine_ns = 1'000'000'000, .unix_ns = 1'700'000'000'000'000'000};
  Require(compiled.Remaining(state.data(), now) == compiled.quota());
  Require(compiled.ResetAfter(state.data(), now) == 0);
  compiled.Charge(state.data(), now, compiled.quota());
  Require(compiled.Remaining(state.data(), now) == 0);
  const std::uint64_t retry = compiled.RetryAfter(state.data(), now, 1);
  // A slice more than the window, a year of 366 days: twice the window has room for all.
  Require(retry > 0 && retry <= 2 * compiled.window_ns() + 16);
  Require(compiled.ResetAfter(state.data(), now) >= retry);
  Require(compiled.Remaining(state.data(), After(now, retry)) > 0);
  if (compiled.quota() < Decision::kNever) {
    Require(compiled.RetryAfter(state.data(), now, compiled.quota() + 1) == Decision::kNever);
  }
}

void CheckLimit(const Limit& written) {
  const std::string name = limit::DefaultName(written);
  Require(!name.empty() && name.size() <= 64);
  Require(std::ranges::all_of(
      name, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; }));
  const auto compiled = limit::CompiledLimit::Compile(written);
  if (!compiled) return CheckError(compiled.error());
  Require(compiled->quota() > 0 && compiled->quota() == written.quota);
  Require(compiled->window_ns() > 0 && compiled->window_ns() <= std::uint64_t{1} << 62U);
  Exhaust(*compiled);
}

void CheckParsed(const std::expected<Limit, std::string>& parsed, Algorithm algorithm) {
  if (!parsed) return CheckError(parsed.error());
  Require(parsed->algorithm == algorithm && parsed->window >= Duration::zero());
  CheckLimit(*parsed);
}

}  // namespace

SG_FUZZ_TARGET(limit_text) {
  const auto length = sluicegate::ParseDuration(bytes);
  if (length) {
    Require(*length >= Duration::zero());
    const auto again = sluicegate::ParseDuration(std::to_string(length->count()) + "ns");
    Require(again.has_value() && *again == *length);
  } else {
    CheckError(length.error());
  }
  CheckParsed(Limit::ParseFixedWindow(bytes), Algorithm::kFixedWindow);
  const auto window = Limit::Parse(bytes);
  CheckParsed(window, Algorithm::kSlidingWindow);
  const Limit burst = Limit::Burst(10, bytes);
  Require(bytes.empty() || (burst.window < Duration::zero()) == !window.has_value());
  CheckLimit(burst);
  if (!window) return;
  const std::string spelled =
      std::to_string(window->quota) + "/" + std::to_string(window->window.count()) + "ns";
  const auto again = Limit::Parse(spelled);
  Require(again.has_value() && *again == *window);
}
