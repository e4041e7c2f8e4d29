#include "wire/proxy_protocol.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace sluicegate::wire {
namespace {

constexpr std::string_view kText = "PROXY ";
constexpr std::string_view kBinary("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::size_t kFixed = 16;  // The signature, version and command, family, length.

constexpr std::uint8_t kLocal = 0x20;
constexpr std::uint8_t kProxy = 0x21;
constexpr std::uint8_t kChecksum = 0x03;  // PP2_TYPE_CRC32C

ProxyHeader Refused(std::string_view reason) {
  return {.state = ParseState::kRefused, .reason = reason};
}

ProxyHeader Done(std::size_t consumed, std::optional<ProxySource> source = std::nullopt) {
  return {.state = ParseState::kDone, .consumed = consumed, .source = source};
}

std::uint8_t ByteAt(std::string_view bytes, std::size_t i) {
  return static_cast<std::uint8_t>(bytes[i]);
}

std::uint16_t PortAt(std::string_view bytes, std::size_t i) {
  return static_cast<std::uint16_t>(ByteAt(bytes, i) << 8U | ByteAt(bytes, i + 1));
}

/// Cuts what is before the next space off; nothing where there is none.
std::optional<std::string_view> TakeWord(std::string_view& line) {
  const std::size_t space = line.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  const std::string_view word = line.substr(0, space);
  line.remove_prefix(space + 1);
  return word;
}

// Without leading zeros, as the protocol says: nobody may take it for octal.
std::optional<std::uint16_t> ReadPort(std::string_view text) {
  std::uint16_t port = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  const bool padded = text.size() > 1 && text.front() == '0';
  if (text.empty() || padded || error != std::errc() || stop != text.data() + text.size())
    return std::nullopt;
  return port;
}

std::optional<IpAddress> ReadAddress(std::string_view text, bool v6) {
  if ((text.find(':') != std::string_view::npos) != v6) return std::nullopt;
  return IpAddress::Parse(text);
}

/// SOURCE DESTINATION PORT PORT, a space between each.
std::optional<ProxySource> ReadEnds(std::string_view line, bool v6) {
  const auto source = TakeWord(line);
  const auto destination = TakeWord(line);
  const auto source_port = TakeWord(line);
  if (!source || !destination || !source_port) return std::nullopt;
  const auto address = ReadAddress(*source, v6);
  const auto port = ReadPort(*source_port);
  if (!address || !port || !ReadAddress(*destination, v6) || !ReadPort(line)) return std::nullopt;
  return ProxySource{.address = *address, .port = *port};
}

// REQUIRES: bytes begin with kText.
ProxyHeader ParseText(std::string_view bytes) {
  const std::string_view head = bytes.substr(0, kMaxProxyLine);
  const std::size_t end = head.find_first_of("\r\n");
  const bool whole = end != std::string_view::npos && head[end] == '\r' && end + 1 < head.size();
  if (end != std::string_view::npos && (head[end] == '\n' || (whole && head[end + 1] != '\n'))) {
    return Refused("The line of the PROXY header does not end in CR and LF.");
  }
  if (!whole) {
    if (head.size() < kMaxProxyLine) return {};
    return Refused("The line of the PROXY header has more than 107 bytes.");
  }
  std::string_view line = head.substr(kText.size(), end - kText.size());
  // What follows is to be ignored.
  if (line == "UNKNOWN" || line.starts_with("UNKNOWN ")) return Done(end + 2);
  const auto family = TakeWord(line);
  if (family == "TCP4" || family == "TCP6") {
    if (const auto source = ReadEnds(line, family == "TCP6")) return Done(end + 2, source);
    return Refused("The PROXY header has no good addresses or ports.");
  }
  return Refused("The PROXY header has another protocol than TCP4, TCP6 and UNKNOWN.");
}

/// The addresses of version 2 by their family and transport.
struct Family {
  std::uint8_t code = 0;
  std::size_t bytes = 0;    // Of both addresses and ports.
  std::size_t address = 0;  // Of one address; 0: it is none that a client could be.
};

// Datagrams are not among them: this comes over a stream.
constexpr std::array kFamilies = {
    Family{.code = 0x11, .bytes = 12, .address = 4},
    Family{.code = 0x21, .bytes = 36, .address = 16},
    Family{.code = 0x31, .bytes = 216, .address = 0},
};

constexpr std::array<std::uint32_t, 256> kCrcTable = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < table.size(); ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1U ^ ((crc & 1U) != 0 ? 0x82F63B78U : 0U);
    table[i] = crc;
  }
  return table;
}();

