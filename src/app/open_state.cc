#include "app/open_state.h"

#include <spdlog/spdlog.h>

#include <utility>

namespace sluicegate::app {

std::expected<std::shared_ptr<table::StateFile>, std::string> OpenState(
    const policy::Settings& settings) {
  if (settings.state_file.empty()) return nullptr;
  auto state = table::StateFile::Open(settings.state_file);
  if (!state) return std::unexpected(std::move(state.error()));
  if ((*state)->is_of_another_boot()) {
    spdlog::warn(
        "start: state file {} is from before this boot: what had not reached the disk is lost",
        settings.state_file);
  }
  return std::shared_ptr<table::StateFile>(std::move(*state));
}

}  // namespace sluicegate::app
