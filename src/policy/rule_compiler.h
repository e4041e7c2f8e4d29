// RuleCompiler: one rule's configuration -> a Rule. Bound to one compile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/config.h"
#include "policy/limit_set_compiler.h"
#include "policy/mistakes.h"
#include "policy/rule.h"

namespace sluicegate::policy {

/// What the rules of one policy share.
struct RuleContext {
  Mistakes& mistakes;
  std::vector<std::string>& asked_headers;
  std::vector<std::string>& asked_arguments;
  bool has_users = false;      ///< Some source of user identities is configured.
  bool has_api_keys = false;   ///< Or of API keys.
  std::uint64_t max_body = 0;  ///< The policy's own bound of a body; 0: none.
};

class RuleCompiler {
 public:
  RuleCompiler(const RuleConfig& config, RuleContext& context)
      : config_(config), context_(context) {}

  /// The rule as far as it can be understood; its mistakes are in the context. The memory is set by
  /// the caller, who knows all rules.
  [[nodiscard]] Rule Compile();
  static void SetMemory(Rule& rule, std::size_t bytes, std::uint32_t sketch_ppm) {
    rule.memory_ = bytes;
    rule.sketch_ppm_ = sketch_ppm;
  }
  static void Reserve(Rule& rule, McpClass reserved) { rule.match_.reserved = reserved; }

 private:
  void ReadMode();
  void ReadMatch();
  void ReadKey();
  void WarnOfChosenKey(Position at);
  std::optional<KeyPart> ReadKeyPart(const Text& text);
  void ReadExemptions();
  Who ReadWho(const WhoConfig& config);
  void ReadOverrides(LimitSetCompiler& limits);
  void ReadPenalty();
  void ReadCost();
  void ReadMaxBody();
  void ReadNetworks();
  void WarnOfDeadPath(const Text& text);
  std::vector<Glob> ReadHosts(std::vector<Text> texts);
  std::vector<Glob> ReadGlobs(const std::vector<Text>& texts, bool path);
  std::size_t AskHeader(const std::string& name);

  const RuleConfig& config_;
  RuleContext& context_;
  Rule rule_;
};

}  // namespace sluicegate::policy
