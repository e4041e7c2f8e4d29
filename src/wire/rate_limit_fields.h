// The response fields that tell a client its limits: draft-ietf-httpapi-ratelimit-headers, version
// 11, the next one and version 03, the older X-RateLimit-*, and Retry-After. Pure. What is put is
// whole lines, CRLF included; what is appended is members of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/text_writer.h"

namespace sluicegate::wire {

/// About what the longest of the lines or triples here takes beside texts of the caller's.
inline constexpr std::size_t kAboutFields = 160;

/// What a quota counts.
enum class QuotaUnit : std::uint8_t {
  kRequests,            ///< Not told, as it is the default.
  kConcurrentRequests,  ///< `qu="concurrent-requests"`: those in flight.
};

/// One member of RateLimit-Policy.
struct QuotaPolicy {
  std::string_view name = {};
  std::uint64_t quota = 0;
  std::uint64_t window_s = 0;  ///< 0: not told.
  QuotaUnit unit = QuotaUnit::kRequests;
};

/// The member of RateLimit: the tightest limit.
struct QuotaLeft {
  std::string_view name = {};  ///< As AppendStructuredString writes it: keep that, too.
  std::uint64_t remaining = 0;
  /// The time in which no more than `remaining` can be used. Absent: it is not known.
  std::optional<std::uint64_t> hold_ns = std::nullopt;
  /// Units of the request. Absent: not known. Version 11 has no word for it.
  std::optional<std::uint64_t> cost = std::nullopt;
};

/// Which parameters a member of RateLimit has. Unknown ones are ignored by who reads them, so one
/// member may have those of both.
struct LeftForms {
  bool draft11 = false;     ///< `r` and `t`.
  bool draft_next = false;  ///< `a`, `w` and `c`.
};

/// What a triple of fields tells of the tightest limit.
struct QuotaTriple {
  std::uint64_t quota = 0;
  std::uint64_t remaining = 0;
  std::uint64_t reset_after_ns = 0;
};

/// `"per-minute";q=60;w=60, "concurrency";q=20;qu="concurrent-requests"`: the members of
/// RateLimit-Policy, in version 11 and the next one. Constant for a limit set: keep them.
void AppendPolicyMembers(std::span<const QuotaPolicy> policies, std::string& out);

/// `60;w=60, 1000;w=3600`: what RateLimit-Limit of version 03 has behind the tightest limit's
/// quota. That version has no word for requests in flight, and demands a window: those without are
/// left out.
void AppendDraft03Members(std::span<const QuotaPolicy> policies, std::string& out);

/// `"per-minute";user_id;method`: a member of RateLimit-Partition. It has the dimensions' names and
/// no value. REQUIRES: each is a key of RFC 9651.
void AppendPartitionMember(std::string_view name, std::span<const std::string_view> dimensions,
                           std::string& out);

/// `RateLimit: "per-minute";r=37;t=12\r\n`, or `"per-minute";a=37;w=12;c=1`. The time is rounded
/// up; what is not known is left out. REQUIRES: one of the forms.
void PutRateLimit(const QuotaLeft& left, LeftForms forms, TextWriter& out);

/// RateLimit-Limit, -Remaining and -Reset of version 03: seconds from now, rounded up. `members`:
/// AppendDraft03Members; may be empty.
void PutDraft03(const QuotaTriple& quota, std::string_view members, TextWriter& out);

/// X-RateLimit-Limit, -Remaining and -Reset: seconds since 1970, rounded up. `unix_ns`: now.
void PutXRateLimitEpoch(const QuotaTriple& quota, std::int64_t unix_ns, TextWriter& out);
/// The same with seconds from now, rounded up.
void PutXRateLimitDelta(const QuotaTriple& quota, TextWriter& out);

/// What Retry-After says.
struct RetryAfter {
  std::uint64_t retry_after_ns = 0;  ///< The truth; Decision::kNever: no wait helps.
  std::uint64_t hold_ns = 0;         ///< What `t` of RateLimit tells: never earlier than this.
  std::uint64_t key_hash = 0;        ///< The client's: the same jitter when it asks twice.
};

/// Seconds with jitter, or nothing for never. At least 1 and at least the truth rounded up, plus 0
/// to S, where S is a tenth of the truth, but at least 2 s and at most 60 s: ten thousand clients
/// that were denied at once come back at about 3,300 a second for short waits and at 164 a second
/// for waits of ten minutes or more.
[[nodiscard]] std::optional<std::uint64_t> RetryAfterSeconds(const RetryAfter& retry) noexcept;

/// `Retry-After: 7\r\n`, or nothing for never.
void PutRetryAfter(const RetryAfter& retry, TextWriter& out);

/// Whole seconds, rounded up.
[[nodiscard]] constexpr std::uint64_t CeilSeconds(std::uint64_t ns) noexcept {
  constexpr std::uint64_t kNsPerSecond = 1'000'000'000;
  return ns / kNsPerSecond + (ns % kNsPerSecond != 0 ? 1 : 0);
}

/// Appends a String of RFC 9651: quoted, `"` and `\` escaped. What a String cannot hold (controls,
/// bytes above ASCII) becomes `?`.
void AppendStructuredString(std::string_view text, std::string& out);

/// The name as a String can hold it: what it cannot, and `%`, becomes `%` and two hexadecimal
/// digits, as in a Display String. Two names stay two; those that a policy may have stay as they
/// are.
[[nodiscard]] std::string PrintableName(std::string_view name);

}  // namespace sluicegate::wire
