// OpenOnce: a state file, once in a process. Each open one takes one of the file's 256 places for
// processes, so the limiters of a program share theirs; and the record locks that a forked child
// may have are lost when it closes another opening. Thread-safe.
#pragma once

#include <expected>
#include <memory>
#include <string>

#include "table/state_file.h"

namespace sluicegate::table {

/// The file that lies there, if this process has it open already, by whatever path; else as
/// StateFile::Open. It closes with its last owner.
[[nodiscard]] std::expected<std::shared_ptr<StateFile>, std::string> OpenOnce(
    const std::string& path);

}  // namespace sluicegate::table
