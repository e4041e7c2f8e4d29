// A limiter in three lines: three checks pass, the fourth is told when to come back.
#include <sluicegate/limiter.h>

#include <cstdio>

int main() {
  auto limiter = sluicegate::Limiter::Create({"3/minute", "1000/hour"});
  if (!limiter) return std::fprintf(stderr, "%s\n", limiter.error().c_str()), 1;
  for (int request = 1; request <= 4; ++request) {
    const sluicegate::Decision decision = limiter->Check("user:42");
    if (decision) {
      std::printf("request %d: allowed, %d left\n", request, static_cast<int>(decision.remaining));
    } else {
      std::printf("request %d: denied by %s\n", request,
                  limiter->limits()[decision.limit].name.c_str());
    }
  }
}
