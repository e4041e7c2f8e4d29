// A policy: what a configuration means, compiled once, constant for ever, swapped whole. Immutable,
// so thread-safe.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "policy/config.h"
#include "policy/request.h"
#include "policy/rule.h"
#include "policy/settings.h"
#include "sluicegate/decision.h"

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
  /// The limit that binds, valid as long as the policy; null: none does, as in a ban. REQUIRES: the
  /// decision was made by this policy. Pure.
  [[nodiscard]] const RuleLimit* BindingLimit(const Decision& decision) const noexcept {
    if (decision.rule == Decision::kNone || decision.limit == Decision::kNone) return nullptr;
    return &rules_[decision.rule].variants()[decision.variant].limits[decision.limit];
  }
  /// The bytes that this request's body may have: the smallest of the policy's own bound and those
  /// of the rules that are enforced, match, and do not exempt it; 0: no bound. A policy that is not
  /// enabled has its own alone. Pure; asks no rule where none could tighten the policy's own.
  [[nodiscard]] std::uint64_t MaxBody(const Request& request) const noexcept {
    return rules_bound_bodies_ ? SmallestMaxBody(request) : settings_.max_body;
  }
  /// Lower case; Request::headers' order.
  [[nodiscard]] std::span<const std::string> asked_headers() const noexcept {
    return asked_headers_;
  }
  /// Request::mcp_arguments' order.
  [[nodiscard]] std::span<const std::string> asked_arguments() const noexcept {
    return asked_arguments_;
  }
  /// Whether a rule's key has Request::mcp_arguments_text in it. Pure.
  [[nodiscard]] bool AsksArgumentsText() const noexcept;
  [[nodiscard]] std::span<const Mistake> warnings() const noexcept { return warnings_; }

 private:
  friend class PolicyCompiler;
  Policy() = default;
  [[nodiscard]] std::uint64_t SmallestMaxBody(const Request& request) const noexcept;

  bool enabled_ = true;
  bool rules_bound_bodies_ = false;  // Some rule's bound may be below the policy's own.
  std::vector<Rule> rules_;
  Settings settings_;
  std::vector<std::string> asked_headers_;
  std::vector<std::string> asked_arguments_;
  std::vector<Mistake> warnings_;
};

}  // namespace sluicegate::policy
