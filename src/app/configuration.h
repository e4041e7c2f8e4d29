// Configuration: a policy and everything that it names, read at one moment, so that a start and a
// reload either get all of it or change nothing. A value type.
#pragma once

#include <expected>
#include <memory>
#include <optional>

#include "admin/token.h"
#include "app/policy_source.h"
#include "gateway/upstream_target.h"
#include "identity/identities.h"
#include "policy/policy.h"

namespace sluicegate::app {

struct Configuration {
  std::shared_ptr<const policy::Policy> policy;
  std::shared_ptr<const gateway::UpstreamTarget> upstream;
  std::shared_ptr<const identity::Identities> identities;  ///< Never null.
  std::optional<admin::AdminToken> admin_token;            ///< Absent: admin writes are refused.

  /// Reads the policy, the files of identities and of the admin token, and looks the upstream up
  /// (may block on the network). The error has a line for each mistake.
  [[nodiscard]] static std::expected<Configuration, Lines> Load(const PolicySource& source);
};

}  // namespace sluicegate::app
