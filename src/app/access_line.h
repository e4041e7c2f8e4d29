// A line of the access log: a request as one JSON object (doc/operations.md tells the members).
// Pure and thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "app/pseudonyms.h"
#include "gateway/access_record.h"

namespace sluicegate::app {

/// Appends the line, with its end. Whatever bytes the record has, it is one line of valid JSON.
void AppendAccessLine(const gateway::AccessRecord& record, const Pseudonyms& names,
                      std::string& out);

/// Appends the line that stands for `lines` that are not there.
void AppendLostLine(std::uint64_t lines, std::string& out);

}  // namespace sluicegate::app
