#include <fmt/core.h>

#include <cstdio>

#include "app/commands.h"
#include "app/state_text.h"
#include "table/state_file.h"

namespace sluicegate::app {

int State(const std::string& file) {
  const auto report = table::StateFile::Read(file);
  if (!report) {
    fmt::print(stderr, "sluicegate: {}\n", report.error());
    return 1;
  }
  fmt::print("{}", StateText(file, *report));
  return 0;
}

}  // namespace sluicegate::app
