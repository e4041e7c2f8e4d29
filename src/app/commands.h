// The commands of the program. Each returns its exit status: 0 done, 1 refused, kUsage (what, where
// and the mend are on standard error).
#pragma once

#include <string>

#include "app/options.h"

namespace sluicegate::app {

/// The status for a command line that makes no sense, as shells have it.
inline constexpr int kUsage = 2;

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

/// `mcp-stdio -- COMMAND`: stands between a server of MCP that it starts and the client at standard
/// input and output. Ends as the server does: by the same signal, or with its status; 126 and 127:
/// it could not be started.
int McpStdio(const McpStdioOptions& options);

/// `api-key ID`: makes a key and shows it once.
int MakeApiKey(const std::string& id);

}  // namespace sluicegate::app
