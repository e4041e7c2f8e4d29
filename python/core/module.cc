// sluicegate._core: the engine, for the Python package. Its stubs are _core.pyi beside it.
#include <nanobind/stl/string_view.h>

#include "core.h"
#include "sluicegate/version.h"
#include "table/bucket.h"

namespace {

// A bucket that a stopped process holds is waited for without the GIL.
void* ReleaseGil() noexcept {
  const bool may = PyGILState_Check() != 0 && !sluicegate::python::KeptGil::IsHere();
  return may ? PyEval_SaveThread() : nullptr;
}

void TakeGil(void* released) noexcept {
  if (released != nullptr) PyEval_RestoreThread(static_cast<PyThreadState*>(released));
}

}  // namespace

NB_MODULE(_core, module) {
  // What a program or a library still refers to when the interpreter ends is no leak of ours.
  nanobind::set_leak_warnings(false);
  module.doc() = "The engine of Sluicegate. Use the package sluicegate, which documents it.";
  sluicegate::table::SetWaitHooks({.begin = &ReleaseGil, .end = &TakeGil});
  module.attr("version") = sluicegate::kVersion;
  sluicegate::python::BindLimiter(module);
  sluicegate::python::BindTools(module);
  sluicegate::python::BindDoors(module);
  sluicegate::python::BindCounts(module);
}
