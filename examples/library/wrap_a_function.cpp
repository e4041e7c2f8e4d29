// RateLimited: a function that each user may call once a minute, and only once.
#include <sluicegate/rate_limited.h>

#include <cstdio>
#include <string>

std::string Greet(const std::string& user) { return "hello " + user; }

int main() {
  auto limiter = sluicegate::Limiter::Create({"1/minute"});
  if (!limiter) return std::fprintf(stderr, "%s\n", limiter.error().c_str()), 1;
  auto greet = sluicegate::RateLimited(
      Greet, sluicegate::RateLimitedOptions{.limiter = &*limiter,
                                            .key = [](const std::string& user) { return user; }});
  for (const char* user : {"ada", "bob", "ada"}) {
    const auto words = greet(std::string(user));
    std::puts(words ? words->c_str() : words.error().message().c_str());
  }
}
