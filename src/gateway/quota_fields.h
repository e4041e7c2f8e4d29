// QuotaFields: the response fields of a decision, with everything that a policy fixes formatted
// once. Bound to one loop.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/ruleset.h"
#include "policy/request.h"
#include "sluicegate/decision.h"
#include "sluicegate/time.h"

namespace sluicegate::gateway {

/// The fields of one decision: whole lines, CRLF included. Keeps its room from request to request.
struct QuotaLines {
  std::string lines;            ///< RateLimit-Policy, RateLimit and, for a denial, Retry-After.
  std::string epoch;            ///< X-RateLimit-Limit, -Remaining and -Reset.
  std::uint64_t remaining = 0;  ///< What `epoch` tells.

  void Clear() {
    lines.clear();
    epoch.clear();
  }
};

class QuotaFields {
 public:
  /// Fills `out`, which is clear, for the request that was decided.
  void Append(const engine::Ruleset& rules, const Request& request, const Decision& decision,
              Now now, QuotaLines& out);

  /// What fields and bodies call the limits of a rule's limit set, in their order: each by its
  /// name, or RULE/NAME where another rule has one of that name. Valid until another policy is
  /// asked for.
  [[nodiscard]] std::span<const std::string> NamesOf(const engine::Ruleset& rules,
                                                     std::uint16_t rule, std::uint8_t variant);

 private:
  struct Set {
    std::vector<std::string> names;  // As the limit set's limits.
    std::string policy;              // The members of RateLimit-Policy, with ", " between them.
  };
  using Rule = std::vector<Set>;  // As the rule's variants.

  void Prepare(const engine::Ruleset& rules);
  void AppendPolicyLine(const engine::Ruleset& rules, const Request& request, std::string& out);

  std::shared_ptr<const policy::Policy> prepared_;  // Held, so that its address stays its own.
  std::vector<Rule> rules_;
};

}  // namespace sluicegate::gateway
