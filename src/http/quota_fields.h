// QuotaFields: the response fields of a decision, with everything that a policy fixes formatted
// once. Bound to one loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip.h"
#include "base/text_writer.h"
#include "engine/ruleset.h"
#include "limit/compiled_limit.h"
#include "policy/request.h"
#include "policy/settings.h"
#include "sluicegate/decision.h"
#include "sluicegate/time.h"
#include "wire/problem.h"
#include "wire/rate_limit_fields.h"

namespace sluicegate::http {

/// The fields of one decision: whole lines, CRLF included. Keeps its room from request to request.
struct QuotaLines {
  /// RateLimit-Policy, RateLimit-Partition and RateLimit, which are lists, and for a denial
  /// Retry-After.
  std::string lines;
  // Triples, which are no lists; or empty.
  std::string x_ratelimit;      ///< X-RateLimit-Limit, -Remaining and -Reset.
  std::string draft03;          ///< RateLimit-Limit, -Remaining and -Reset.
  std::uint64_t remaining = 0;  ///< What both tell.

  void Clear() {
    lines.clear();
    x_ratelimit.clear();
    draft03.clear();
  }
};

/// The forms of the fields that a policy asks for. A value type.
struct HeaderForms {
  wire::LeftForms left;
  bool draft03 = false;
  bool epoch = false;
  bool delta = false;

  [[nodiscard]] static HeaderForms Of(const policy::Settings& settings) noexcept;
  /// RateLimit and RateLimit-Policy.
  [[nodiscard]] bool lists() const noexcept { return left.draft11 || left.draft_next; }
};

/// What the lists have of a limit set, formatted once, with ", " between the members. Of a form
/// that is not asked for: empty.
struct QuotaMembers {
  std::string policy;     ///< Of RateLimit-Policy.
  std::string draft03;    ///< Of RateLimit-Limit.
  std::string partition;  ///< Of RateLimit-Partition.
};

/// What RateLimit-Policy tells of a limit. Pure; views the name.
[[nodiscard]] wire::QuotaPolicy QuotaPolicyOf(const limit::CompiledLimit& limit,
                                              std::string_view name) noexcept;

/// Pure. One set of dimensions for each of the policies.
[[nodiscard]] QuotaMembers MembersOf(std::span<const wire::QuotaPolicy> policies,
                                     std::span<const std::vector<std::string_view>> dimensions,
                                     const HeaderForms& forms);

/// The dimension of RateLimit-Partition that a client's address is.
inline constexpr std::string_view kClientDimension = "sluicegate-client";

/// The limit that binds, as a client is told of it.
struct BindingLimit {
  std::string_view name;  ///< As wire::AppendStructuredString writes it.
  std::uint64_t quota = 0;
  bool in_flight = false;                            ///< It counts requests in flight.
  std::optional<std::uint64_t> cost = std::nullopt;  ///< Of the request, in its units.
};
/// RateLimit of it, and the triples where they would not mislead. `draft03`: the members of
/// RateLimit-Limit. `lines` writes to `out.lines`. Pure.
void PutBinding(const BindingLimit& limit, const Decision& decision, Now now,
                const HeaderForms& forms, std::string_view draft03, TextWriter& lines,
                QuotaLines& out);
/// What Retry-After says. Pure.
[[nodiscard]] wire::RetryAfter RetryAfterOf(const Decision& decision) noexcept;

/// Whether what binds is a limit of requests in flight. Pure.
[[nodiscard]] bool CountsInFlight(const engine::Ruleset& rules, const Decision& decision) noexcept;

/// Fields and bodies call a limit by its name, or RULE/NAME where another rule has one of that
/// name; under a ceiling NAME/56.
class QuotaFields {
 public:
  /// Fills `out`, which is clear, for the requests that were decided together: of one client, and
  /// of several nobody knows the cost of all under the rule that binds. REQUIRES: there is one.
  void Append(const engine::Ruleset& rules, std::span<const Request> requests,
              const Decision& decision, Now now, QuotaLines& out);

  /// The limits that deny: of the client's own, or of those under the ceiling that binds. Valid
  /// until the next call.
  [[nodiscard]] std::span<const std::string_view> Violated(const engine::Ruleset& rules,
                                                           const Decision& decision);

  /// `problem` as wire::AppendProblem writes it. Whoever is denied by the same limits as the one
  /// before gets the text of then. Valid until the next call.
  [[nodiscard]] std::string_view BodyOf(const engine::Ruleset& rules, const Decision& decision,
                                        const wire::Problem& problem);

 private:
  // The body of the last denial by some limits, and what it depends on beside their names.
  struct Body {
    unsigned denied = 0;
    std::string detail;
    std::string text;  // Empty: there was none.
  };
  struct Names {
    explicit Names(std::vector<std::string> names);

    std::vector<std::string> plain;   // As the limit set's limits.
    std::vector<std::string> quoted;  // The same, as Strings of RFC 9651.
    Body body;                        // Of the last denial by these.
  };
  struct Set {
    std::vector<Names> names;  // The client's own, and behind them those under each ceiling.
    QuotaMembers v4;
    QuotaMembers v6;  // With those of ceilings.
  };
  using Rule = std::vector<Set>;  // As the rule's variants.

  void Prepare(const engine::Ruleset& rules);
  /// `counts`: how many rules have a limit of each name.
  [[nodiscard]] Set MakeSet(const policy::Rule& rule, std::size_t variant,
                            const std::map<std::string, unsigned>& counts) const;
  /// Those that the limit that binds is one of. REQUIRES: the decision names a rule.
  [[nodiscard]] Names& NamesOf(const engine::Ruleset& rules, const Decision& decision);
  /// Fills `applied_` with what the enforced rules say that hold for the request.
  void Gather(const engine::Ruleset& rules, std::span<const Request> requests,
              const Decision& decision);
  /// One list of all that applies: `before`, the members, `after`. Nothing where there are none.
  struct Ends {
    std::string_view before;
    std::string_view after;
  };
  void PutApplied(std::string QuotaMembers::* members, Ends ends, TextWriter& out) const;

  std::shared_ptr<const policy::Policy> prepared_;  // Held, so that its address stays its own.
  HeaderForms forms_;
  std::vector<Rule> rules_;
  std::vector<const QuotaMembers*> applied_;
  std::string draft03_;
  std::vector<std::string_view> violated_;
};

}  // namespace sluicegate::http
