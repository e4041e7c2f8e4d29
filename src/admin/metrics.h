// The metrics page, in the Prometheus text format 0.0.4. Pure.
#pragma once

#include <string>
#include <string_view>

#include "admin/readings.h"

namespace sluicegate::admin {

inline constexpr std::string_view kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";

/// Labels hold names of rules, verdicts, reasons and versions only: their number is bounded by the
/// policy, whatever clients send.
[[nodiscard]] std::string RenderMetrics(const Readings& readings);

}  // namespace sluicegate::admin
