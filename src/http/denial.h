// What a client is told whose request is denied. Thread-safe but for `fields`.
#pragma once

#include "engine/ruleset.h"
#include "http/quota_fields.h"
#include "sluicegate/decision.h"
#include "wire/problem.h"

namespace sluicegate::http {

/// The problem of a denial: 429, with the limits that deny. Views into `fields`, until its next
/// call, and constant texts. No address, as it may not be the client's own.
/// REQUIRES: `!decision.allowed()`.
[[nodiscard]] wire::Problem ProblemOf(const engine::Ruleset& rules, const Decision& decision,
                                      QuotaFields& fields);

/// Whether a banned client gets no answer. REQUIRES: as above.
[[nodiscard]] bool IsDropped(const engine::Ruleset& rules, const Decision& decision) noexcept;

}  // namespace sluicegate::http
