// Overrides: what the command line puts over the policy file, at the start and at every reload. A
// value type.
#pragma once

#include <expected>
#include <optional>
#include <string>

#include "app/options.h"
#include "app/policy_source.h"
#include "policy/config.h"

namespace sluicegate::app {

struct Overrides {
  static constexpr char kGateway[] = "127.0.0.1:8080";
  static constexpr char kAdmin[] = "127.0.0.1:9180";

  std::optional<std::string> upstream;  ///< In the place of all that the file names.
  /// One listener at this address, with what the file says of its first one.
  std::optional<std::string> gateway;
  std::optional<std::string> admin;
  bool no_admin = false;
  bool defaults = false;      ///< kGateway and kAdmin where neither a flag nor the file says.
  std::string demo_upstream;  ///< Where neither a flag nor the file says; empty: none.

  /// Checks the flags. The error has a line for each that makes no sense.
  [[nodiscard]] static std::expected<Overrides, Lines> Read(const ServeOptions& options);

  void Apply(policy::Config& config) const;
};

}  // namespace sluicegate::app
