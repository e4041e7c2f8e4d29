#include "wire/trace_context.h"

#include <algorithm>

#include "wire/http_head.h"

namespace sluicegate::wire {
namespace {

constexpr std::size_t kTraceDigits = 32;
constexpr std::size_t kSpanDigits = 16;

// Lower case alone is valid.
bool IsHex(std::string_view text) noexcept {
  return std::ranges::all_of(text,
                             [](char c) { return syntax::IsDigit(c) || (c >= 'a' && c <= 'f'); });
}

bool IsId(std::string_view text) noexcept {
  return IsHex(text) && std::ranges::any_of(text, [](char c) { return c != '0'; });
}

}  // namespace

// VERSION "-" TRACE "-" SPAN "-" FLAGS; later versions may have more behind another "-".
std::string_view TraceIdOf(std::string_view traceparent) noexcept {
  constexpr std::size_t kTrace = 3;
  constexpr std::size_t kSpan = kTrace + kTraceDigits + 1;
  constexpr std::size_t kFlags = kSpan + kSpanDigits + 1;
  constexpr std::size_t kSize = kFlags + 2;
  if (traceparent.size() < kSize) return {};
  const bool dashes = traceparent[kTrace - 1] == '-' && traceparent[kSpan - 1] == '-' &&
                      traceparent[kFlags - 1] == '-';
  const std::string_view version = traceparent.substr(0, 2);
  if (!dashes || !IsHex(version) || version == "ff") return {};
  const bool more = traceparent.size() > kSize;
  if (more && (version == "00" || traceparent[kSize] != '-')) return {};
  const std::string_view trace = traceparent.substr(kTrace, kTraceDigits);
  const bool good = IsId(trace) && IsId(traceparent.substr(kSpan, kSpanDigits)) &&
                    IsHex(traceparent.substr(kFlags, 2));
  return good ? trace : std::string_view();
}

std::string_view FindTraceId(std::span<const Field> fields) noexcept {
  const auto is_it = [](const Field& field) { return EqualsIgnoreCase(field.name, "traceparent"); };
  const auto first = std::ranges::find_if(fields, is_it);
  if (first == fields.end() || std::any_of(first + 1, fields.end(), is_it)) return {};
  return TraceIdOf(first->value);
}

}  // namespace sluicegate::wire
