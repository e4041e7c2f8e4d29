#include "app/banner.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

namespace sluicegate::app {

std::uint64_t RequestsToLimit(const policy::Policy& policy) {
  constexpr std::uint64_t kMostPatience = 1000;
  if (!policy.enabled()) return 0;
  const std::vector<std::string_view> no_headers(policy.asked_headers().size());
  const Request request{.client = IpAddress::V4({127, 0, 0, 1}),
                        .method = "GET",
                        .path = "/",
                        .host = "127.0.0.1",
                        .headers = no_headers};
  std::uint64_t fewest = kMostPatience;
  for (const policy::Rule& rule : policy.rules()) {
    if (!rule.Binds(request)) continue;
    const std::uint64_t cost = rule.CostOf(request);
    if (cost == 0) continue;
    for (const policy::RuleLimit& limit : rule.variants()[rule.VariantOf(request)].limits) {
      // A loop has one request in flight.
      if (limit.limit.algorithm() == Algorithm::kConcurrency) continue;
      fewest = std::min(fewest, limit.limit.quota() / cost);
    }
  }
  return fewest < kMostPatience ? fewest + fewest / 2 + 5 : 0;
}

std::string Banner(const BannerFacts& facts) {
  std::string text = fmt::format("Sluicegate protects {}\n", facts.upstream);
  if (facts.demo) {
    text +=
        "That is a demo server of its own, as no upstream is named. For yours:\n"
        "  sluicegate gateway --upstream http://127.0.0.1:8000\n";
  }
  text += facts.policy.empty() ? "Policy: the built-in one (see it with: sluicegate describe)\n"
                               : fmt::format("Policy: {}\n", facts.policy);
  text += "\nPaste these into another shell. A request that passes:\n";
  text += fmt::format("  curl -i {}/\n", facts.gateway);
  if (facts.requests_to_limit > 0) {
    text += "A loop that gets limited (429 after the first ones):\n";
    text += fmt::format(
        "  for i in $(seq {}); do curl -s -o /dev/null -w '%{{http_code}} ' {}/; done; "
        "echo\n",
        facts.requests_to_limit, facts.gateway);
  }
  if (!facts.admin.empty()) {
    text += "Where the metrics are:\n";
    text += fmt::format("  curl -s {}/metrics\n", facts.admin);
  }
  text += "\nStop it with Ctrl-C.\n";
  return text;
}

}  // namespace sluicegate::app
