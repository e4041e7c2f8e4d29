// What a client is told whose request is denied, and what the log is. Thread-safe but for `fields`.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/ruleset.h"
#include "http/quota_fields.h"
#include "policy/policy.h"
#include "sluicegate/decision.h"
#include "sluicegate/time.h"
#include "wire/problem.h"

namespace sluicegate::http {

/// The problem of a denial: 429, with the limits that deny. Views into `fields`, until its next
/// call, and constant texts. No address, as it may not be the client's own.
/// REQUIRES: `!decision.allowed()`.
[[nodiscard]] wire::Problem ProblemOf(const engine::Ruleset& rules, const Decision& decision,
                                      QuotaFields& fields);

/// Whether a banned client gets no answer. REQUIRES: as above.
[[nodiscard]] bool IsDropped(const engine::Ruleset& rules, const Decision& decision) noexcept;

/// A denied request, for the log.
struct DenialEvent {
  Verdict verdict = Verdict::kLimited;
  std::string_view rule;       ///< The policy's name of it, valid as long as the policy.
  std::string_view limit;      ///< As `rule`. Empty: a ban.
  std::uint64_t key_hash = 0;  ///< Not to be logged as it is.
  Now now;
};

/// Nothing: no rule decided. REQUIRES: `policy` made the decision. Pure.
[[nodiscard]] std::optional<DenialEvent> EventOf(const policy::Policy& policy,
                                                 const Decision& decision, Now now);

}  // namespace sluicegate::http
