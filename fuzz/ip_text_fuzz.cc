// Addresses and networks: read, written and read again they are the same; the C library reads the
// same texts as the same addresses; a network holds its own addresses and no neighbour's.
#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "base/ip.h"
#include "fuzz_target.h"

using sluicegate::IpAddress;
using sluicegate::IpPrefix;
using sluicegate::PrefixSet;
using sluicegate::fuzz::Require;

namespace {

std::optional<IpAddress> ByTheCLibrary(const std::string& text) {
  std::array<std::uint8_t, 4> v4{};
  std::array<std::uint8_t, 16> v6{};
  if (text.find('\0') != std::string::npos) return std::nullopt;
  if (::inet_pton(AF_INET, text.c_str(), v4.data()) == 1) return IpAddress::V4(v4);
  if (::inet_pton(AF_INET6, text.c_str(), v6.data()) == 1) return IpAddress::V6(v6);
  return std::nullopt;
}

void CheckAddress(const IpAddress& address) {
  const std::string text = address.ToString();
  Require(IpAddress::Parse(text) == address);
  Require(address.is_v4() == (text.find(':') == std::string::npos));
  Require(address.Client().Client() == address.Client());
  Require(address.Masked(128) == address);
}

// The address that differs in the last bit of the prefix.
IpAddress Neighbour(const IpPrefix& prefix) {
  std::array<std::uint8_t, 16> bytes{};
  std::ranges::copy(prefix.address.bytes(), bytes.begin());
  const unsigned bit = prefix.bits - 1 + (prefix.address.is_v4() ? 96 : 0);
  bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] ^ (0x80U >> (bit % 8)));
  return IpAddress::V6(bytes);
}

void CheckPrefix(const IpPrefix& prefix) {
  IpPrefix again;
  Require(IpPrefix::Parse(prefix.ToString(), again) == IpPrefix::Fault::kNone);
  Require(again == prefix);
  Require(prefix.bits <= (prefix.address.is_v4() ? 32U : 128U));
  const PrefixSet set(std::vector{prefix});
  Require(set.Contains(prefix.address));
  if (prefix.bits > 0) Require(!set.Contains(Neighbour(prefix)));
}

}  // namespace

SG_FUZZ_TARGET(ip_text) {
  const auto address = IpAddress::Parse(bytes);
  Require(address == ByTheCLibrary(std::string(bytes)));
  if (address) CheckAddress(*address);

  IpPrefix prefix;
  switch (IpPrefix::Parse(bytes, prefix)) {
    case IpPrefix::Fault::kNone:
    case IpPrefix::Fault::kHostBits:
      CheckPrefix(prefix);
      break;
    case IpPrefix::Fault::kSyntax:
    case IpPrefix::Fault::kLength:
      Require(!address);
      break;
  }
}
