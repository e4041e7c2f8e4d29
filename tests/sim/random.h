// Random: the one source of chance of a simulation, so that its seed repeats it on every machine.
// Bound to one thread.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace sluicegate::sim {

class Random {
 public:
  explicit Random(std::uint64_t seed) noexcept : state_(seed) {}

  /// The next number of splitmix64 (Steele, Lea, Flood 2014).
  std::uint64_t Next() noexcept {
    std::uint64_t x = state_ += 0x9e3779b97f4a7c15U;
    x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27U)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31U);
  }
  /// From 0 to `count` - 1; the last ones are rarer by count / 2^64. REQUIRES: count > 0.
  std::uint64_t Below(std::uint64_t count) noexcept {
    return static_cast<std::uint64_t>((static_cast<unsigned __int128>(Next()) * count) >> 64U);
  }
  /// From `least` to `most`, both included.
  std::uint64_t Between(std::uint64_t least, std::uint64_t most) noexcept {
    return least + Below(most - least + 1);
  }
  bool Percent(unsigned chance) noexcept { return Below(100) < chance; }
  bool PerMille(unsigned chance) noexcept { return Below(1000) < chance; }

  /// From 1 to `most`, each order of magnitude as likely as another.
  std::uint64_t Magnitude(std::uint64_t most) noexcept {
    const auto bits = static_cast<unsigned>(Between(1, std::bit_width(most)));
    const std::uint64_t top = std::uint64_t{1} << (bits - 1);
    return top + Below(std::min(most - top + 1, top));
  }

  template <class T, std::size_t kExtent>
  T& OneOf(std::span<T, kExtent> all) noexcept {
    return all[Below(all.size())];
  }
  template <class Container>
  auto& OneOf(Container& all) noexcept {
    return all[Below(all.size())];
  }

 private:
  std::uint64_t state_;
};

}  // namespace sluicegate::sim
