// StateGuard: keeps the process alive when somebody cuts its state file short, and tells what
// became of the file. One at a time in a process, as it handles SIGBUS. Bound to one thread; the
// file outlives it.
#pragma once

#include <csignal>
#include <functional>
#include <string>

#include "table/state_file.h"

namespace sluicegate::app {

class StateGuard {
 public:
  using Sink = std::function<void(const std::string& line)>;
  StateGuard(table::StateFile& file, Sink sink);
  ~StateGuard();
  StateGuard(const StateGuard&) = delete;
  StateGuard& operator=(const StateGuard&) = delete;

  /// Tells once of each change for the worse. Call it about once a second.
  void Look();

 private:
  table::StateFile& file_;
  const Sink sink_;
  struct sigaction before_{};
  table::StateFile::Condition told_ = table::StateFile::Condition::kWhole;
};

}  // namespace sluicegate::app
