#include "limit/compiled_limit.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "limit/calendar.h"
#include "limit/saturating.h"

namespace sluicegate::limit {
namespace {

constexpr std::uint64_t kMaxNs = std::uint64_t{1}
                                 << 62U;  // 146 years: sums of two still fit 63 bits.
constexpr std::uint64_t kMaxRatePerSecond = 1'000'000;
constexpr std::uint64_t kSecondNs = 1'000'000'000;

std::uint64_t Nanoseconds(Duration length) noexcept {
  return static_cast<std::uint64_t>(length.count());
}

// One face for the token bucket's pure word, so that all algorithms are used alike.
struct BucketOps {
  const TokenBucket& bucket;

  [[nodiscard]] std::uint64_t Remaining(const std::byte* state, Now now) const noexcept {
    return bucket.Remaining(TokenBucket::TatOf(state), now.engine_ns);
  }
  void Charge(std::byte* state, Now now, std::uint64_t cost) const noexcept {
    TokenBucket::SetTat(state, bucket.Charged(TokenBucket::TatOf(state), now.engine_ns, cost));
  }
  void GiveBack(std::byte* state, Now now, Now charged, std::uint64_t cost) const noexcept {
    TokenBucket::SetTat(
        state, bucket.GivenBack(TokenBucket::TatOf(state), now.engine_ns, charged.engine_ns, cost));
  }
  void GiveBackOldest(std::byte* state, Now now, std::uint64_t cost) const noexcept {
    TokenBucket::SetTat(state,
                        bucket.GivenBackOldest(TokenBucket::TatOf(state), now.engine_ns, cost));
  }
  [[nodiscard]] std::uint64_t RetryAfter(const std::byte* state, Now now,
                                         std::uint64_t cost) const noexcept {
    return bucket.RetryAfter(TokenBucket::TatOf(state), now.engine_ns, cost);
  }
  [[nodiscard]] std::uint64_t ResetAfter(const std::byte* state, Now now) const noexcept {
    return bucket.ResetAfter(TokenBucket::TatOf(state), now.engine_ns);
  }
  [[nodiscard]] std::uint64_t HoldFor(const std::byte* state, Now now) const noexcept {
    return TimesOf(state, now).hold_ns;
  }
  [[nodiscard]] Times TimesOf(const std::byte* state, Now now) const noexcept {
    return bucket.TimesOf(TokenBucket::TatOf(state), now.engine_ns, Remaining(state, now));
  }
  [[nodiscard]] Load LoadOf(const std::byte* state, Now now) const noexcept {
    return bucket.LoadOf(TokenBucket::TatOf(state), now.engine_ns);
  }
};

template <class Window>
struct SlidingOps {
  const Window& window;

  [[nodiscard]] std::uint64_t Remaining(const std::byte* state, Now now) const noexcept {
    return window.Remaining(state, now.engine_ns);
  }
  void Charge(std::byte* state, Now now, std::uint64_t cost) const noexcept {
    window.Charge(state, now.engine_ns, cost);
  }
  void GiveBack(std::byte* state, Now now, Now charged, std::uint64_t cost) const noexcept {
    window.GiveBack(state, now.engine_ns, charged.engine_ns, cost);
  }
  void Release(std::byte* state, Now now, Now charged, std::uint64_t cost) const noexcept {
    window.Release(state, now.engine_ns, charged.engine_ns, cost);
  }
  void GiveBackOldest(std::byte* state, Now now, std::uint64_t cost) const noexcept {
    window.GiveBackOldest(state, now.engine_ns, cost);
  }
  [[nodiscard]] std::uint64_t RetryAfter(const std::byte* state, Now now,
                                         std::uint64_t cost) const noexcept {
    return window.RetryAfter(state, now.engine_ns, cost);
  }
  [[nodiscard]] std::uint64_t ResetAfter(const std::byte* state, Now now) const noexcept {
    return window.ResetAfter(state, now.engine_ns);
  }
  [[nodiscard]] std::uint64_t HoldFor(const std::byte* state, Now now) const noexcept {
    return window.HoldFor(state, now.engine_ns);
  }
  [[nodiscard]] Times TimesOf(const std::byte* state, Now now) const noexcept {
    return window.TimesOf(state, now.engine_ns);
  }
  [[nodiscard]] Load LoadOf(const std::byte* state, Now now) const noexcept {
    return window.LoadOf(state, now.engine_ns);
  }
};

struct FixedOps {
  const FixedWindow& window;

