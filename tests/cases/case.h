// Case: a policy, a sequence of requests in simulated time, and the decision that each must get.
// The same file is run through every door, so that all give one answer. The format is told in
// README.md. Value types; loading throws std::runtime_error with file and line, as a wrong case is
// a test's bug.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sluicegate/decision.h"
#include "sluicegate/time.h"

namespace sluicegate::cases {

/// What a decision must look like. Empty: not looked at.
struct Expectation {
  Verdict verdict = Verdict::kAllowed;
  std::optional<std::string> rule;
  std::optional<std::string> limit;
  std::optional<std::uint64_t> quota;
  std::optional<std::uint64_t> remaining;
  std::optional<std::uint64_t> hold_ns;
  std::optional<std::uint64_t> retry_after_ns;  ///< Decision::kNever for `never`.
  std::optional<std::uint64_t> reset_after_ns;
  std::optional<std::uint64_t> shared_bits;  ///< 0: the limit is the client's own.
};

/// One request (or a reload, or a give-back) at one time.
struct Step {
  int line = 0;  ///< In the case's file, counted from 1.
  Now now;
  unsigned times = 1;  ///< The same request so often, each with the same expectation.
  std::optional<std::string> reload;  ///< A policy to publish; then there is no request.
  bool give_back = false;  ///< Gives the charges of the last `times` admitted requests back.
  bool in_flight = false;  ///< The request goes on until it is given back; else it is over at once.
  std::string client;
  std::string method;
  std::string path;
  std::string host;
  std::string user;
  std::map<std::string, std::string> headers;
  std::string mcp_method;  ///< Empty: no message of MCP.
  std::string mcp_tool;
  std::string mcp_args;  ///< JSON text.
  std::optional<std::uint64_t> cost;
  Expectation want;
};

struct Case {
  std::string file;
  std::string name;
  std::string policy;        ///< YAML.
  bool engine_only = false;  ///< Uses what HTTP cannot say: a cost, a give-back, an end that waits.
  std::vector<Step> steps;
};

/// The message of MCP that a step is. Pure. REQUIRES: it is one.
[[nodiscard]] std::string MessageOf(const Step& step);

/// Every case of every *.yaml in `folder`, files in order of their names.
[[nodiscard]] std::vector<Case> LoadCases(const std::filesystem::path& folder);

}  // namespace sluicegate::cases
