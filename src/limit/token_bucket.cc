#include "limit/token_bucket.h"

#include <algorithm>

namespace sluicegate::limit {

// One word does not say how deep the bucket was when the charge was made. It was paid off at the
// earliest at charged + cost * interval (the bucket was full), so what is left of it is at least
// what this leaves. Taking more could give back units that other charges hold.
std::uint64_t TokenBucket::GivenBack(std::uint64_t tat_ns, std::uint64_t now_ns,
                                     std::uint64_t charged_ns, std::uint64_t cost) const noexcept {
  const std::uint64_t price_ns = MultiplySaturating(cost, interval_ns());
  const std::uint64_t left_ns = SubtractSaturating(AddSaturating(charged_ns, price_ns), now_ns);
  const std::uint64_t debt_ns = Debt(tat_ns, now_ns);
  return tat_ns - std::min({left_ns, price_ns, debt_ns});
}

std::uint64_t TokenBucket::GivenBackOldest(std::uint64_t tat_ns, std::uint64_t now_ns,
                                           std::uint64_t cost) const noexcept {
  return tat_ns - std::min(Debt(tat_ns, now_ns), MultiplySaturating(cost, interval_ns()));
}

std::uint64_t TokenBucket::Repriced(std::uint64_t tat_ns, std::uint64_t now_ns,
                                    const TokenBucket& other) const noexcept {
  using Wide = unsigned __int128;
  const Wide product = Wide{Debt(tat_ns, now_ns)} * interval_ns();
  const Wide debt_ns = (product + other.interval_ns() - 1) / other.interval_ns();
  return debt_ns == 0
             ? 0
             : AddSaturating(now_ns, static_cast<std::uint64_t>(std::min<Wide>(debt_ns, kMaxU64)));
}

Load TokenBucket::LoadOf(std::uint64_t tat_ns, std::uint64_t now_ns) const noexcept {
  const std::uint64_t debt_ns = Debt(tat_ns, now_ns);
  if (debt_ns == 0) return {};
  // Units, not nanoseconds: a bucket with less than one unit left is at its limit.
  const std::uint64_t used = burst_ - std::min(Remaining(tat_ns, now_ns), burst_);
  return {.used_ppm = ShareOf(used, burst_), .clears_after_ns = debt_ns};
}

}  // namespace sluicegate::limit