std::uint32_t ExtendCrc32c(std::uint32_t crc, std::string_view bytes) {
  for (const char c : bytes) {
    crc = crc >> 8U ^ kCrcTable[(crc ^ static_cast<std::uint8_t>(c)) & 0xFFU];
  }
  return crc;
}

/// Whether the header's checksum is that of the header with zeros in its place (RFC 9260,
/// appendix A). REQUIRES: four bytes lie at `at`.
bool ChecksumHolds(std::string_view header, std::size_t at) {
  constexpr std::string_view kZeros("\0\0\0\0", 4);
  std::uint32_t crc = ExtendCrc32c(~std::uint32_t{0}, header.substr(0, at));
  crc = ExtendCrc32c(crc, kZeros);
  crc = ~ExtendCrc32c(crc, header.substr(at + kZeros.size()));
  std::uint32_t told = 0;
  for (std::size_t i = 0; i < kZeros.size(); ++i) told = told << 8U | ByteAt(header, at + i);
  return told == crc;
}

/// What is wrong with the TLVs from `at` to the header's end; empty: nothing.
std::string_view FaultOfTlvs(std::string_view header, std::size_t at) {
  constexpr std::size_t kHead = 3;
  bool checked = false;
  while (at < header.size()) {
    if (header.size() - at < kHead || header.size() - at - kHead < PortAt(header, at + 1)) {
      return "A TLV of the PROXY header is cut off.";
    }
    const std::size_t size = PortAt(header, at + 1);
    if (ByteAt(header, at) == kChecksum) {
      if (checked || size != 4 || !ChecksumHolds(header, at + kHead)) {
        return "The PROXY header's checksum does not hold.";
      }
      checked = true;
    }
    at += kHead + size;
  }
  return {};
}

IpAddress AddressAt(std::string_view header, std::size_t size) {
  std::array<std::uint8_t, 16> bytes{};
  std::ranges::copy(header.substr(kFixed, size), bytes.begin());
  if (size == 16) return IpAddress::V6(bytes);
  return IpAddress::V4({bytes[0], bytes[1], bytes[2], bytes[3]});
}

// REQUIRES: bytes begin with kBinary.
ProxyHeader ParseBinary(std::string_view bytes) {
  if (bytes.size() < kFixed) return {};
  const std::uint8_t command = ByteAt(bytes, 12);
  const std::uint8_t code = ByteAt(bytes, 13);
  const std::size_t length = PortAt(bytes, 14);
  if (command != kLocal && command != kProxy) {
    return Refused("The PROXY header has another version than 2, or an unknown command.");
  }
  const auto family = std::ranges::find(kFamilies, code, &Family::code);
  // Of a proxy that speaks for itself, or for it does not know whom, the rest means nothing.
  const bool nobody = command == kLocal || code == 0;
  if (!nobody && family == kFamilies.end()) {
    return Refused("The PROXY header has an unknown family, or one that is no stream.");
  }
  const std::size_t addresses = nobody ? 0 : family->bytes;
  if (length < addresses) return Refused("The PROXY header is too short for its addresses.");
  if (length - addresses > kMaxProxyTlvs)
    return Refused("The PROXY header has over 4 KiB of TLVs.");
  if (bytes.size() < kFixed + length) return {};
  const std::string_view header = bytes.substr(0, kFixed + length);
  if (nobody) return Done(header.size());
  if (const auto fault = FaultOfTlvs(header, kFixed + addresses); !fault.empty()) {
    return Refused(fault);
  }
  if (family->address == 0) return Done(header.size());
  return Done(header.size(), ProxySource{.address = AddressAt(header, family->address),
                                         .port = PortAt(header, kFixed + 2 * family->address)});
}

bool BeginsLike(std::string_view bytes, std::string_view signature) {
  return signature.starts_with(bytes.substr(0, signature.size()));
}

}  // namespace

ProxyHeader ParseProxyHeader(std::string_view bytes) noexcept {
  if (bytes.empty()) return {};
  const bool binary = bytes.front() == kBinary.front();
  const std::string_view signature = binary ? kBinary : kText;
  if (!BeginsLike(bytes, signature)) {
    return Refused("The connection does not begin with a PROXY header.");
  }
  if (bytes.size() < signature.size()) return {};
  return binary ? ParseBinary(bytes) : ParseText(bytes);
}

}  // namespace sluicegate::wire
