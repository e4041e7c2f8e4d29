#include "app/state_text.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <ctime>

#include "app/words.h"

namespace sluicegate::app {
namespace {

// "2026-11-26T12:33:35Z". Every 64 bits of nanoseconds lie between the years 1677 and 2262.
std::string InstantText(std::int64_t unix_ns) {
  const auto second = std::chrono::floor<std::chrono::seconds>(std::chrono::nanoseconds(unix_ns));
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time_t{second.count()}));
}

std::string TimeText(const table::StateFileReport& report) {
  constexpr std::uint64_t kSecondNs = 1'000'000'000;
  return fmt::format("{} s, kept at {}", CountText(report.engine_ns / kSecondNs),
                     InstantText(report.unix_ns));
}

// A damaged file must not speak to the terminal.
std::string Printable(std::string name) {
  std::ranges::replace_if(name, [](char c) { return c <= ' ' || c > '~'; }, '?');
  return name;
}

std::string ProcessesText(unsigned processes) {
  if (processes == 0) return "no process";
  return fmt::format("{} process{}", processes, processes == 1 ? "" : "es");
}

}  // namespace

std::string StateText(std::string_view path, const table::StateFileReport& report) {
  using Region = table::StateFileReport::Region;
  std::string page =
      fmt::format("{}: a state file of version {}, {}, {} region(s).\n", path, report.version,
                  BytesText(report.file_bytes), report.regions.size());
  page += fmt::format("attached     {}\n", ProcessesText(report.owners));
  page +=
      fmt::format("written      {}\n",
                  report.this_boot ? "since this boot" : "before this boot, or on another machine");
  page += fmt::format("engine time  {}\n", TimeText(report));
  if (report.regions.empty()) return page;
  std::size_t width = 6;
  for (const Region& region : report.regions) width = std::max(width, region.name.size());
  page += fmt::format("\n{:<{}}  {:>10}\n", "region", width, "bytes");
  for (const Region& region : report.regions) {
    page += fmt::format("{:<{}}  {:>10}{}\n", Printable(region.name), width,
                        BytesText(region.bytes), region.superseded ? "  left behind" : "");
  }
  if (std::ranges::any_of(report.regions, &Region::superseded)) {
    page +=
        "\nWhat is left behind was another policy's, or was never finished. It goes when a "
        "process\n"
        "opens the file and no other one is attached.\n";
  }
  return page;
}

}  // namespace sluicegate::app
