// What the command line said, command by command. Value types; empty: not given.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "handover/invocation.h"

namespace sluicegate::app {

/// `gateway` and `run`.
struct ServeOptions {
  std::string config = {};                   ///< The policy file; empty: the default policy.
  std::optional<std::string> upstream = {};  ///< Overrides upstream.url.
  std::optional<std::string> listen = {};    ///< Overrides listen.gateway.
  std::optional<std::string> admin = {};     ///< Overrides listen.admin; "off": no admin door.
  unsigned threads = 0;                      ///< 0: one a processor.
  std::string port_file = {};                ///< Where to write the ports that the system chose.
  std::string log_level = "info";
  /// The `gateway` command: listeners have defaults, and without an upstream a demo is started.
  bool defaults = false;
  handover::Invocation invocation = {};  ///< How to start the program again, in this one's place.
};

struct ExplainOptions {
  std::string config;
  std::string client;
  std::string user;
  std::string api_key;  ///< The id of a key, not the key.
  std::string host;
  std::vector<std::string> headers;  ///< NAME:VALUE
  std::string mcp_method;            ///< Of a message of MCP; empty: none.
  std::string mcp_tool;
  std::string method;
  std::string target;
};

struct DescribeOptions {
  std::string config;
  std::string format = "markdown";
};

struct McpStdioOptions {
  std::string config;                ///< The policy file; empty: the default policy.
  std::vector<std::string> command;  ///< The server's, word by word.
  std::vector<std::string> unknown;  ///< What stood before it and is no option.
  bool statistics = false;           ///< Tell on standard error at the end which tools were called.
  std::string log_level = "info";
};

}  // namespace sluicegate::app
