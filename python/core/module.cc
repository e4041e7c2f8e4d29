// sluicegate._core: the engine, for the Python package. Its stubs are _core.pyi beside it.
#include <nanobind/stl/string_view.h>

#include "core.h"
#include "sluicegate/version.h"

NB_MODULE(_core, module) {
  module.doc() = "The engine of Sluicegate. Use the package sluicegate, which documents it.";
  module.attr("version") = sluicegate::kVersion;
  sluicegate::python::BindLimiter(module);
  sluicegate::python::BindDoors(module);
  sluicegate::python::BindCounts(module);
}
