// PolicySource: where the policy comes from, and what the command line puts over it, so that a
// reload gets the same treatment as the start. Immutable, so thread-safe.
#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "policy/config.h"
#include "policy/policy.h"

namespace sluicegate::app {

/// Lines for a person, each with file, line, column, what is wrong and the mend.
using Lines = std::vector<std::string>;

class PolicySource {
 public:
  using PolicyPtr = std::shared_ptr<const policy::Policy>;
  /// Changes a configuration before it is checked.
  using Override = std::function<void(policy::Config&)>;

  /// `file`: a path, "-" for standard input, or empty for the built-in policy.
  explicit PolicySource(std::string file, Override override = {})
      : file_(std::move(file)), override_(std::move(override)) {}

  /// Reads and checks anew. On failure every mistake is told.
  [[nodiscard]] std::expected<PolicyPtr, Lines> Load() const;

  /// What is not wrong but worth saying about a policy that Load gave.
  [[nodiscard]] Lines Warnings(const policy::Policy& policy) const;

  [[nodiscard]] bool built_in() const noexcept { return file_.empty(); }
  /// For messages: the path, "standard input" or "the built-in policy".
  [[nodiscard]] std::string name() const;

 private:
  [[nodiscard]] std::expected<std::string, policy::Mistake> ReadText() const;
  [[nodiscard]] Lines Told(std::span<const policy::Mistake> mistakes) const;

  const std::string file_;
  const Override override_;
};

/// Writes lines to standard error, each with `prefix` before it.
void TellLines(std::string_view prefix, const Lines& lines);

}  // namespace sluicegate::app
