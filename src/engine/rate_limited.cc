// What the templates of rate_limited.h leave to be compiled once.
#include "sluicegate/rate_limited.h"

#include <algorithm>
#include <atomic>

#include "limit/compiled_limit.h"
#include "limit/saturating.h"

namespace sluicegate {
namespace {

constexpr std::uint64_t kSecondNs = 1'000'000'000;

// "10 per minute", "a burst of 10". From the quota, not the name, as that may be any word.
std::string Words(const Denied& denied) {
  if (denied.decision.verdict == Verdict::kBanned) return "calls went on after many denials";
  const Limit& limit = denied.limit;
  if (limit.algorithm == Algorithm::kTokenBucket)
    return "a burst of " + std::to_string(limit.quota);
  if (limit.algorithm == Algorithm::kConcurrency)
    return std::to_string(limit.quota) + " at the same time";
  std::string name = limit::DefaultName(limit);
  std::ranges::replace(name, '-', ' ');
  return std::to_string(limit.quota) + " " + name;
}

}  // namespace

std::string Denied::message(std::string_view what) const {
  std::string text = "Rate limit exceeded";
  if (!what.empty()) text.append(" for ").append(what);
  text += ": " + Words(*this) + ". ";
  if (decision.retry_after_ns == Decision::kNever)
    return text + "The call costs more than that, so no wait makes it fit.";
  // Rounded up: who comes back then is not too early.
  const std::uint64_t seconds =
      std::max<std::uint64_t>(limit::DivideRoundingUp(decision.retry_after_ns, kSecondNs), 1);
  return text + "Retry after " + std::to_string(seconds) +
         (seconds == 1 ? " second." : " seconds.");
}

namespace internal {

std::string UniqueName() {
  static std::atomic<std::uint64_t> next{0};
  // No name that a program writes begins with a zero byte by accident.
  return std::string(1, '\0') + std::to_string(next.fetch_add(1, std::memory_order_relaxed));
}

std::string JoinKey(std::string_view name, std::string_view key) {
  std::string joined = std::to_string(name.size());
  joined.reserve(joined.size() + 1 + name.size() + key.size());
  joined.append(1, ':').append(name).append(key);
  return joined;
}

Denied MakeDenied(const Limiter& limiter, const Decision& decision) {
  const std::span<const Limit> limits = limiter.limits();
  const bool bound = decision.limit < limits.size();  // Not by a ban.
  return {.decision = decision, .limit = bound ? limits[decision.limit] : Limit{}};
}

}  // namespace internal
}  // namespace sluicegate
