// Arguments as Python has them, where nanobind's own casters take less, or refuse without a word:
// texts with lone surrogates, paths of every kind, and numbers and keys whose refusal names them.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sluicegate::python {

namespace nb = nanobind;

/// How Python calls an argument. A template's argument.
template <std::size_t kSize>
struct ArgumentName {
  // Implicit, so that a text may stand for it. NOLINTNEXTLINE
  consteval ArgumentName(const char (&text)[kSize]) { std::copy_n(text, kSize, chars.begin()); }
  std::array<char, kSize> chars{};
};

/// A str as UTF-8; lone surrogates, which JSON may bring, as WTF-8 has them. A view that lives as
/// long as the call.
template <ArgumentName kName>
struct Text {
  std::string_view text;
};

/// An int from 0 on that fits 64 bits.
template <ArgumentName kName>
struct Whole {
  std::uint64_t value = 0;
};

/// The absolute path of a file in which processes count together; empty for None.
struct StatePath {
  std::string path;
};

/// `text`, which stays while both `object` and `owner` do: that gets what had to be made for it.
/// Throws TypeError where the object is no str.
[[nodiscard]] std::string_view SlowUtf8Of(nb::handle object, nb::object& owner, const char* name);
[[nodiscard]] inline std::string_view Utf8Of(nb::handle object, nb::object& owner,
                                             const char* name) {
  Py_ssize_t length = 0;
  const char* const text = PyUnicode_AsUTF8AndSize(object.ptr(), &length);
  if (text == nullptr) return SlowUtf8Of(object, owner, name);
  return {text, static_cast<std::size_t>(length)};
}

/// "NAME is VALUE. MEND": TypeError, or ValueError.
[[noreturn]] void RefuseType(const std::string& name, nb::handle got, const char* mend);
[[noreturn]] void RefuseValue(const std::string& name, nb::handle got, const char* mend);
/// What is no number of a Whole.
[[noreturn]] void RefuseNumber(const char* name, nb::handle got);

[[nodiscard]] std::string StatePathOf(nb::handle given);

/// UTF-8 as a str. What is none in it is escaped as Python does it.
[[nodiscard]] nb::object TextFrom(std::string_view utf8);

/// An error of the engine, its words for options those of Python.
[[nodiscard]] std::string InPython(std::string error);

}  // namespace sluicegate::python

// They throw, as what calls them catches. A key that is None comes here, too, where its argument
// says none().
namespace nanobind::detail {

template <sluicegate::python::ArgumentName kName>
struct type_caster<sluicegate::python::Text<kName>> {
  NB_TYPE_CASTER(sluicegate::python::Text<kName>, const_name("str"))
  object owner;

  template <class Flags>
  bool from_python(handle source, Flags /*flags*/, cleanup_list* /*cleanup*/) {
    value.text = sluicegate::python::Utf8Of(source, owner, kName.chars.data());
    return true;
  }
};

template <sluicegate::python::ArgumentName kName>
struct type_caster<sluicegate::python::Whole<kName>> {
  NB_TYPE_CASTER(sluicegate::python::Whole<kName>, const_name("int"))

  template <class Flags>
  bool from_python(handle source, Flags flags, cleanup_list* cleanup) {
    make_caster<std::uint64_t> number;
    if (!number.from_python(source, flags, cleanup)) {
      sluicegate::python::RefuseNumber(kName.chars.data(), source);
    }
    value.value = number.value;
    return true;
  }
};

template <>
struct type_caster<sluicegate::python::StatePath> {
  NB_TYPE_CASTER(sluicegate::python::StatePath, const_name("str | os.PathLike[str]"))

  template <class Flags>
  bool from_python(handle source, Flags /*flags*/, cleanup_list* /*cleanup*/) {
    value.path = sluicegate::python::StatePathOf(source);
    return true;
  }
};
template <>
struct has_arg_defaults<sluicegate::python::StatePath> : std::true_type {};

}  // namespace nanobind::detail
