// The response fields that tell a client its limits: draft-ietf-httpapi-ratelimit-headers-11, the
// older X-RateLimit-* with epoch seconds, and Retry-After. Pure; every Append adds whole lines,
// CRLF included, to the caller's string.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace sluicegate::wire {

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
  std::string_view name = {};
  std::uint64_t remaining = 0;
  /// The time in which no more than `remaining` can be used. Absent: it is not known.
  std::optional<std::uint64_t> hold_ns = std::nullopt;
};

/// What X-RateLimit-* tell of the tightest limit.
struct EpochQuota {
  std::uint64_t quota = 0;
  std::uint64_t remaining = 0;
  std::int64_t unix_ns = 0;  ///< Now, wall time.
  /// Until the limit is as if never used; of requests in flight: until one of them must have ended.
  std::uint64_t reset_after_ns = 0;
};

/// `RateLimit-Policy: "per-minute";q=60;w=60, "concurrency";q=20;qu="concurrent-requests"\r\n`.
/// Nothing for no policies. Constant for a limit set: keep the line.
void AppendRateLimitPolicy(std::span<const QuotaPolicy> policies, std::string& out);

/// `RateLimit: "per-minute";r=37;t=12\r\n`. `t` is rounded up, and left out where it is not known.
void AppendRateLimit(const QuotaLeft& left, std::string& out);

/// X-RateLimit-Limit, -Remaining and -Reset (epoch seconds, rounded up).
void AppendXRateLimitEpoch(const EpochQuota& quota, std::string& out);

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
void AppendRetryAfter(const RetryAfter& retry, std::string& out);

/// Whole seconds, rounded up.
[[nodiscard]] constexpr std::uint64_t CeilSeconds(std::uint64_t ns) noexcept {
  constexpr std::uint64_t kNsPerSecond = 1'000'000'000;
  return ns / kNsPerSecond + (ns % kNsPerSecond != 0 ? 1 : 0);
}

/// Appends a String of RFC 9651: quoted, `"` and `\` escaped. What a String cannot hold (controls,
/// bytes above ASCII) becomes `?`.
void AppendStructuredString(std::string_view text, std::string& out);

}  // namespace sluicegate::wire
