#include <fmt/core.h>

#include "app/commands.h"
#include "app/describe.h"
#include "app/policy_source.h"

namespace sluicegate::app {

int Describe(const DescribeOptions& options) {
  const PolicySource source(options.config);
  const auto policy = source.Load();
  if (!policy) {
    TellLines("", policy.error());
    return 1;
  }
  fmt::print("{}", options.format == "json" ? DescribeJson(**policy) : DescribeMarkdown(**policy));
  return 0;
}

}  // namespace sluicegate::app
