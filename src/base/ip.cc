#include "base/ip.h"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace sluicegate {
namespace {

constexpr unsigned kV4Offset = 12;
constexpr unsigned kV4Bits = 32;
constexpr unsigned kV6Bits = 128;
constexpr unsigned kMappedBits = kV6Bits - kV4Bits;

using Bytes = std::array<std::uint8_t, 16>;

// A decimal number without sign or leading zero, at most `max`.
std::optional<unsigned> ParseDecimal(std::string_view text, unsigned max) noexcept {
  if (text.empty() || text.size() > 3 || (text.size() > 1 && text[0] == '0')) return std::nullopt;
  unsigned value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<unsigned>(c - '0');
  }
  return value <= max ? std::optional(value) : std::nullopt;
}

std::optional<std::array<std::uint8_t, 4>> ParseV4(std::string_view text) noexcept {
  std::array<std::uint8_t, 4> octets{};
  for (unsigned i = 0; i < 4; ++i) {
    const std::size_t dot = text.find('.');
    if ((dot == std::string_view::npos) != (i == 3)) return std::nullopt;
    const auto octet = ParseDecimal(text.substr(0, dot), 255);
    if (!octet) return std::nullopt;
    octets[i] = static_cast<std::uint8_t>(*octet);
    text.remove_prefix(dot == std::string_view::npos ? text.size() : dot + 1);
  }
  return octets;
}

// Up to four hexadecimal digits.
std::optional<unsigned> ParseGroup(std::string_view text) noexcept {
  if (text.empty() || text.size() > 4) return std::nullopt;
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(value)
                                                                  : std::nullopt;
}

// Reads groups separated by colons into `out`, the last perhaps dotted quads; gives the bytes
// written, or nullopt.
std::optional<std::size_t> ParseGroups(std::string_view text, Bytes& out) noexcept {
  std::size_t at = 0;
  while (!text.empty()) {
    const std::size_t colon = text.find(':');
    const std::string_view group = text.substr(0, colon);
    if (colon == std::string_view::npos && group.find('.') != std::string_view::npos) {
      const auto octets = ParseV4(group);
      if (!octets || at + 4 > out.size()) return std::nullopt;
      std::ranges::copy(*octets, out.begin() + static_cast<std::ptrdiff_t>(at));
      return at + 4;
    }
    const auto value = ParseGroup(group);
    if (!value || at + 2 > out.size()) return std::nullopt;
    out[at++] = static_cast<std::uint8_t>(*value >> 8U);
    out[at++] = static_cast<std::uint8_t>(*value & 0xFFU);
    if (colon == std::string_view::npos) return at;
    text.remove_prefix(colon + 1);
    if (text.empty()) return std::nullopt;  // A colon at the end.
  }
  return at;
}

std::optional<Bytes> ParseV6(std::string_view text) noexcept {
  Bytes head{};
  const std::size_t gap = text.find("::");
  if (gap == std::string_view::npos) {
    const auto size = ParseGroups(text, head);
    return size == head.size() ? std::optional(head) : std::nullopt;
  }
  Bytes tail{};
  const std::string_view left = text.substr(0, gap);
  if (left.find('.') != std::string_view::npos) return std::nullopt;
  const auto head_size = ParseGroups(left, head);
  const auto tail_size = ParseGroups(text.substr(gap + 2), tail);
  if (!head_size || !tail_size || *head_size + *tail_size > head.size() - 2) return std::nullopt;
  std::copy_n(tail.begin(), *tail_size, head.end() - static_cast<std::ptrdiff_t>(*tail_size));
  return head;
}

// RFC 5952: the longest run of at least two zero groups, the first among equals. Gives first and
// count.
struct Run {
  unsigned first = 8;
  unsigned count = 0;
};

Run LongestZeroRun(const std::array<unsigned, 8>& groups) noexcept {
  Run best;
  for (unsigned i = 0; i < groups.size();) {
    unsigned end = i;
    while (end < groups.size() && groups[end] == 0) ++end;
    if (end - i > best.count && end - i >= 2) best = {.first = i, .count = end - i};
    i = std::max(end, i + 1);
  }
  return best;
}

std::string V6Text(const std::array<unsigned, 8>& groups) {
  const Run zeros = LongestZeroRun(groups);
  std::string text;
  for (unsigned i = 0; i < groups.size(); ++i) {
    if (i == zeros.first) {
      text += "::";
      i += zeros.count - 1;
      continue;
    }
    if (!text.empty() && text.back() != ':') text += ':';
    std::array<char, 4> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), groups[i], 16).ptr;
    text.append(digits.data(), end);
  }
  return text;
}

// The address with all bits behind its first `bits` of 128 set to `fill`.
Bytes Filled(Bytes bytes, unsigned bits, std::uint8_t fill) noexcept {
  for (unsigned i = 0; i < bytes.size(); ++i) {
    const unsigned kept = bits <= i * 8 ? 0 : std::min(bits - i * 8, 8U);
    const auto mask = static_cast<std::uint8_t>(0xFF00U >> kept);
    bytes[i] = static_cast<std::uint8_t>((bytes[i] & mask) | (fill & ~mask));
  }
  return bytes;
}

