#include "app/live_state.h"

#include <unistd.h>

#include <utility>

namespace sluicegate::app {

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
  auto engine = engine::Engine::Attach(std::move(policy), live.copy, live.Read(), live.lines);
  if (!engine) return std::unexpected(std::move(engine.error()));
  live.engine = *std::move(engine);
  return live;
}

}  // namespace sluicegate::app
