#include "wire/rate_limit_fields.h"

#include <algorithm>
#include <limits>

namespace sluicegate::wire {
namespace {

// The largest Integer of RFC 9651.
constexpr std::uint64_t kMaxInteger = 999'999'999'999'999;
constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();

// Inlined, as the names are constants then, which are copied without a call.
[[gnu::always_inline]] inline void PutParameter(std::string_view name, std::uint64_t value,
                                                TextWriter& out) {
  out.Put(name);
  out.PutNumber(std::min(value, kMaxInteger));
}

[[gnu::always_inline]] inline void PutLine(std::string_view name, std::uint64_t value,
                                           TextWriter& out) {
  out.Put(name);
  out.PutNumber(value);
  out.Put("\r\n");
}

void PutXRateLimit(const QuotaTriple& quota, std::uint64_t reset_s, TextWriter& out) {
  PutLine("X-RateLimit-Limit: ", quota.quota, out);
  PutLine("X-RateLimit-Remaining: ", quota.remaining, out);
  PutLine("X-RateLimit-Reset: ", reset_s, out);
}

}  // namespace

void AppendStructuredString(std::string_view text, std::string& out) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c >= 0x20 && c < 0x7F ? c : '?';
  }
  out += '"';
}

std::string PrintableName(std::string_view name) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string printable;
  printable.reserve(name.size());
  for (const char c : name) {
    if (c >= 0x20 && c < 0x7F && c != '%') {
      printable += c;
      continue;
    }
    const auto byte = static_cast<std::uint8_t>(c);
    printable += '%';
    printable += kDigits[byte >> 4U];
    printable += kDigits[byte & 0xFU];
  }
  return printable;
}

void AppendPolicyMembers(std::span<const QuotaPolicy> policies, std::string& out) {
  std::string_view before;
  for (const QuotaPolicy& policy : policies) {
    out += before;
    before = ", ";
    AppendStructuredString(policy.name, out);
    TextWriter text(out, kAboutFields);
    PutParameter(";q=", policy.quota, text);
    if (policy.unit == QuotaUnit::kConcurrentRequests) text.Put(R"(;qu="concurrent-requests")");
    if (policy.window_s > 0) PutParameter(";w=", policy.window_s, text);
  }
}

void AppendDraft03Members(std::span<const QuotaPolicy> policies, std::string& out) {
  std::string_view before;
  TextWriter text(out, kAboutFields);
  for (const QuotaPolicy& policy : policies) {
    if (policy.unit != QuotaUnit::kRequests || policy.window_s == 0) continue;
    text.Put(before);
    before = ", ";
    text.PutNumber(policy.quota);
    PutParameter(";w=", policy.window_s, text);
  }
}

void AppendPartitionMember(std::string_view name, std::span<const std::string_view> dimensions,
                           std::string& out) {
  AppendStructuredString(name, out);
  for (const std::string_view dimension : dimensions) {
    out += ';';
    out += dimension;
  }
}

void PutRateLimit(const QuotaLeft& left, LeftForms forms, TextWriter& out) {
  out.Put("RateLimit: ");
  out.Put(left.name);
  if (forms.draft11) {
    PutParameter(";r=", left.remaining, out);
    if (left.hold_ns) PutParameter(";t=", CeilSeconds(*left.hold_ns), out);
  }
  if (forms.draft_next) {
    PutParameter(";a=", left.remaining, out);
    if (left.hold_ns) PutParameter(";w=", CeilSeconds(*left.hold_ns), out);
    if (left.cost) PutParameter(";c=", *left.cost, out);
  }
  out.Put("\r\n");
}

void PutDraft03(const QuotaTriple& quota, std::string_view members, TextWriter& out) {
  out.Put("RateLimit-Limit: ");
  out.PutNumber(quota.quota);
  if (!members.empty()) out.Put(", ");
  out.Put(members);
  PutLine("\r\nRateLimit-Remaining: ", quota.remaining, out);
  PutLine("RateLimit-Reset: ", CeilSeconds(quota.reset_after_ns), out);
}

void PutXRateLimitEpoch(const QuotaTriple& quota, std::int64_t unix_ns, TextWriter& out) {
  const auto now_ns = static_cast<std::uint64_t>(std::max<std::int64_t>(unix_ns, 0));
  // The sum of both is below 2^64 for every window that a policy may have (years); saturate else.
  const std::uint64_t room_ns = std::numeric_limits<std::uint64_t>::max() - now_ns;
  PutXRateLimit(quota, CeilSeconds(now_ns + std::min(quota.reset_after_ns, room_ns)), out);
}

void PutXRateLimitDelta(const QuotaTriple& quota, TextWriter& out) {
  PutXRateLimit(quota, CeilSeconds(quota.reset_after_ns), out);
}

std::optional<std::uint64_t> RetryAfterSeconds(const RetryAfter& retry) noexcept {
  if (retry.retry_after_ns == kNever) return std::nullopt;
  constexpr std::uint64_t kMinSpread = 2;
  constexpr std::uint64_t kMaxSpread = 60;
  const std::uint64_t truth_s =
      std::max<std::uint64_t>({CeilSeconds(retry.retry_after_ns), CeilSeconds(retry.hold_ns), 1});
  const std::uint64_t spread_s = std::clamp(truth_s / 10, kMinSpread, kMaxSpread);
  // Fibonacci hashing: the hash's own bits choose buckets of the table, so they are mixed again and
  // the jitter tells none of them. 32 bits, as a fraction, times the number of values.
  const std::uint64_t fraction = (retry.key_hash * 0x9E3779B97F4A7C15U) >> 32U;
  return truth_s + ((fraction * (spread_s + 1)) >> 32U);
}

void PutRetryAfter(const RetryAfter& retry, TextWriter& out) {
  if (const auto seconds = RetryAfterSeconds(retry)) PutLine("Retry-After: ", *seconds, out);
}

}  // namespace sluicegate::wire
