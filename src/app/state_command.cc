#include <fmt/core.h>

#include "app/commands.h"
#include "app/complain.h"
#include "app/state_text.h"
#include "engine/contents.h"
#include "table/state_file.h"

namespace sluicegate::app {
namespace {

// What its regions hold, as far as this program knows them. The error says why that cannot be seen.
std::expected<RegionContents, std::string> LookInto(const std::string& file) {
  const auto copy = table::StateFile::OpenCopy(file);
  if (!copy) return std::unexpected(copy.error());
  const auto regions = (*copy)->MapAll();
  if (!regions) return std::unexpected(regions.error());
  const Now now = (*copy)->ClockBy(SystemClock())->Read();
  RegionContents contents;
  for (const table::StateFile::Region& region : *regions) {
    if (auto holds = engine::LookInto(region, (*copy)->owners(), now)) {
      contents.emplace(region.name, *std::move(holds));
    }
  }
  return contents;
}

}  // namespace

int State(const std::string& file) {
  const auto report = table::StateFile::Read(file);
  if (!report) {
    Complain("sluicegate: {}\n", report.error());
    return 1;
  }
  const auto contents = LookInto(file);
  fmt::print("{}", StateText(file, *report, contents.value_or(RegionContents{})));
  if (!contents) Complain("sluicegate: {}\n", contents.error());
  return 0;
}

}  // namespace sluicegate::app