  [[nodiscard]] std::uint64_t Remaining(const std::byte* state, Now now) const noexcept {
    return window.Remaining(state, now.unix_ns);
  }
  void Charge(std::byte* state, Now now, std::uint64_t cost) const noexcept {
    window.Charge(state, now.unix_ns, cost);
  }
  void GiveBack(std::byte* state, Now now, Now charged, std::uint64_t cost) const noexcept {
    window.GiveBack(state, now.unix_ns, charged.unix_ns, cost);
  }
  void GiveBackOldest(std::byte* state, Now now, std::uint64_t cost) const noexcept {
    window.GiveBackOldest(state, now.unix_ns, cost);
  }
  [[nodiscard]] std::uint64_t RetryAfter(const std::byte* state, Now now,
                                         std::uint64_t cost) const noexcept {
    return window.RetryAfter(state, now.unix_ns, cost);
  }
  [[nodiscard]] std::uint64_t ResetAfter(const std::byte* state, Now now) const noexcept {
    return window.ResetAfter(state, now.unix_ns);
  }
  // Units come back all at once.
  [[nodiscard]] std::uint64_t HoldFor(const std::byte* state, Now now) const noexcept {
    return window.ResetAfter(state, now.unix_ns);
  }
  [[nodiscard]] Times TimesOf(const std::byte* state, Now now) const noexcept {
    const std::uint64_t reset_ns = window.ResetAfter(state, now.unix_ns);
    return {.hold_ns = reset_ns, .reset_after_ns = reset_ns};
  }
  [[nodiscard]] Load LoadOf(const std::byte* state, Now now) const noexcept {
    return window.LoadOf(state, now.unix_ns);
  }
};

}  // namespace

template <class Use>
decltype(auto) CompiledLimit::Visit(const Use& use) const noexcept {
  switch (algorithm_) {
    case Algorithm::kTokenBucket:
      return use(BucketOps{terms_.bucket});
    case Algorithm::kFixedWindow:
      return use(FixedOps{terms_.fixed});
    case Algorithm::kSlidingWindow:
    case Algorithm::kConcurrency:
      break;
  }
  if (wide_) return use(SlidingOps<SlidingWindow<std::uint32_t>>{terms_.wide});
  return use(SlidingOps<SlidingWindow<std::uint16_t>>{terms_.narrow});
}

std::expected<CompiledLimit, std::string> CompiledLimit::Compile(const Limit& limit) {
  if (limit.quota == 0) {
    return std::unexpected(
        "a limit of 0 units can never be met. Write a quota of at least 1, or leave the rule out.");
  }
  switch (limit.algorithm) {
    case Algorithm::kTokenBucket:
      return CompileTokenBucket(limit);
    case Algorithm::kSlidingWindow:
      return CompileSlidingWindow(limit);
    case Algorithm::kFixedWindow:
      return CompileFixedWindow(limit);
    case Algorithm::kConcurrency:
      break;
  }
  return CompileConcurrency(limit);
}

std::expected<CompiledLimit, std::string> CompiledLimit::CompileTokenBucket(const Limit& limit) {
  if (limit.window < Duration::zero()) {
    return std::unexpected(
        "the refill cannot be read. Write units per time, like refill: 1/s or refill: 100/5min.");
  }
  if (limit.refill == 0 || limit.window == Duration::zero()) {
    return std::unexpected(
        "a token bucket needs a refill. Write refill: 1/s, or give it a window beside it whose "
        "rate it takes.");
  }
  const std::uint64_t period_ns = Nanoseconds(limit.window);
  if (static_cast<unsigned __int128>(limit.refill) * kSecondNs >
      static_cast<unsigned __int128>(kMaxRatePerSecond) * period_ns) {
    return std::unexpected(
        "a refill of more than 1000000 units a second is finer than the clock. Write at most "
        "1000000/s.");
  }
  // Rounded up, as a shorter interval would admit more than the rate.
  const std::uint64_t interval_ns = DivideRoundingUp(period_ns, limit.refill);
  if (MultiplySaturating(interval_ns, limit.quota) > kMaxNs) {
    return std::unexpected(
        "this bucket takes more than 146 years to fill. Write a smaller burst or a faster refill.");
  }
  CompiledLimit compiled(Algorithm::kTokenBucket, limit.quota, interval_ns * limit.quota);
  compiled.terms_.bucket = TokenBucket(limit.quota, interval_ns);
  return compiled;
}

std::expected<CompiledLimit, std::string> CompiledLimit::CompileSlidingWindow(const Limit& limit) {
  if (limit.window <= Duration::zero() || Nanoseconds(limit.window) > kMaxNs) {
    return std::unexpected(
        "a sliding window must be longer than nothing and at most 146 years. Write a window like "
        "1min.");
  }
  if (limit.quota > SlidingWindow<std::uint32_t>::kMaxQuota) {
    return std::unexpected(
        "a sliding window counts to 4294967295. Write a smaller quota, or a token bucket.");
  }
  return Ring(Algorithm::kSlidingWindow, limit.quota, Nanoseconds(limit.window));
}

CompiledLimit CompiledLimit::Ring(Algorithm algorithm, std::uint64_t quota,
                                  std::uint64_t window_ns) {
  CompiledLimit compiled(algorithm, quota, window_ns);
  compiled.wide_ = quota > SlidingWindow<std::uint16_t>::kMaxQuota;
  if (compiled.wide_) {
    compiled.terms_.wide = SlidingWindow<std::uint32_t>(quota, window_ns);
  } else {
    compiled.terms_.narrow = SlidingWindow<std::uint16_t>(quota, window_ns);
  }
  return compiled;
}

// A lease taken at t counts like a unit charged at t, until it is given back or, at the latest, its
// slice has left the window behind its deadline.
std::expected<CompiledLimit, std::string> CompiledLimit::CompileConcurrency(const Limit& limit) {
  if (limit.window <= Duration::zero() || Nanoseconds(limit.window) > kMaxNs) {
    return std::unexpected(
        "a lease must be longer than nothing and at most 146 years. Write how long a request may "
        "take, like lease: 30s.");
  }
  if (limit.quota > SlidingWindow<std::uint32_t>::kMaxQuota) {
    return std::unexpected(
        "a concurrency limit counts to 4294967295. Write a smaller number of requests in flight.");
  }
  return Ring(Algorithm::kConcurrency, limit.quota, Nanoseconds(limit.window));
}

std::expected<CompiledLimit, std::string> CompiledLimit::CompileFixedWindow(const Limit& limit) {
  constexpr std::uint64_t kDayNs = 86'400 * kSecondNs;
  constexpr std::uint64_t kNominalNs[] = {kSecondNs,  60 * kSecondNs, 3600 * kSecondNs, kDayNs,
                                          7 * kDayNs, 30 * kDayNs,    365 * kDayNs};
  CompiledLimit compiled(Algorithm::kFixedWindow, limit.quota,
                         kNominalNs[static_cast<std::size_t>(limit.unit)]);
  compiled.terms_.fixed = FixedWindow(limit.quota, limit.unit);
  return compiled;
}

std::size_t CompiledLimit::state_bytes() const noexcept {
  switch (algorithm_) {
    case Algorithm::kTokenBucket:
      return TokenBucket::kStateBytes;
    case Algorithm::kFixedWindow:
      return FixedWindow::kStateBytes;
    case Algorithm::kSlidingWindow:
    case Algorithm::kConcurrency:
      break;
  }
  return wide_ ? SlidingWindow<std::uint32_t>::kStateBytes
               : SlidingWindow<std::uint16_t>::kStateBytes;
}

std::array<std::uint64_t, 2> CompiledLimit::state_identity() const noexcept {
  const std::uint64_t kind = static_cast<std::uint64_t>(algorithm_) | (wide_ ? 1U << 8U : 0U);
  switch (algorithm_) {
    case Algorithm::kTokenBucket:  // A debt is in ns: another price would make other units of it.
      return {kind, terms_.bucket.interval_ns()};
    case Algorithm::kFixedWindow:
      return {kind, static_cast<std::uint64_t>(terms_.fixed.unit())};
    case Algorithm::kSlidingWindow:
    case Algorithm::kConcurrency:
      break;
  }
  return {kind, window_ns_};
}

std::optional<CompiledLimit> CompiledLimit::OfStates(std::array<std::uint64_t, 2> identity) {
  constexpr std::uint64_t kAlgorithms = 4;
  const auto [kind, term] = identity;
  const bool wide = kind >> 8U != 0;
  if (kind % 256 >= kAlgorithms || term > kMaxNs) return std::nullopt;
  Limit written;
  written.algorithm = static_cast<Algorithm>(kind % 256);
  written.quota = wide ? SlidingWindow<std::uint16_t>::kMaxQuota + 1 : 1;
  written.refill = 1;
  if (written.algorithm == Algorithm::kFixedWindow) {
    if (term > static_cast<std::uint64_t>(CalendarUnit::kYear)) return std::nullopt;
    written.unit = static_cast<CalendarUnit>(term);
  } else {
    written.window = Duration(term);
  }
  const auto compiled = Compile(written);
  if (!compiled || compiled->state_identity() != identity) return std::nullopt;
  return *compiled;
}

bool CompiledLimit::CanTake(const CompiledLimit& other) const noexcept {
  if (algorithm_ != other.algorithm_) return false;
  switch (algorithm_) {
    case Algorithm::kTokenBucket:
      return true;
    case Algorithm::kFixedWindow:
      return terms_.fixed.unit() == other.terms_.fixed.unit();
    case Algorithm::kConcurrency:
      return true;
    case Algorithm::kSlidingWindow:
      break;
  }
  return window_ns_ == other.window_ns_;
}

void CompiledLimit::Take(std::byte* state, const CompiledLimit& other, const std::byte* other_state,
                         Now now) const noexcept {
  if (algorithm_ == Algorithm::kTokenBucket) {
    TokenBucket::SetTat(state, terms_.bucket.Repriced(TokenBucket::TatOf(other_state),
                                                      now.engine_ns, other.terms_.bucket));
  } else if (window_ns_ != other.window_ns_) {  // Leases of another length.
    const auto charge_again = [&](const auto& window) {
      for (const auto& charged : window.Charges(other_state, now.engine_ns)) {
        if (charged.units > 0) Charge(state, {.engine_ns = charged.at_ns}, charged.units);
      }
    };
    if (other.wide_) {
      charge_again(other.terms_.wide);
    } else {
      charge_again(other.terms_.narrow);
    }
  } else if (wide_ == other.wide_) {
    std::memcpy(state, other_state, state_bytes());
  } else if (wide_) {
    CopyRing<std::uint32_t, std::uint16_t>(state, other_state);
  } else {
    CopyRing<std::uint16_t, std::uint32_t>(state, other_state);
  }
}

std::uint64_t CompiledLimit::WindowRemaining(const std::byte* state, Now now) const noexcept {
  return Visit([&](const auto& ops) { return ops.Remaining(state, now); });
}

void CompiledLimit::ChargeWindow(std::byte* state, Now now, std::uint64_t cost) const noexcept {
  Visit([&](const auto& ops) { ops.Charge(state, now, cost); });
}

void CompiledLimit::GiveBack(std::byte* state, Now now, Now charged,
                             std::uint64_t cost) const noexcept {
  if (algorithm_ == Algorithm::kConcurrency) {
    if (wide_) {
      SlidingOps<SlidingWindow<std::uint32_t>>{terms_.wide}.Release(state, now, charged, cost);
    } else {
      SlidingOps<SlidingWindow<std::uint16_t>>{terms_.narrow}.Release(state, now, charged, cost);
    }
    return;
  }
  Visit([&](const auto& ops) { ops.GiveBack(state, now, charged, cost); });
}

void CompiledLimit::GiveBackOldest(std::byte* state, Now now, std::uint64_t cost) const noexcept {
  Visit([&](const auto& ops) { ops.GiveBackOldest(state, now, cost); });
}

std::uint64_t CompiledLimit::RetryAfter(const std::byte* state, Now now,
                                        std::uint64_t cost) const noexcept {
  if (cost > quota_) return Decision::kNever;
  if (cost == 0) return 0;  // A peek fits, even where a reload left more in use than the quota.
  return Visit([&](const auto& ops) { return ops.RetryAfter(state, now, cost); });
}

std::uint64_t CompiledLimit::ResetAfter(const std::byte* state, Now now) const noexcept {
  return Visit([&](const auto& ops) { return ops.ResetAfter(state, now); });
}

std::uint64_t CompiledLimit::HoldFor(const std::byte* state, Now now) const noexcept {
  return Visit([&](const auto& ops) { return ops.HoldFor(state, now); });
}

Times CompiledLimit::WindowTimes(const std::byte* state, Now now) const noexcept {
  return Visit([&](const auto& ops) { return ops.TimesOf(state, now); });
}

Load CompiledLimit::LoadOf(const std::byte* state, Now now) const noexcept {
  return Visit([&](const auto& ops) { return ops.LoadOf(state, now); });
}

}  // namespace sluicegate::limit
