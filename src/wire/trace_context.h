// The trace that a request belongs to: the field `traceparent` of W3C Trace Context (level 1).
// Pure and thread-safe.
#pragma once

#include <string_view>

#include "wire/syntax.h"

namespace sluicegate::wire {

/// The trace id of a traceparent: a view of its 32 lower-case hex digits. Empty where the value is
/// not valid. A version that is not known yet counts if its first parts are as in version 00, as
/// the standard says.
[[nodiscard]] std::string_view TraceIdOf(std::string_view traceparent) noexcept;

/// The same of a request's fields. Empty also where there are several: nobody can say which counts.
[[nodiscard]] std::string_view FindTraceId(std::span<const Field> fields) noexcept;

}  // namespace sluicegate::wire
