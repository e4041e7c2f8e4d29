// Configurations for tests, as short as the file that would say the same.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "policy/policy.h"

namespace sluicegate::policy {

inline Text Written(std::string_view value) { return {.value = std::string(value), .at = {}}; }

inline std::vector<Text> WrittenList(std::initializer_list<std::string_view> values) {
  std::vector<Text> list;
  for (const std::string_view value : values) list.push_back(Written(value));
  return list;
}

inline LimitConfig WrittenLimit(std::string_view limit) {
  LimitConfig config;
  config.limit = Written(limit);
  return config;
}

/// A rule of 60 a minute with this key.
inline RuleConfig WrittenRule(std::string_view name, std::initializer_list<std::string_view> key) {
  RuleConfig rule;
  rule.name = Written(name);
  rule.key = WrittenList(key);
  rule.limits = {WrittenLimit("60/minute")};
  return rule;
}

inline Config WrittenRules(std::vector<RuleConfig> rules) {
  Config config;
  config.rules = std::move(rules);
  return config;
}

/// The messages of the mistakes, or of the warnings if there are none.
inline std::string TellAll(const Config& config) {
  const auto policy = Policy::Compile(config);
  std::string text;
  const auto add = [&text](const Mistake& mistake) {
    text += mistake.what + " " + mistake.mend + "\n";
  };
  if (policy) {
    for (const Mistake& warning : (*policy)->warnings()) add(warning);
  } else {
    for (const Mistake& mistake : policy.error()) add(mistake);
  }
  return text;
}

}  // namespace sluicegate::policy