Bytes Copy(const IpAddress& address) noexcept {
  Bytes bytes;
  std::ranges::copy(address.bytes(), bytes.begin());
  return bytes;
}

unsigned BitsOf128(const IpPrefix& prefix) noexcept {
  return prefix.bits + (prefix.address.is_v4() ? kMappedBits : 0);
}

}  // namespace

IpAddress IpAddress::V4(std::array<std::uint8_t, 4> octets) noexcept {
  IpAddress address;
  address.bytes_[kV4Offset - 2] = address.bytes_[kV4Offset - 1] = 0xFF;
  std::ranges::copy(octets, address.bytes_.begin() + kV4Offset);
  return address;
}

IpAddress IpAddress::V6(const std::array<std::uint8_t, 16>& octets) noexcept {
  IpAddress address;
  address.bytes_ = octets;
  return address;
}

std::optional<IpAddress> IpAddress::Parse(std::string_view text) noexcept {
  if (text.find(':') == std::string_view::npos) {
    const auto octets = ParseV4(text);
    return octets ? std::optional(V4(*octets)) : std::nullopt;
  }
  const auto octets = ParseV6(text);
  return octets ? std::optional(V6(*octets)) : std::nullopt;
}

bool IpAddress::is_v4() const noexcept {
  constexpr std::array<std::uint8_t, kV4Offset> kMapped = {0, 0, 0, 0, 0,    0,
                                                           0, 0, 0, 0, 0xFF, 0xFF};
  return std::memcmp(bytes_.data(), kMapped.data(), kMapped.size()) == 0;
}

IpAddress IpAddress::Masked(unsigned bits) const noexcept {
  const unsigned of_128 = is_v4() ? std::min(bits, kV4Bits) + kMappedBits : std::min(bits, kV6Bits);
  return V6(Filled(bytes_, of_128, 0));
}

std::string IpAddress::ToString() const {
  if (is_v4()) {
    std::string text;
    for (unsigned i = kV4Offset; i < bytes_.size(); ++i) {
      if (!text.empty()) text += '.';
      text += std::to_string(bytes_[i]);
    }
    return text;
  }
  std::array<unsigned, 8> groups{};
  for (std::size_t i = 0; i < groups.size(); ++i) {
    groups[i] = (unsigned{bytes_[2 * i]} << 8U) | bytes_[2 * i + 1];
  }
  return V6Text(groups);
}

IpPrefix::Fault IpPrefix::Parse(std::string_view text, IpPrefix& prefix) noexcept {
  const std::size_t slash = text.find('/');
  const auto address = IpAddress::Parse(text.substr(0, slash));
  if (!address) return Fault::kSyntax;
  const unsigned longest = address->is_v4() ? kV4Bits : kV6Bits;
  prefix = {.address = *address, .bits = longest};
  if (slash == std::string_view::npos) return Fault::kNone;
  const auto bits = ParseDecimal(text.substr(slash + 1), longest);
  if (!bits) return Fault::kLength;
  prefix = {.address = address->Masked(*bits), .bits = *bits};
  return prefix.address == *address ? Fault::kNone : Fault::kHostBits;
}

std::string IpPrefix::ToString() const { return address.ToString() + "/" + std::to_string(bits); }

// An IPv4 address lies in ::ffff:0:0/96, and is not meant by an IPv6 prefix around that.
void PrefixSet::AddRange(const IpAddress& first, const IpAddress& last, std::vector<Range>& all) {
  static constexpr Bytes kBeforeV4 = {0, 0, 0,    0,    0,    0,    0,    0,
                                      0, 0, 0xFF, 0xFE, 0xFF, 0xFF, 0xFF, 0xFF};
  static constexpr Bytes kBehindV4 = {0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0};
  const IpAddress before = IpAddress::V6(kBeforeV4);
  const IpAddress behind = IpAddress::V6(kBehindV4);
  if (first.is_v4() || first > before || last <= before) {
    all.push_back({.first = first, .last = last});
    return;
  }
  all.push_back({.first = first, .last = before});
  if (last >= behind) all.push_back({.first = behind, .last = last});
}

PrefixSet::PrefixSet(std::span<const IpPrefix> prefixes) {
  std::vector<Range> all;
  for (const IpPrefix& prefix : prefixes) {
    const Bytes first = Filled(Copy(prefix.address), BitsOf128(prefix), 0);
    const Bytes last = Filled(first, BitsOf128(prefix), 0xFF);
    AddRange(IpAddress::V6(first), IpAddress::V6(last), all);
  }
  std::ranges::sort(all, {}, &Range::first);
  // Prefixes nest or are apart: a range that begins inside the one before it lies in it whole.
  for (const Range& range : all) {
    if (ranges_.empty() || range.last > ranges_.back().last) ranges_.push_back(range);
  }
}

bool PrefixSet::Contains(const IpAddress& address) const noexcept {
  const auto after = std::ranges::upper_bound(ranges_, address, {}, &Range::first);
  return after != ranges_.begin() && address <= std::prev(after)->last;
}

}  // namespace sluicegate
