#include <sluicegate/limiter.h>
#include <sluicegate/rate_limited.h>
#include <sluicegate/version.h>

#include <iostream>

int main() {
  auto limiter = sluicegate::Limiter::Create({"2/minute"});
  if (!limiter) {
    std::cerr << limiter.error() << "\n";
    return 1;
  }
  auto twice = sluicegate::RateLimited([](int n) { return 2 * n; },
                                       sluicegate::RateLimitedOptions{.limiter = &*limiter});
  if (twice(1).value_or(0) != 2 || twice(2).value_or(0) != 4) return 1;
  const auto denied = twice(3);
  if (denied) return 1;
  std::cout << "sluicegate " << sluicegate::kVersion << ": " << denied.error().message() << "\n";
  return 0;
}
