#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <memory>

#include "admin/readings.h"

namespace sluicegate::admin {
namespace {

std::optional<double> ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  double total_pages = 0;
  double resident_pages = 0;
  if (!(statm >> total_pages >> resident_pages)) return std::nullopt;
  return resident_pages * static_cast<double>(sysconf(_SC_PAGESIZE));
}

std::optional<double> CpuSeconds() {
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) != 0) return std::nullopt;
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct CloseDir {
  void operator()(DIR* folder) const noexcept { closedir(folder); }
};

std::optional<double> OpenFiles() {
  const std::unique_ptr<DIR, CloseDir> folder(opendir("/proc/self/fd"));
  if (folder == nullptr) return std::nullopt;
  double entries = 0;
  while (readdir(folder.get()) != nullptr) ++entries;
  return entries - 3;  // ".", ".." and the folder's own.
}

}  // namespace

ProcessInfo ReadProcess(double start_unix_seconds) {
  return {.resident_bytes = ResidentBytes(),
          .cpu_seconds = CpuSeconds(),
          .open_files = OpenFiles(),
          .start_unix_seconds = start_unix_seconds};
}

}  // namespace sluicegate::admin
