// How often tools were called and denied.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include "core.h"
#include "engine/tool_statistics.h"

namespace sluicegate::python {
namespace {

using namespace nb::literals;
using engine::ToolStatistics;
using Tool = Text<"tool">;

nb::dict DictOf(const ToolReport& report) {
  nb::dict dict;
  dict["total_calls"] = report.total_calls;
  dict["rate_limited_calls"] = report.limited_calls;
  dict["last_limited"] = nb::none();
  if (const auto& last = report.last_limited_unix_ns) {
    dict["last_limited"] = static_cast<double>(*last) / 1e9;
  }
  dict["rate_limit_rate"] = report.limited_rate();
  return dict;
}

nb::dict ReadAll(const ToolStatistics& tools) {
  nb::dict all;
  for (const ToolReport& report : tools.Read()) all[TextFrom(report.tool)] = DictOf(report);
  return all;
}

std::optional<nb::dict> ReadOne(const ToolStatistics& tools, Tool tool) {
  const auto report = tools.Read(tool.text);
  if (!report) return std::nullopt;
  return DictOf(*report);
}

}  // namespace

void BindTools(nb::module_& module) {
  nb::class_<ToolStatistics>(module, "ToolStatistics")
      .def(nb::init<>())
      .def(
          "begin", [](ToolStatistics& self, Tool tool) { self.Begin(tool.text); }, "tool"_a,
          "From now on the tool is known, with all counters 0 if it was not.")
      .def(
          "count",
          [](ToolStatistics& self, Tool tool, bool limited) {
            self.Count(tool.text, limited, SystemClock().Read());
          },
          "tool"_a, "limited"_a)
      .def("get", &ReadOne, "tool"_a,
           nb::sig("def get(self, tool: str) -> dict[str, typing.Any] | None"))
      .def("get_all", &ReadAll, nb::sig("def get_all(self) -> dict[str, dict[str, typing.Any]]"))
      .def(
          "forget", [](ToolStatistics& self, Tool tool) { return self.Reset(tool.text); }, "tool"_a,
          "False: it was not known.")
      .def("forget_all", &ToolStatistics::ResetAll);
}

}  // namespace sluicegate::python
