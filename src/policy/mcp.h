// How messages of MCP are met. Value types.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "policy/glob.h"
#include "policy/request.h"

namespace sluicegate::policy {

struct Mcp {
  std::vector<Glob> paths;                              ///< Where they come in.
  std::uint64_t max_message = std::uint64_t{1} << 20U;  ///< Bytes of a body.
  bool tool_results = true;  ///< A denied call of a tool gets a result; else an error like others.
  std::uint16_t status = 200;  ///< Of HTTP, with a JSON-RPC error: 200 or 429.
  int code = 429;              ///< Of that error.
  /// Handshakes, lists and streams have budgets of their own: the built-in rules.
  bool own_budgets = false;

  /// Whether messages come in there, by this spelling or as Fold has it.
  [[nodiscard]] bool IsAt(std::string_view path) const;
  /// Servers are generous: many serve /mcp/ as /mcp, some /MCP, and some drop `;parameters`. True:
  /// it is another spelling of one of the paths, and `folded` the one that rules are to see.
  [[nodiscard]] bool Fold(std::string_view path, std::string& folded) const;
  /// Sets what a request without a message is to the rules, on one of the paths: a stream of the
  /// server's events (a GET that accepts one), or the end of a session (DELETE).
  void Classify(Request& request, bool accepts_events) const noexcept;
  /// What a message is to the rules; an empty method is an answer to the server.
  [[nodiscard]] McpClass ClassOf(std::string_view method) const noexcept;

 private:
  [[nodiscard]] bool Matches(std::string_view path) const noexcept;
};

}  // namespace sluicegate::policy
