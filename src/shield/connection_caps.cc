#include "shield/connection_caps.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <string_view>

#include "limit/saturating.h"

namespace sluicegate::shield {
namespace {

constexpr std::uint64_t kSecondNs = 1'000'000'000;

// The low bits of a hash choose the shard, these the cell in it.
constexpr unsigned kCellShift = 16;

std::uint64_t HashOf(const HashSecret& secret, const IpAddress& prefix) noexcept {
  const auto bytes = prefix.bytes();
  return SipHash(secret, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

IpAddress NetworkOf(const IpAddress& client) noexcept {
  return client.Masked(client.is_v4() ? 24 : 48);
}

std::uint32_t Multiplied(std::uint32_t value, std::uint32_t factor) noexcept {
  std::uint32_t product = 0;
  return __builtin_mul_overflow(value, factor, &product) ? ~std::uint32_t{0} : product;
}

}  // namespace

ConnectionTerms::ConnectionTerms(std::uint32_t open, std::uint32_t new_per_second) noexcept
    : open_(open),
      new_per_second_(std::min(new_per_second, kMostPerSecond)),
      bounds_rate_(new_per_second > 0) {
  if (!bounds_rate_) return;
  rate_ = limit::TokenBucket(new_per_second_, limit::DivideRoundingUp(kSecondNs, new_per_second_));
}

ConnectionTerms ConnectionTerms::Times(std::uint32_t factor) const noexcept {
  return {Multiplied(open_, factor), Multiplied(new_per_second_, factor)};
}

ConnectionCaps::ConnectionCaps(const HashSecret& secret, std::size_t shards)
    : secret_(secret), mask_(shards - 1), shards_(std::make_unique<Shard[]>(shards)) {
  assert(std::has_single_bit(shards) && shards <= std::size_t{1} << kCellShift);
}

ConnectionCaps::Admission ConnectionCaps::Admit(const IpAddress& client,
                                                const ConnectionTerms& terms, Now now) noexcept {
  if (terms.none()) return {};
  const std::uint64_t hash = HashOf(secret_, client.Client());
  Shard& shard = ShardOf(hash);
  {
    const std::lock_guard lock(shard.mu);
    const std::size_t entry = FindEntry(shard, hash, now.engine_ns);
    if (entry != kCells) {
      const Verdict verdict = Charge(shard, entry, terms, now.engine_ns);
      if (verdict != Verdict::kAdmitted) return {.verdict = verdict};
      shard.clients[entry] = hash;
      return {.verdict = verdict, .place = PlaceOf(shard, entry)};
    }
  }
  return AdmitNetwork(client, terms.Times(kNetworkFactor), now.engine_ns);
}

ConnectionCaps::Admission ConnectionCaps::AdmitNetwork(const IpAddress& client,
                                                       const ConnectionTerms& terms,
                                                       std::uint64_t now_ns) noexcept {
  const std::uint64_t hash = HashOf(secret_, NetworkOf(client));
  Shard& shard = ShardOf(hash);
  const std::size_t cell = kEntries + (hash >> kCellShift) % kNetworks;
  const std::lock_guard lock(shard.mu);
  const Verdict verdict = Charge(shard, cell, terms, now_ns);
  if (verdict != Verdict::kAdmitted) return {.verdict = verdict};
  crowded_.fetch_add(1, std::memory_order_relaxed);
  return {.verdict = verdict, .place = PlaceOf(shard, cell)};
}

void ConnectionCaps::Release(Place place) noexcept {
  if (!place.counted()) return;
  Shard& shard = shards_[place.cell_ / kCells];
  const std::size_t cell = place.cell_ % kCells;
  const std::lock_guard lock(shard.mu);
  assert(shard.open[cell] > 0);
  --shard.open[cell];
}

std::size_t ConnectionCaps::FindEntry(const Shard& shard, std::uint64_t hash,
                                      std::uint64_t now_ns) noexcept {
  const auto is_free = [&](std::size_t i) {
    return shard.open[i] == 0 && shard.tats_ns[i] <= now_ns;
  };
  const std::size_t home = (hash >> kCellShift) % kEntries;
  // An entry may lie behind free ones, which were others' when it was taken: all of the window is
  // looked at for it first.
  for (std::size_t step = 0; step < kWindow; ++step) {
    const std::size_t i = (home + step) % kEntries;
    if (shard.clients[i] == hash) return i;
  }
  for (std::size_t step = 0; step < kWindow; ++step) {
    const std::size_t i = (home + step) % kEntries;
    if (is_free(i)) return i;
  }
  return kCells;
}

ConnectionCaps::Verdict ConnectionCaps::Charge(Shard& shard, std::size_t cell,
                                               const ConnectionTerms& terms,
                                               std::uint64_t now_ns) noexcept {
  std::uint32_t& open = shard.open[cell];
  if (terms.open() > 0 && open >= terms.open()) return Verdict::kTooMany;
  if (terms.bounds_rate()) {
    std::uint64_t& tat_ns = shard.tats_ns[cell];
    if (terms.rate().Remaining(tat_ns, now_ns) == 0) return Verdict::kTooFast;
    tat_ns = terms.rate().Charged(tat_ns, now_ns, 1);
  }
  ++open;
  return Verdict::kAdmitted;
}

ConnectionCaps::Place ConnectionCaps::PlaceOf(const Shard& shard, std::size_t cell) const noexcept {
  const auto index = static_cast<std::size_t>(&shard - shards_.get());
  return Place(static_cast<std::uint32_t>(index * kCells + cell));
}

}  // namespace sluicegate::shield
