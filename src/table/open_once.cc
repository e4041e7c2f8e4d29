#include "table/open_once.h"

#include <pthread.h>

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace sluicegate::table {
namespace {

struct OpenFiles {
  std::mutex mu;
  std::vector<std::weak_ptr<StateFile>> files;  // Guarded by mu.
};

// Limiters are made apart and know nothing of one another. Never destroyed, as they may outlive it.
// A child of a fork, which has but one thread, must not find it locked.
OpenFiles& All() {
  static auto* const files = [] {
    ::pthread_atfork([] { All().mu.lock(); }, [] { All().mu.unlock(); }, [] { All().mu.unlock(); });
    return new OpenFiles;
  }();
  return *files;
}

// Others that were looked at go to `passed`: the last reference to one must not die under the lock,
// as its end takes a lock that a fork takes before this one.
std::shared_ptr<StateFile> Find(OpenFiles& all, const std::string& path,
                                std::vector<std::shared_ptr<StateFile>>& passed) {
  std::erase_if(all.files, [](const auto& file) { return file.expired(); });
  for (const auto& known : all.files) {
    std::shared_ptr<StateFile> file = known.lock();
    if (file == nullptr) continue;
    if (file->LiesAt(path)) return file;
    passed.push_back(std::move(file));
  }
  return nullptr;
}

}  // namespace

std::expected<std::shared_ptr<StateFile>, std::string> OpenOnce(const std::string& path) {
  OpenFiles& all = All();
  std::vector<std::shared_ptr<StateFile>> passed;
  {
    const std::lock_guard lock(all.mu);
    if (auto file = Find(all, path, passed)) return file;
  }
  auto opened = StateFile::Open(path);  // It may wait for others.
  if (!opened) return std::unexpected(std::move(opened.error()));
  const std::lock_guard lock(all.mu);
  if (auto file = Find(all, path, passed)) return file;  // Another thread was faster.
  std::shared_ptr<StateFile> file = std::move(*opened);
  all.files.push_back(file);
  return file;
}

}  // namespace sluicegate::table
