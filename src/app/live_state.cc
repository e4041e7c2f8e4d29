#include "app/live_state.h"

#include <fmt/format.h>
#include <unistd.h>

#include <set>
#include <utility>

#include "policy/words.h"

namespace sluicegate::app {
namespace {

/// Rules that one of the two has alone: what they counted meets nobody.
Lines StrangeRules(const policy::Policy& policy, const table::StateFileReport& report) {
  std::set<std::string> kept;  // Rules of the file: a region is called RULE/PART.
  for (const auto& region : report.regions)
    kept.insert(region.name.substr(0, region.name.find('/')));
  Lines lines;
  for (const policy::Rule& rule : policy.rules()) {
    if (kept.erase(rule.name()) > 0 || rule.mode() == policy::Mode::kOff) continue;
    lines.push_back(
        fmt::format("rule {}: begins with nothing, as nobody counted by that name", rule.name()));
  }
  for (const std::string& name : kept) {
    lines.push_back(
        fmt::format("rule {}: what it counted is not used, as this policy has no such rule",
                    policy::Disarmed(name)));
  }
  return lines;
}

}  // namespace

bool IsThere(const std::string& path) { return !path.empty() && ::access(path.c_str(), F_OK) == 0; }

std::expected<LiveState, std::string> LookAtState(std::shared_ptr<const policy::Policy> policy) {
  const std::string& path = policy->settings().state_file;
  if (auto may = table::StateFile::CheckAccess(path); !may) {
    return std::unexpected(std::move(may.error()));
  }
  LiveState live;
  auto report = table::StateFile::Read(path);
  if (!report) return std::unexpected(std::move(report.error()));
  live.report = *std::move(report);
  auto copy = table::StateFile::OpenCopy(path);
  if (!copy) return std::unexpected(std::move(copy.error()));
  live.copy = *std::move(copy);
  live.lines = StrangeRules(*policy, live.report);
  auto engine = engine::Engine::Attach(std::move(policy), live.copy, live.Read(), live.lines);
  if (!engine) return std::unexpected(std::move(engine.error()));
  live.engine = *std::move(engine);
  return live;
}

}  // namespace sluicegate::app
