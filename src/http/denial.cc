#include "http/denial.h"

namespace sluicegate::http {
namespace {

// What a client whose quota is used up is told.
std::string_view DetailOf(const engine::Ruleset& rules, const Decision& decision) {
  if (decision.retry_after_ns == Decision::kNever) {
    return "This request costs more than the quota ever allows.";
  }
  const bool shared = decision.shared_bits > 0;
  if (decision.limit == Decision::kNone) {
    return "This limit cannot be asked at the moment. Wait as long as Retry-After says.";
  }
  if (decision.shared_bits == Decision::kSharedByAll) {
    return "Too many requests at the same time. All clients for whom there is no memory share this "
           "limit. Wait until one of them has ended, or as long as Retry-After says.";
  }
  if (CountsInFlight(rules, decision)) {
    return shared ? "Too many requests at the same time. The client's network shares this limit. "
                    "Wait until one of them has ended, or as long as Retry-After says."
                  : "Too many requests at the same time. Wait until one of them has ended, or as "
                    "long as Retry-After says.";
  }
  return shared ? "Too many requests. The client's network shares this limit. Wait as long as "
                  "Retry-After says."
                : "Too many requests. Wait as long as Retry-After says.";
}

}  // namespace

wire::Problem ProblemOf(const engine::Ruleset& rules, const Decision& decision,
                        QuotaFields& fields) {
  wire::Problem problem{.type = wire::ProblemType::kQuotaExceeded, .status = 429, .detail = {}};
  if (decision.verdict == Verdict::kLimited) {
    problem.violated_policies = fields.Violated(rules, decision);
    problem.detail = DetailOf(rules, decision);
    problem.body = fields.BodyOf(rules, decision, problem);
  } else {
    problem.type = wire::ProblemType::kAbnormalUsageDetected;
    problem.detail = "Requests went on after many denials, so this client has to wait.";
  }
  return problem;
}

bool IsDropped(const engine::Ruleset& rules, const Decision& decision) noexcept {
  return decision.verdict == Verdict::kBanned &&
         rules.policy().rules()[decision.rule].penalty()->drop;
}

std::optional<DenialEvent> EventOf(const policy::Policy& policy, const Decision& decision,
                                   Now now) {
  if (decision.rule == Decision::kNone) return std::nullopt;
  const policy::RuleLimit* const limit = policy.BindingLimit(decision);
  return DenialEvent{.verdict = decision.verdict,
                     .rule = policy.rules()[decision.rule].name(),
                     .limit = limit == nullptr ? std::string_view() : limit->name,
                     .key_hash = decision.key_hash,
                     .now = now};
}

}  // namespace sluicegate::http
