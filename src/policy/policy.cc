#include "policy/policy.h"

#include <algorithm>

namespace sluicegate::policy {

std::uint64_t Policy::SmallestMaxBody(const Request& request) const noexcept {
  std::uint64_t smallest = settings_.max_body;
  for (const Rule& rule : rules_) {
    // Whether it could tighten the bound is the cheaper question.
    if (!rule.Tightens(smallest) || !rule.Binds(request)) continue;
    smallest = rule.max_body();
  }
  return smallest;
}

bool Policy::AsksArgumentsText() const noexcept {
  return std::ranges::any_of(rules_, [](const Rule& rule) {
    const auto key = rule.key();
    return std::ranges::find(key, KeyKind::kMcpArguments, &KeyPart::kind) != key.end();
  });
}

}  // namespace sluicegate::policy
