// Internet addresses and prefixes. Value types; everything here is pure.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sluicegate {

/// An IPv4 or IPv6 address, held as 16 bytes; IPv4 lies in ::ffff:0:0/96, so a mapped address and
/// its IPv4 form are equal (they are one client).
class IpAddress {
 public:
  /// The unspecified address `::`.
  constexpr IpAddress() noexcept = default;

  /// `octets` in network order.
  [[nodiscard]] static IpAddress V4(std::array<std::uint8_t, 4> octets) noexcept;
  [[nodiscard]] static IpAddress V6(const std::array<std::uint8_t, 16>& octets) noexcept;

  /// Reads dotted quads without leading zeros, and RFC 4291 text (no zone, no brackets, no port).
  /// Allocates nothing.
  [[nodiscard]] static std::optional<IpAddress> Parse(std::string_view text) noexcept;

  [[nodiscard]] bool is_v4() const noexcept;
  [[nodiscard]] std::span<const std::uint8_t, 16> bytes() const noexcept { return bytes_; }

  /// The address with all but its first bits cleared. `bits` counts within the family: 0-32 or
  /// 0-128.
  [[nodiscard]] IpAddress Masked(unsigned bits) const noexcept;

  /// Who is limited: an IPv4 address itself, an IPv6 address's /64.
  [[nodiscard]] IpAddress Client() const noexcept { return is_v4() ? *this : Masked(64); }

  /// Dotted quads, or RFC 5952 text.
  [[nodiscard]] std::string ToString() const;

  friend constexpr auto operator<=>(const IpAddress&, const IpAddress&) noexcept = default;

 private:
  std::array<std::uint8_t, 16> bytes_{};
};

/// An address and a prefix length, without host bits.
struct IpPrefix {
  IpAddress address;
  unsigned bits = 0;  ///< Within the family: 0-32 or 0-128.

  /// Why a text is no prefix. kHostBits: it is well formed but has bits set beyond its length.
  enum class Fault : std::uint8_t { kNone, kSyntax, kLength, kHostBits };
  /// Reads "10.0.0.0/8" or a bare address (its full length). On kHostBits `prefix` holds what was
  /// probably meant.
  [[nodiscard]] static Fault Parse(std::string_view text, IpPrefix& prefix) noexcept;

  [[nodiscard]] std::string ToString() const;
  friend bool operator==(const IpPrefix&, const IpPrefix&) = default;
};

/// A set of prefixes; an IPv6 prefix holds no IPv4 address, however short it is. Compiled into
/// disjoint ranges: Contains is a binary search. Immutable after construction, so thread-safe.
class PrefixSet {
 public:
  PrefixSet() = default;
  explicit PrefixSet(std::span<const IpPrefix> prefixes);
  [[nodiscard]] bool Contains(const IpAddress& address) const noexcept;
  [[nodiscard]] bool empty() const noexcept { return ranges_.empty(); }

 private:
  struct Range {
    IpAddress first;
    IpAddress last;
  };
  static void AddRange(const IpAddress& first, const IpAddress& last, std::vector<Range>& all);

  std::vector<Range> ranges_;  // Sorted, disjoint.
};

}  // namespace sluicegate
