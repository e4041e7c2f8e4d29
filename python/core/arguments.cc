#include "arguments.h"

#include <utility>

namespace sluicegate::python {
namespace {

// As Python shows it, shortened.
std::string Shown(nb::handle object) {
  constexpr std::size_t kMost = 100;
  const nb::object shown = nb::steal(PyObject_Repr(object.ptr()));
  if (!shown.is_valid()) throw nb::python_error();
  nb::object owner;
  std::string text(Utf8Of(shown, owner, "repr"));
  if (text.size() > kMost) text.replace(kMost, std::string::npos, "...");
  return text;
}

std::string Refusal(const std::string& name, nb::handle got, const char* mend) {
  return name + " is " + Shown(got) + ". " + mend;
}

void ReplaceAll(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
}

}  // namespace

void RefuseType(const std::string& name, nb::handle got, const char* mend) {
  throw nb::type_error(Refusal(name, got, mend).c_str());
}

void RefuseValue(const std::string& name, nb::handle got, const char* mend) {
  throw nb::value_error(Refusal(name, got, mend).c_str());
}

void RefuseNumber(const char* name, nb::handle got) {
  PyErr_Clear();
  if (!PyLong_Check(got.ptr())) RefuseType(name, got, "Write a whole number.");
  RefuseValue(name, got, "Write a whole number from 0 to 2**64 - 1.");
}

std::string_view SlowUtf8Of(nb::handle object, nb::object& owner, const char* name) {
  PyErr_Clear();
  if (!PyUnicode_Check(object.ptr())) RefuseType(name, object, "Write a str.");
  owner = nb::steal(PyUnicode_AsEncodedString(object.ptr(), "utf-8", "surrogatepass"));
  if (!owner.is_valid()) throw nb::python_error();
  return {PyBytes_AS_STRING(owner.ptr()), static_cast<std::size_t>(PyBytes_GET_SIZE(owner.ptr()))};
}

std::string StatePathOf(nb::handle given) {
  constexpr const char* kMend =
      "Write the path of a file from / on, like /dev/shm/app.sluicegate, or leave it out: a "
      "relative path is another file in each folder.";
  if (given.is_none()) return {};
  PyObject* converted = nullptr;  // What Python's own functions for files do.
  if (PyUnicode_FSConverter(given.ptr(), static_cast<void*>(&converted)) == 0) {
    const bool type = PyErr_ExceptionMatches(PyExc_TypeError) != 0;
    PyErr_Clear();
    if (type) RefuseType("state", given, kMend);
    RefuseValue("state", given, kMend);
  }
  const nb::object bytes = nb::steal(converted);
  std::string path(PyBytes_AS_STRING(bytes.ptr()),
                   static_cast<std::size_t>(PyBytes_GET_SIZE(bytes.ptr())));
  if (!path.starts_with('/')) RefuseValue("state", given, kMend);
  return path;
}

nb::object TextFrom(std::string_view utf8) {
  nb::object text = nb::steal(
      PyUnicode_DecodeUTF8(utf8.data(), static_cast<Py_ssize_t>(utf8.size()), "surrogateescape"));
  if (!text.is_valid()) throw nb::python_error();
  return text;
}

std::string InPython(std::string error) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 8> kWords = {{
      {"Limiter::Create({\"60/minute\"})", "Limiter([\"60/minute\"])"},
      {"leave LimiterOptions::penalty out", "leave penalty out"},
      {"set its Limit::name", "give it another name by .named(\"...\")"},
      {"(state.memory, a rule's memory, memory_bytes)", "(memory)"},
      {"(state.memory)", "(memory)"},
      {", or leave the rule out.", "."},
      {"Write refill: 1/s,", "Write Limit.burst(10, \"1/s\"),"},
      {"refill: 1/s or refill: 100/5min", "\"1/s\" or \"100/5min\""},
  }};
  for (const auto& [from, to] : kWords) ReplaceAll(error, from, to);
  // What a quota was may hold halves of characters, which are no text of a message.
  const nb::object text = nb::steal(PyUnicode_DecodeUTF8(
      error.data(), static_cast<Py_ssize_t>(error.size()), "backslashreplace"));
  if (!text.is_valid()) throw nb::python_error();
  nb::object owner;
  return std::string(Utf8Of(text, owner, "error"));
}

}  // namespace sluicegate::python
