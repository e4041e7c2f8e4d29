#include "engine/contents.h"

#include <algorithm>
#include <vector>

#include "engine/kept_layout.h"
#include "engine/weigher.h"
#include "engine/window_counts.h"
#include "shield/bans.h"
#include "table/table.h"

namespace sluicegate::engine {
namespace {

// Of all sets, each once.
std::string LimitNames(const KeptLayout& layout) {
  std::vector<std::string_view> seen;
  std::string names;
  for (const KeptSet& set : layout.sets) {
    for (const KeptLimit& limit : set.limits) {
      if (std::ranges::find(seen, limit.name) != seen.end()) continue;
      seen.emplace_back(limit.name);
      names.append(names.empty() ? "" : ", ").append(limit.name);
    }
  }
  return names;
}

}  // namespace

std::optional<Contents> LookInto(const table::StateFile::Region& region, table::Owners& owners,
                                 Now now) {
  if (const auto bans = shield::Bans::OfRegion(region.description, region.bytes, owners)) {
    return Contents{.kind = Contents::Kind::kBans,
                    .limits = {},
                    .live = bans->EstimateLive(now),
                    .capacity = bans->capacity(),
                    .gave_way = bans->evictions()};
  }
  if (const auto counts = WindowCounts::LookInto(region, owners, now)) {
    return Contents{.kind = Contents::Kind::kWindowCounts,
                    .limits = {},
                    .live = counts->live,
                    .capacity = counts->capacity,
                    .gave_way = counts->evictions};
  }
  const std::vector<KeptLayout> layouts = KeptLayout::Read(region.description);
  if (layouts.empty()) return std::nullopt;
  if (region.description.starts_with(KeptLayout::kSketchLine)) {
    if (!table::BlockedSketch::IsRegion(region.bytes->size())) return std::nullopt;
    const auto sketch = table::BlockedSketch::OfRegion(false, region.bytes, owners);
    return Contents{.kind = Contents::Kind::kSketch,
                    .limits = {},
                    .forgotten = sketch->counts().forgotten,
                    .refused_ppm = sketch->RefusedPpm(now.engine_ns)};
  }
  const KeptLayout& layout = layouts.front();
  if (!table::Table::IsRegion(layout.shape(), region.bytes->size())) return std::nullopt;
  const auto table = table::Table::OfRegion(layout.shape(), region.bytes, owners, nullptr);
  const table::TableCounts counts = table->counts();
  const policy::Layout bound = layout.Bound();
  return Contents{.kind = Contents::Kind::kKeys,
                  .limits = LimitNames(layout),
                  .live = table->EstimateLive(LimitWeigher(bound), now),
                  .capacity = table->capacity(),
                  .gave_way = counts.evictions + counts.evictions_at_limit,
                  .forgotten = counts.forgotten};
}

}  // namespace sluicegate::engine
