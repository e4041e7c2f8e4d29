// The commands of the program. Each returns its exit status: 0 done, 1 refused (what, where and the
// mend are on standard error).
#pragma once

#include <string>

#include "app/options.h"

namespace sluicegate::app {

/// `gateway` and `run`: opens the doors and serves until a signal says stop.
int Serve(const ServeOptions& options);

/// `check FILE`: tells every mistake of a configuration and how many keys it holds. "-" is standard
/// input.
int Check(const std::string& file);

/// `explain`: which rules a request meets, with which keys, and what would be decided.
int Explain(const ExplainOptions& options);

/// `describe`: the limits in words for those who call the API.
int Describe(const DescribeOptions& options);

/// `state FILE`: what is in a state file. Neither attaches to it nor changes it.
int State(const std::string& file);

/// `api-key ID`: makes a key and shows it once.
int MakeApiKey(const std::string& id);

}  // namespace sluicegate::app
