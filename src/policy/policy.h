// A policy: what a configuration means, compiled once, constant for ever, swapped whole. Immutable,
// so thread-safe.
#pragma once

#include <expected>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "policy/config.h"
#include "policy/request.h"
#include "policy/rule.h"
#include "policy/settings.h"

namespace sluicegate::policy {

class Policy {
 public:
  /// Checks a configuration and compiles it. On failure every mistake is told at once, in the
  /// file's order; warnings do not fail.
  [[nodiscard]] static std::expected<std::shared_ptr<const Policy>, std::vector<Mistake>> Compile(
      const Config& config);

  [[nodiscard]] bool enabled() const noexcept {
    return enabled_;
  }  ///< false: every request is allowed.
  [[nodiscard]] std::span<const Rule> rules() const noexcept {
    return rules_;
  }  ///< In the file's order, kOff included.
  [[nodiscard]] const Settings& settings() const noexcept {
    return settings_;
  }  ///< What the doors need.
  /// Lower case; Request::headers' order.
  [[nodiscard]] std::span<const std::string> asked_headers() const noexcept {
    return asked_headers_;
  }
  /// Request::mcp_arguments' order.
  [[nodiscard]] std::span<const std::string> asked_arguments() const noexcept {
    return asked_arguments_;
  }
  [[nodiscard]] std::span<const Mistake> warnings() const noexcept { return warnings_; }

 private:
  friend class PolicyCompiler;
  Policy() = default;

  bool enabled_ = true;
  std::vector<Rule> rules_;
  Settings settings_;
  std::vector<std::string> asked_headers_;
  std::vector<std::string> asked_arguments_;
  std::vector<Mistake> warnings_;
};

}  // namespace sluicegate::policy
