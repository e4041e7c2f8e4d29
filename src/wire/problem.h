// Bodies of application/problem+json (RFC 9457). Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "wire/refusal.h"

namespace sluicegate::wire {

inline constexpr std::string_view kProblemContentType = "application/problem+json";

/// The registered problem types that Sluicegate answers with.
enum class ProblemType : std::uint8_t {
  kBlank,                     ///< "about:blank": the status says it all.
  kQuotaExceeded,             ///< 429: a quota is used up.
  kAbnormalUsageDetected,     ///< 429: banned for abuse.
  kTemporaryReducedCapacity,  ///< 503: shed because the upstream is overloaded.
};

struct Problem {
  ProblemType type = ProblemType::kBlank;
  std::uint16_t status = 0;
  std::string_view detail = {};  ///< What is wrong and the mend. Empty: left out.
  /// kQuotaExceeded only: the names of the limits that deny, of the rule that binds.
  std::span<const std::string_view> violated_policies = {};
  /// The whole body, where it was formatted before: AppendProblem then copies it. Empty: it was
  /// not.
  std::string_view body = {};
};

/// The blank problem of a refusal.
[[nodiscard]] inline Problem ProblemOf(const Refusal& refusal) noexcept {
  return {.status = refusal.status, .detail = refusal.detail};
}

/// Appends the body as one line of JSON: type, title, status, detail, violated-policies.
void AppendProblem(const Problem& problem, std::string& out);

/// "Not Found" for 404; "Unknown" where RFC 9110 has no phrase.
[[nodiscard]] std::string_view ReasonPhrase(std::uint16_t status) noexcept;

}  // namespace sluicegate::wire
