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
/// thread. Inline, as it runs for every key of every decision. The machine must be little endian.
class SipHasher {
 public:
  explicit SipHasher(const HashSecret& secret) noexcept
      : v0_(secret.k0 ^ 0x736f6d6570736575ULL),
        v1_(secret.k1 ^ 0x646f72616e646f6dULL),
        v2_(secret.k0 ^ 0x6c7967656e657261ULL),
        v3_(secret.k1 ^ 0x7465646279746573ULL) {}

  void Update(std::string_view bytes) noexcept {
    const char* at = bytes.data();
    std::size_t left = bytes.size();
    while (left >= 8) {
      UpdateU64(LoadWhole(at));
      at += 8;
      left -= 8;
    }
    if (left > 0) Append(LoadPart(at, left), static_cast<unsigned>(left));
  }
  /// The same as its eight bytes, the lowest first.
  void UpdateU64(std::uint64_t value) noexcept { Append(value, 8); }
  /// The same as one byte.
  void UpdateU8(std::uint8_t value) noexcept { Append(value, 1); }

  /// The hash of `bytes`, where nothing was fed before: without a word kept for what may come.
  [[nodiscard]] std::uint64_t HashWhole(std::string_view bytes) noexcept {
    const char* at = bytes.data();
    const char* const whole = at + bytes.size() / 8 * 8;
    for (; at != whole; at += 8) Block(LoadWhole(at));
    const std::size_t left = bytes.size() % 8;
    tail_ = left > 0 ? LoadPart(at, left) : 0;
    length_ = bytes.size();
    return Finish();
  }

  /// The hash of all that was fed. May be called once.
  [[nodiscard]] std::uint64_t Finish() noexcept {
    Block(tail_ | (length_ << 56U));
    v2_ ^= 0xFF;
    Round();
    Round();
    Round();
    return v0_ ^ v1_ ^ v2_ ^ v3_;
  }

 private:
  static_assert(std::endian::native == std::endian::little, "words are loaded as they lie");

  static std::uint64_t LoadWhole(const char* at) noexcept {
    std::uint64_t word = 0;
    std::memcpy(&word, at, sizeof(word));
    return word;
  }
  // One to seven bytes in two overlapping loads instead of a loop.
  static std::uint64_t LoadPart(const char* at, std::size_t size) noexcept {
    if (size >= 4) {
      std::uint32_t low = 0;
      std::uint32_t high = 0;
      std::memcpy(&low, at, 4);
      std::memcpy(&high, at + size - 4, 4);
      return low | (std::uint64_t{high} << (8 * (size - 4)));
    }
    const auto byte = [at](std::size_t i) {
      return std::uint64_t{static_cast<std::uint8_t>(at[i])};
    };
    return byte(0) | (byte(size / 2) << (8 * (size / 2))) | (byte(size - 1) << (8 * (size - 1)));
  }

  // Adds `size` bytes (1 to 8), held in the low end of `word`.
  void Append(std::uint64_t word, unsigned size) noexcept {
    const auto filled = static_cast<unsigned>(length_ % 8);
    length_ += size;
    if (filled == 0 && size == 8) return Block(word);  // Most keys are whole words.
    tail_ |= word << (8 * filled);
    if (filled + size < 8) return;
    Block(tail_);
    // What did not fit; a shift by 64 would be undefined.
    tail_ = filled == 0 ? 0 : word >> (8 * (8 - filled));
  }
  void Block(std::uint64_t m) noexcept {
    v3_ ^= m;
    Round();
    v0_ ^= m;
  }
  void Round() noexcept {
    v0_ += v1_;
    v1_ = std::rotl(v1_, 13) ^ v0_;
    v0_ = std::rotl(v0_, 32);
    v2_ += v3_;
    v3_ = std::rotl(v3_, 16) ^ v2_;
    v0_ += v3_;
    v3_ = std::rotl(v3_, 21) ^ v0_;
    v2_ += v1_;
    v1_ = std::rotl(v1_, 17) ^ v2_;
    v2_ = std::rotl(v2_, 32);
  }

  std::uint64_t v0_, v1_, v2_, v3_;
  std::uint64_t tail_ = 0;    // Bytes that do not fill a block yet, little endian.
  std::uint64_t length_ = 0;  // Bytes fed.
};

/// One shot: the hash of `bytes`.
[[nodiscard]] inline std::uint64_t SipHash(const HashSecret& secret,
                                           std::string_view bytes) noexcept {
  return SipHasher(secret).HashWhole(bytes);
}

}  // namespace sluicegate
