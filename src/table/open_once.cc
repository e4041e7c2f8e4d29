#include "table/open_once.h"

#include <map>
#include <mutex>
#include <utility>

namespace sluicegate::table {
namespace {

struct OpenFiles {
  std::mutex mu;
  std::map<std::string, std::weak_ptr<StateFile>> by_path;  // Guarded by mu.
};

// Limiters are made apart and know nothing of one another. Never destroyed, as they may outlive it.
OpenFiles& All() {
  static auto* const files = new OpenFiles;
  return *files;
}

}  // namespace

std::expected<std::shared_ptr<StateFile>, std::string> OpenOnce(const std::string& path) {
  OpenFiles& all = All();
  const std::lock_guard lock(all.mu);
  std::weak_ptr<StateFile>& known = all.by_path[path];
  std::shared_ptr<StateFile> file = known.lock();
  if (file != nullptr && file->LiesAt(path)) return file;
  auto opened = StateFile::Open(path);
  if (!opened) return std::unexpected(std::move(opened.error()));
  file = std::move(*opened);
  known = file;
  return file;
}

}  // namespace sluicegate::table
