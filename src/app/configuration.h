// Configuration: a policy and everything that it names, read at one moment, so that a start and a
// reload either get all of it or change nothing. A value type.
#pragma once

#include <expected>
#include <memory>
#include <optional>

#include "admin/token.h"
#include "app/access_file.h"
#include "app/policy_source.h"
#include "gateway/gateway.h"
#include "policy/policy.h"

namespace sluicegate::app {

struct Configuration {
  std::shared_ptr<const policy::Policy> policy;
  gateway::Reloadable with;                      ///< All of it is there.
  std::optional<admin::AdminToken> admin_token;  ///< Absent: admin writes are refused.
  std::shared_ptr<AccessFile> access_log;        ///< Open; null: off.

  /// Reads the policy and the files that it names, opens the access log, and looks the upstream up
  /// (may block on the network). `before`: what held until now, if anything. The error has a line
  /// for each mistake.
  [[nodiscard]] static std::expected<Configuration, Lines> Load(
      const PolicySource& source, const Configuration* before = nullptr);

  /// Why Load would refuse this policy, as far as can be told without opening or making anything
  /// and without the network: reads the files that it names. A line for each mistake.
  [[nodiscard]] static Lines FindMistakes(const policy::Settings& settings);
  /// What Load misses that the command line may give. A line for each, with the flag.
  [[nodiscard]] static Lines FindMissing(const PolicySource& source,
                                         const policy::Settings& settings);
};

}  // namespace sluicegate::app
