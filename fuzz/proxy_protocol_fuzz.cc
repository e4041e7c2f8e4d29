// The PROXY protocol's header: however much of it came, the answer is the same or "more"; what was
// refused stays so; and a second, naive reader, which takes the protocol's text word by word,
// agrees.
#include <arpa/inet.h>

#include <array>
#include <cstring>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "fuzz_target.h"
#include "wire/proxy_protocol.h"

using sluicegate::IpAddress;
using sluicegate::fuzz::Require;
namespace wire = sluicegate::wire;

namespace {

using Source = std::optional<wire::ProxySource>;

/// A whole header at the beginning of `bytes`, or nothing.
struct Naive {
  std::size_t consumed = 0;
  Source source;
};

std::optional<IpAddress> NaiveAddress(const std::string& text, int family) {
  std::array<std::uint8_t, 16> bytes{};
  if (text.find('\0') != std::string::npos) return std::nullopt;
  if (::inet_pton(family, text.c_str(), bytes.data()) != 1) return std::nullopt;
  if (family == AF_INET6) return IpAddress::V6(bytes);
  return IpAddress::V4({bytes[0], bytes[1], bytes[2], bytes[3]});
}

std::optional<std::uint16_t> NaivePort(const std::string& text) {
  if (text.empty() || text.size() > 5) return std::nullopt;
  if (text.find_first_not_of("0123456789") != std::string::npos) return std::nullopt;
  const unsigned long port = std::stoul(text);
  if (port > 65'535 || std::to_string(port) != text) return std::nullopt;
  return static_cast<std::uint16_t>(port);
}

std::optional<Naive> ReadLine(const std::string& line) {
  std::vector<std::string> words;
  std::istringstream in(line + " ");
  for (std::string word; std::getline(in, word, ' ');) words.push_back(word);
  if (words.size() >= 2 && words[1] == "UNKNOWN") return Naive{};
  if (words.size() != 6 || (words[1] != "TCP4" && words[1] != "TCP6")) return std::nullopt;
  const int family = words[1] == "TCP4" ? AF_INET : AF_INET6;
  const auto source = NaiveAddress(words[2], family);
  const auto port = NaivePort(words[4]);
  if (!source || !port || !NaiveAddress(words[3], family) || !NaivePort(words[5])) {
    return std::nullopt;
  }
  return Naive{.source = wire::ProxySource{.address = *source, .port = *port}};
}

std::optional<Naive> ReadText(const std::string& bytes) {
  const std::size_t end = bytes.find("\r\n");
  if (end == std::string::npos || end + 2 > 107) return std::nullopt;
  const std::string line = bytes.substr(0, end);
  if (line.find_first_of("\r\n") != std::string::npos) return std::nullopt;
  auto naive = ReadLine(line);
  if (naive) naive->consumed = end + 2;
  return naive;
}

std::uint32_t NaiveCrc32c(const std::string& bytes) {
  std::uint32_t crc = 0xFFFFFFFF;
  for (const char c : bytes) {
    crc ^= static_cast<std::uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1U) != 0 ? crc >> 1U ^ 0x82F63B78U : crc >> 1U;
  }
  return ~crc;
}

std::uint32_t Number(const std::string& bytes) {
  std::uint32_t number = 0;
  for (const char c : bytes) number = number * 256 + static_cast<std::uint8_t>(c);
  return number;
}

bool TlvsAreGood(const std::string& header, std::size_t at) {
  unsigned sums = 0;
  while (at < header.size()) {
    if (at + 3 > header.size()) return false;
    const std::size_t size = Number(header.substr(at + 1, 2));
    if (at + 3 + size > header.size()) return false;
    if (header[at] == 3) {
      std::string zeroed = header;
      if (++sums > 1 || size != 4) return false;
      zeroed.replace(at + 3, 4, 4, '\0');
      if (NaiveCrc32c(zeroed) != Number(header.substr(at + 3, 4))) return false;
    }
    at += 3 + size;
  }
  return true;
}

std::optional<Naive> ReadBinary(const std::string& bytes) {
  if (bytes.size() < 16) return std::nullopt;
  const std::size_t length = Number(bytes.substr(14, 2));
  if (bytes.size() < 16 + length) return std::nullopt;
  const std::string header = bytes.substr(0, 16 + length);
  Naive naive{.consumed = header.size(), .source = {}};
  const char command = header[12];
  const char family = header[13];
  if (command != 0x20 && command != 0x21) return std::nullopt;
  if (command == 0x20 || family == 0) return length <= 4096 ? std::optional(naive) : std::nullopt;
  const std::size_t ends = family == 0x11 ? 12 : family == 0x21 ? 36 : 216;
  if (family != 0x11 && family != 0x21 && family != 0x31) return std::nullopt;
  if (length < ends || length > ends + 4096 || !TlvsAreGood(header, 16 + ends)) return std::nullopt;
  if (family == 0x31) return naive;
  std::array<std::uint8_t, 16> address{};
  const std::size_t size = family == 0x11 ? 4 : 16;
  std::memcpy(address.data(), header.data() + 16, size);
  naive.source = wire::ProxySource{
      .address = size == 16 ? IpAddress::V6(address)
                            : IpAddress::V4({address[0], address[1], address[2], address[3]}),
      .port = static_cast<std::uint16_t>(Number(header.substr(16 + 2 * size, 2)))};
  return naive;
}

std::optional<Naive> ReadNaively(const std::string& bytes) {
  if (bytes.starts_with("PROXY ")) return ReadText(bytes);
  if (bytes.starts_with(std::string("\r\n\r\n\0\r\nQUIT\n", 12))) return ReadBinary(bytes);
  return std::nullopt;
}

void CheckPrefixes(std::string_view bytes, const wire::ProxyHeader& whole) {
  constexpr std::size_t kEach = 300;
  for (std::size_t size = 0; size < bytes.size(); size += size < kEach ? 1 : 97) {
    const wire::ProxyHeader part = wire::ParseProxyHeader(bytes.substr(0, size));
    if (part.state != wire::ParseState::kNeedMore) Require(part == whole);
    if (whole.state == wire::ParseState::kDone) {
      Require((part.state == wire::ParseState::kNeedMore) == (size < whole.consumed));
    }
  }
}

}  // namespace

SG_FUZZ_TARGET(proxy_protocol) {
  const wire::ProxyHeader header = wire::ParseProxyHeader(bytes);
  Require(header.consumed <= bytes.size() && header.consumed <= wire::kMaxProxyHeader);
  Require((header.state == wire::ParseState::kRefused) == !header.reason.empty());
  if (header.state == wire::ParseState::kNeedMore) Require(bytes.size() < wire::kMaxProxyHeader);

  const auto naive = ReadNaively(std::string(bytes.substr(0, wire::kMaxProxyHeader)));
  Require(naive.has_value() == (header.state == wire::ParseState::kDone));
  if (naive) Require(naive->consumed == header.consumed && naive->source == header.source);
  CheckPrefixes(bytes, header);
}
