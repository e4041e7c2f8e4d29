// What a region of a state file says of itself: whatever a file has there, what is read is within
// bounds, means something, and is written as it would be read again.
#include <string>
#include <vector>

#include "engine/kept_layout.h"
#include "fuzz_target.h"

using sluicegate::engine::KeptLayout;
using sluicegate::engine::KeptLimit;
using sluicegate::engine::KeptSet;
using sluicegate::fuzz::Require;

namespace {

void CheckLayout(const KeptLayout& layout) {
  Require(layout.slot_bytes > 0 && layout.slot_bytes % 8 == 0);
  Require(layout.slot_bytes <= sluicegate::table::Table::kMaxStateBytes);
  Require(!layout.sets.empty() &&
          layout.sets.size() <= 1 + sluicegate::policy::kMaxOverridesPerRule);
  for (const KeptSet& set : layout.sets) {
    Require(set.limits.size() <= 1 + sluicegate::policy::kMaxLimitsPerRule);
    for (const KeptLimit& kept : set.limits) {
      Require(kept.offset % 8 == 0);
      Require(kept.offset + kept.limit.state_bytes() <= layout.slot_bytes);
    }
  }
  Require(layout.Bound().variants.size() == layout.sets.size());
}

}  // namespace

SG_FUZZ_TARGET(region_description) {
  const std::vector<KeptLayout> layouts = KeptLayout::Read(bytes);
  std::string text;
  for (const KeptLayout& layout : layouts) {
    CheckLayout(layout);
    text += layout.Text();
  }
  const std::vector<KeptLayout> again = KeptLayout::Read(text);
  Require(again.size() == layouts.size());
  std::string text_again;
  for (const KeptLayout& layout : again) text_again += layout.Text();
  Require(text_again == text);
}
