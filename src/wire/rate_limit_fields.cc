#include "wire/rate_limit_fields.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace sluicegate::wire {
namespace {

// The largest Integer of RFC 9651.
constexpr std::uint64_t kMaxInteger = 999'999'999'999'999;
constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();

void AppendNumber(std::uint64_t number, std::string& out) {
  std::array<char, 20> digits;  // 2^64 has 20.
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  out.append(digits.data(), end);
}

void AppendParameter(std::string_view name, std::uint64_t value, std::string& out) {
  out += ';';
  out += name;
  out += '=';
  AppendNumber(std::min(value, kMaxInteger), out);
}

void AppendLine(std::string_view name, std::uint64_t value, std::string& out) {
  out += name;
  out += ": ";
  AppendNumber(value, out);
  out += "\r\n";
}

void AppendXRateLimit(const QuotaTriple& quota, std::string& out) {
  AppendLine("X-RateLimit-Limit", quota.quota, out);
  AppendLine("X-RateLimit-Remaining", quota.remaining, out);
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
    AppendParameter("q", policy.quota, out);
    if (policy.unit == QuotaUnit::kConcurrentRequests) out += R"(;qu="concurrent-requests")";
    if (policy.window_s > 0) AppendParameter("w", policy.window_s, out);
  }
}

void AppendDraft03Members(std::span<const QuotaPolicy> policies, std::string& out) {
  std::string_view before;
  for (const QuotaPolicy& policy : policies) {
    if (policy.unit != QuotaUnit::kRequests || policy.window_s == 0) continue;
    out += before;
    before = ", ";
    AppendNumber(policy.quota, out);
    AppendParameter("w", policy.window_s, out);
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

void AppendRateLimit(const QuotaLeft& left, LeftForms forms, std::string& out) {
  out += "RateLimit: ";
  out += left.name;
  if (forms.draft11) {
    AppendParameter("r", left.remaining, out);
    if (left.hold_ns) AppendParameter("t", CeilSeconds(*left.hold_ns), out);
  }
  if (forms.draft_next) {
    AppendParameter("a", left.remaining, out);
    if (left.hold_ns) AppendParameter("w", CeilSeconds(*left.hold_ns), out);
    if (left.cost) AppendParameter("c", *left.cost, out);
  }
  out += "\r\n";
}

void AppendDraft03(const QuotaTriple& quota, std::string_view members, std::string& out) {
  out += "RateLimit-Limit: ";
  AppendNumber(quota.quota, out);
  if (!members.empty()) out += ", ";
  out += members;
  out += "\r\n";
  AppendLine("RateLimit-Remaining", quota.remaining, out);
  AppendLine("RateLimit-Reset", CeilSeconds(quota.reset_after_ns), out);
}

void AppendXRateLimitEpoch(const QuotaTriple& quota, std::int64_t unix_ns, std::string& out) {
  AppendXRateLimit(quota, out);
  const auto now_ns = static_cast<std::uint64_t>(std::max<std::int64_t>(unix_ns, 0));
  // The sum of both is below 2^64 for every window that a policy may have (years); saturate else.
  const std::uint64_t room_ns = std::numeric_limits<std::uint64_t>::max() - now_ns;
  AppendLine("X-RateLimit-Reset", CeilSeconds(now_ns + std::min(quota.reset_after_ns, room_ns)),
             out);
}

void AppendXRateLimitDelta(const QuotaTriple& quota, std::string& out) {
  AppendXRateLimit(quota, out);
  AppendLine("X-RateLimit-Reset", CeilSeconds(quota.reset_after_ns), out);
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

void AppendRetryAfter(const RetryAfter& retry, std::string& out) {
  if (const auto seconds = RetryAfterSeconds(retry)) AppendLine("Retry-After", *seconds, out);
}

}  // namespace sluicegate::wire
