#include "app/banner.h"

#include <fmt/format.h>

namespace sluicegate::app {

std::string Banner(const BannerFacts& facts) {
  std::string text = fmt::format("Sluicegate protects {}\n", facts.upstream);
  if (facts.demo) {
    text +=
        "That is a demo server of its own, as no upstream is named. For yours:\n"
        "  sluicegate gateway --upstream http://127.0.0.1:8000\n";
  }
  text += facts.policy.empty()
              ? "Policy: the built-in one (see it with: sluicegate describe)\n"
              : fmt::format("Policy: {}\n", facts.policy);
  text += "\nPaste these into another shell. A request that passes:\n";
  text += fmt::format("  curl -i http://{}/\n", facts.gateway);
  if (facts.requests_to_limit > 0) {
    text += "A loop that gets limited (429 after the first ones):\n";
    text += fmt::format(
        "  for i in $(seq {}); do curl -s -o /dev/null -w '%{{http_code}} ' http://{}/; done; "
        "echo\n",
        facts.requests_to_limit, facts.gateway);
  }
  if (!facts.admin.empty()) {
    text += "Where the metrics are:\n";
    text += fmt::format("  curl -s http://{}/metrics\n", facts.admin);
  }
  text += "\nStop it with Ctrl-C.\n";
  return text;
}

}  // namespace sluicegate::app
