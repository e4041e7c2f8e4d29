// The trace of a traceparent: 32 hex digits of the value itself, or nothing; safe to write down.
#include <algorithm>
#include <string>

#include "fuzz_target.h"
#include "wire/trace_context.h"

using sluicegate::fuzz::Require;
namespace wire = sluicegate::wire;

SG_FUZZ_TARGET(trace_context) {
  const std::string_view trace = wire::TraceIdOf(bytes);
  const wire::Field field{.name = "traceparent", .value = bytes};
  Require(wire::FindTraceId({&field, 1}) == trace);
  if (trace.empty()) return;
  Require(trace.data() == bytes.data() + 3 && trace.size() == 32);
  Require(trace.find_first_not_of("0123456789abcdef") == std::string_view::npos);
  Require(trace.find_first_not_of('0') != std::string_view::npos);
  // What version 00 has of it is enough, and what it has not does not change it.
  const std::string least = "00" + std::string(bytes.substr(2, 53));
  Require(wire::TraceIdOf(least) == trace);
  Require(wire::TraceIdOf(least + "-").empty());
  Require(wire::TraceIdOf(std::string_view(least).substr(0, 54)).empty());
}
