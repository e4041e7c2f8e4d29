// QuotaFields: the response fields of a decision, with everything that a policy fixes formatted
// once. Bound to one loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip.h"
#include "engine/ruleset.h"
#include "limit/compiled_limit.h"
#include "policy/request.h"
#include "sluicegate/decision.h"
#include "sluicegate/time.h"
#include "wire/rate_limit_fields.h"

namespace sluicegate::http {

/// The fields of one decision: whole lines, CRLF included. Keeps its room from request to request.
struct QuotaLines {
  std::string lines;            ///< RateLimit-Policy, RateLimit and, for a denial, Retry-After.
  std::string epoch;            ///< X-RateLimit-Limit, -Remaining and -Reset; or empty.
  std::uint64_t remaining = 0;  ///< What `epoch` tells.

  void Clear() {
    lines.clear();
    epoch.clear();
  }
};

/// What RateLimit-Policy tells of a limit. Pure; views the name.
[[nodiscard]] wire::QuotaPolicy QuotaPolicyOf(const limit::CompiledLimit& limit,
                                              std::string_view name) noexcept;

/// The limit that binds, as a client is told of it.
struct BindingLimit {
  std::string_view name;
  std::uint64_t quota = 0;
  bool in_flight = false;  ///< It counts requests in flight.
};
/// RateLimit of it; X-RateLimit-*, or nothing where they would mislead; what Retry-After says.
/// Pure.
void AppendLeft(const BindingLimit& limit, const Decision& decision, std::string& out);
void AppendEpoch(const BindingLimit& limit, const Decision& decision, Now now, std::string& out);
[[nodiscard]] wire::RetryAfter RetryAfterOf(const Decision& decision) noexcept;

/// Whether what binds is a limit of requests in flight. Pure.
[[nodiscard]] bool CountsInFlight(const engine::Ruleset& rules, const Decision& decision) noexcept;

/// Fields and bodies call a limit by its name, or RULE/NAME where another rule has one of that
/// name; under a ceiling NAME/56.
class QuotaFields {
 public:
  /// Fills `out`, which is clear, for the request that was decided.
  void Append(const engine::Ruleset& rules, const Request& request, const Decision& decision,
              Now now, QuotaLines& out);

  /// The limits that deny: of the client's own, or of those under the ceiling that binds. Valid
  /// until the next call.
  [[nodiscard]] std::span<const std::string_view> Violated(const engine::Ruleset& rules,
                                                           const Decision& decision);

 private:
  struct Set {
    std::vector<std::string> names;                       // As the limit set's limits.
    std::vector<std::vector<std::string>> ceiling_names;  // The same, as the rule's ceilings.
    // Members of RateLimit-Policy, with ", " between them. With those of ceilings for IPv6 alone.
    std::string policy_v4;
    std::string policy_v6;
  };
  using Rule = std::vector<Set>;  // As the rule's variants.

  void Prepare(const engine::Ruleset& rules);
  /// `counts`: how many rules have a limit of each name.
  [[nodiscard]] static Set MakeSet(const policy::Rule& rule, std::size_t variant,
                                   const std::map<std::string, unsigned>& counts);
  [[nodiscard]] std::string_view NameOf(const engine::Ruleset& rules,
                                        const Decision& decision) const;
  void AppendPolicyLine(const engine::Ruleset& rules, const Request& request,
                        const Decision& decision, std::string& out);

  std::shared_ptr<const policy::Policy> prepared_;  // Held, so that its address stays its own.
  std::vector<Rule> rules_;
  std::vector<std::string_view> violated_;
};

}  // namespace sluicegate::http
