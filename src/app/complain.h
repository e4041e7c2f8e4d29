// Complain: words for people on standard error. Thread-safe.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <utility>

namespace sluicegate::app {

/// As fmt::print. What cannot be written is lost: a full disk must not change how a command ends.
template <typename... Values>
void Complain(fmt::format_string<Values...> format, Values&&... values) {
  const std::string text = fmt::format(format, std::forward<Values>(values)...);
  static_cast<void>(std::fwrite(text.data(), 1, text.size(), stderr));
}

}  // namespace sluicegate::app
