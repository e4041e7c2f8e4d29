// QuotaFields: the response fields of a decision, with everything that a policy fixes formatted
// once. Bound to one loop.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/ruleset.h"
#include "policy/request.h"
#include "sluicegate/decision.h"
#include "sluicegate/time.h"

namespace sluicegate::gateway {

class QuotaFields {
 public:
  /// Appends RateLimit-Policy, RateLimit, X-RateLimit-* and, for a denial, Retry-After: whole
  /// lines. `request` is the one that was decided.
  void Append(const engine::Ruleset& rules, const Request& request, const Decision& decision,
              Now now, std::string& out);

  /// What fields and bodies call the limit that binds: its name, or RULE/NAME where another rule
  /// has one of that name. Empty if none binds. Lives as long as the ruleset is asked for.
  [[nodiscard]] std::string_view NameOf(const engine::Ruleset& rules, const Decision& decision);

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
