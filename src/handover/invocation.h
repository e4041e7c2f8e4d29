// Invocation: how this process was started, to start the program again. A value type.
#pragma once

#include <string>
#include <vector>

namespace sluicegate::handover {

struct Invocation {
  std::vector<std::string> command;  ///< The program's name as it was called, and its arguments.
  std::string program;               ///< Its file, for a name that is none of a program.

  /// REQUIRES: argc > 0.
  [[nodiscard]] static Invocation Of(int argc, const char* const* argv);
};

}  // namespace sluicegate::handover
