// Concurrency: each user may have two exports under way. A third begins when one of them is over.
#include <sluicegate/lease.h>

#include <cstdio>
#include <map>

int main() {
  auto limiter = sluicegate::Limiter::Create({sluicegate::Limit::Concurrency(2), "100/hour"});
  if (!limiter) return std::fprintf(stderr, "%s\n", limiter.error().c_str()), 1;
  std::map<int, sluicegate::Lease> under_way;  // Each holds its place for as long as it lives.
  for (const int number : {1, 2, 3}) {
    const sluicegate::Decision decision = limiter->Check("user:42");
    if (decision) {
      under_way.emplace(number, sluicegate::Lease(*limiter, decision));
      std::printf("export %d: begins\n", number);
    } else {
      std::printf("export %d: denied by %s\n", number,
                  limiter->limits()[decision.limit].name.c_str());
    }
  }
  under_way.erase(1);
  std::puts("export 1: is over");
  const sluicegate::Decision again = limiter->Check("user:42");
  const sluicegate::Lease third(*limiter, again);
  std::printf("export 3: %s\n", again ? "begins" : "denied");
}
