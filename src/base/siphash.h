// SipHash-1-3 with a 64-bit result: the keyed hash of every table. Resists keys that are chosen to
// collide. Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012), with 1 and 3
// rounds.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace sluicegate {

/// A random 128-bit secret. Whoever knows it can make keys collide: never printed, never sent.
struct HashSecret {
  std::uint64_t k0 = 0;
  std::uint64_t k1 = 0;

  /// From the system's random source (getrandom); aborts if there is none, as nothing safe could
  /// follow.
  [[nodiscard]] static HashSecret Random() noexcept;
};

/// Hashes a message fed in pieces; the pieces' borders do not show in the result. Bound to one
/// thread.
class SipHasher {
 public:
  explicit SipHasher(const HashSecret& secret) noexcept;
  void Update(std::string_view bytes) noexcept;
  void UpdateU64(std::uint64_t value) noexcept;
  /// The hash of all that was fed. May be called once.
  [[nodiscard]] std::uint64_t Finish() noexcept;

 private:
  void Block(std::uint64_t m) noexcept;
  std::uint64_t v0_, v1_, v2_, v3_;
  std::uint64_t tail_ = 0;    // Bytes that do not fill a block yet, little endian.
  std::uint64_t length_ = 0;  // Bytes fed.
};

/// One shot: the hash of `bytes`.
[[nodiscard]] std::uint64_t SipHash(const HashSecret& secret, std::string_view bytes) noexcept;

}  // namespace sluicegate
