#include "engine/regions.h"

#include <algorithm>
#include <utility>

#include "base/siphash.h"
#include "engine/move.h"

namespace sluicegate::engine {

using table::BlockedSketch;
using table::Table;

// Of a long owner the beginning, and a hash that tells it from others.
std::string Regions::NameOf(std::string_view part) const {
  constexpr std::size_t kMost = table::StateEntry::kNameBytes - 1;
  const std::string tail = "/" + std::string(part);
  if (owner_.size() + tail.size() <= kMost) return owner_ + tail;
  const std::string hash = "#" + std::to_string(SipHash(HashSecret{}, owner_) % 1'000'000'000'000);
  return owner_.substr(0, kMost - tail.size() - hash.size()) + hash + tail;
}

void Regions::Announce(const table::StateFile::Fresh& fresh) {
  if (fresh.before != nullptr && before_copying_) std::exchange(before_copying_, {})();
}

std::expected<Regions::TablePtr, std::string> Regions::AttachTable(const KeptLayout& layout,
                                                                   std::size_t bytes,
                                                                   SketchPtr sketch) {
  const auto prepare = [&](const table::StateFile::Fresh& fresh) {
    Announce(fresh);
    const std::vector<KeptLayout> before = KeptLayout::Read(fresh.described);
    const KeptLayout* old = FindPart(before, layout.part);
    if (old == nullptr || !Table::IsRegion(old->shape(), fresh.before->size())) {
      Table::Begin(*fresh.region, layout.shape(), fresh.id);
      return true;
    }
    const auto from = Table::OfRegion(old->shape(), fresh.before, file_.owners(), nullptr);
    const LayoutMover mover(*old, layout);
    from->BeginSuccessor(*fresh.region, fresh.id, mover.keeps_stamps());
    const auto next = Table::OfRegion(layout.shape(), fresh.region, file_.owners(), sketch);
    afresh_.insert(mover.afresh().begin(), mover.afresh().end());
    return mover.HandOn(*from, *next, now_, Table::Leave::kUsable);
  };
  auto region = file_.Attach(
      {.name = NameOf(layout.part), .description = layout.Text(), .lasts_ns = layout.LastsNs()},
      Table::RegionBytes(layout.shape(), bytes), prepare);
  if (!region) return std::unexpected(std::move(region.error()));
  return Table::OfRegion(layout.shape(), std::move(*region), file_.owners(), std::move(sketch));
}

std::expected<Regions::SketchPtr, std::string> Regions::AttachSketch(
    const std::vector<KeptLayout>& layouts, const BlockedSketch::Options& options) {
  table::RegionKey key{
      .name = NameOf("sketch"), .description = std::string(KeptLayout::kSketchLine), .lasts_ns = 0};
  for (const KeptLayout& layout : layouts) {
    key.description += layout.Text();
    key.lasts_ns = std::max(key.lasts_ns, layout.LastsNs());
  }
  const auto prepare = [&](const table::StateFile::Fresh& fresh) {
    Announce(fresh);
    BlockedSketch::Begin(*fresh.region);
    const std::vector<KeptLayout> before = KeptLayout::Read(fresh.described);
    if (before.empty() || !BlockedSketch::IsRegion(fresh.before->size())) return true;
    const auto from = BlockedSketch::OfRegion(options.protect, fresh.before, file_.owners());
    BlockedSketch::OfRegion(options.protect, fresh.region, file_.owners())
        ->Take(*from, now_.engine_ns, SteepestRise(before, layouts).stretch());
    return true;
  };
  auto region = file_.Attach(key, BlockedSketch::RegionBytes(options), prepare);
  if (!region) return std::unexpected(std::move(region.error()));
  return BlockedSketch::OfRegion(options.protect, std::move(*region), file_.owners());
}

std::expected<std::shared_ptr<shield::Bans>, std::string> Regions::AttachBans(
    const shield::PenaltyTerms& terms, std::size_t bytes) {
  const auto announce = [this](const table::StateFile::Fresh& fresh) { Announce(fresh); };
  return shield::Bans::Attach(file_, NameOf("bans"), bytes, terms, now_, announce);
}

}  // namespace sluicegate::engine
