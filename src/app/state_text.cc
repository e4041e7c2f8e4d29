#include "app/state_text.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <utility>
#include <vector>

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
  std::ranges::replace_if(name, [](char c) { return c < ' ' || c > '~'; }, '?');
  return name;
}

// "1,203 of 348,012", or nothing.
std::string UseText(const engine::Contents& contents) {
  if (contents.capacity == 0) return "";
  return fmt::format("{} of {}", CountText(contents.live), CountText(contents.capacity));
}

std::string HoldsText(const engine::Contents& contents) {
  using Kind = engine::Contents::Kind;
  std::string text;
  if (contents.kind == Kind::kBans) text = "offenders";
  if (contents.kind == Kind::kWindowCounts) text = "counts in windows";
  if (contents.kind == Kind::kKeys) text = "keys: " + Printable(contents.limits);
  if (contents.kind == Kind::kSketch) {
    text = fmt::format("evicted offenders; {:.4f} % of newcomers are refused for them",
                       contents.refused_ppm / 1e4);
  }
  if (contents.gave_way > 0) text += fmt::format("; {} gave way", CountText(contents.gave_way));
  if (contents.forgotten > 0) text += fmt::format("; {} forgotten", CountText(contents.forgotten));
  return text;
}

// The table of the regions.
class Columns {
 public:
  void Add(std::string region, std::string bytes, std::string use, std::string holds) {
    rows_.push_back({std::move(region), std::move(bytes), std::move(use), std::move(holds)});
  }
  [[nodiscard]] std::string Text() const {
    std::array<std::size_t, kColumns> widths{};
    for (const Row& row : rows_) {
      for (std::size_t i = 0; i < kColumns; ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    std::string text;
    for (const Row& row : rows_) {
      std::string line = fmt::format("{:<{}}  {:>{}}  {:>{}}  {}", row[0], widths[0], row[1],
                                     widths[1], row[2], widths[2], row[3]);
      line.erase(line.find_last_not_of(' ') + 1);
      text.append(line).push_back('\n');
    }
    return text;
  }

 private:
  static constexpr std::size_t kColumns = 4;
  using Row = std::array<std::string, kColumns>;
  std::vector<Row> rows_;
};

}  // namespace

std::string ProcessesText(unsigned processes) {
  if (processes == 0) return "no process";
  return fmt::format("{} process{}", processes, processes == 1 ? "" : "es");
}

std::string StateText(std::string_view path, const table::StateFileReport& report,
                      const RegionContents& contents) {
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
  Columns columns;
  columns.Add("region", "bytes", "in use", "holds");
  for (const Region& region : report.regions) {
    const auto found = contents.find(region.name);
    const bool known = !region.superseded && found != contents.end();
    const std::string left =
        region.superseded ? "left behind, used by " + ProcessesText(region.users) : "";
    columns.Add(Printable(region.name), BytesText(region.bytes),
                known ? UseText(found->second) : "", known ? HoldsText(found->second) : left);
  }
  page += "\n" + columns.Text();
  if (std::ranges::any_of(report.regions, &Region::superseded)) {
    page +=
        "\nWhat is left behind was another policy's, or is not finished. It goes when no process\n"
        "uses it and one starts or takes another policy.\n";
  }
  return page;
}

}  // namespace sluicegate::app
