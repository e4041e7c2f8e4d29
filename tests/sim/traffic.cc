#include "traffic.h"

#include <array>

#include "generate.h"

namespace sluicegate::sim {
namespace {

// 2001:db8:<site>:<subnet>::<host>; eight bits of the subnet name a /56.
IpAddress V6(std::uint64_t site, std::uint64_t subnet, std::uint64_t host) {
  std::array<std::uint8_t, 16> bytes = {0x20, 0x01, 0x0d, 0xb8};
  bytes[4] = static_cast<std::uint8_t>(site >> 8U);
  bytes[5] = static_cast<std::uint8_t>(site);
  bytes[6] = static_cast<std::uint8_t>(subnet >> 8U);
  bytes[7] = static_cast<std::uint8_t>(subnet);
  bytes[15] = static_cast<std::uint8_t>(host);
  return IpAddress::V6(bytes);
}

IpAddress V4(std::uint64_t number) {
  return IpAddress::V4({10, static_cast<std::uint8_t>(number >> 16U),
                        static_cast<std::uint8_t>(number >> 8U),
                        static_cast<std::uint8_t>(number)});
}

}  // namespace

Traffic::Traffic(Random& random, std::size_t clients) : random_(random) {
  for (std::size_t i = 0; i < clients; ++i) {
    // One after the other: compilers differ in the order of arguments.
    const std::uint64_t network = random_.Below(4);
    const std::uint64_t house = random_.Below(3);
    const std::uint64_t subnet = random_.Below(6);
    const std::uint64_t host = random_.Below(40);
    clients_.push_back(random_.Percent(50) ? V4(network << 8U | host)
                                           : V6(network, house << 8U | subnet, host));
  }
}

IpAddress Traffic::Client() {
  // Six of them are busy at a time.
  if (random_.PerMille(5)) busiest_ = random_.Below(clients_.size());
  if (random_.Percent(80)) return clients_[(busiest_ + random_.Below(6)) % clients_.size()];
  return random_.OneOf(clients_);
}

std::uint64_t Traffic::Cost() {
  const std::uint64_t kind = random_.Below(100);
  if (kind < 70) return Request::kRuleCost;
  if (kind < 76) return 0;
  if (kind < 80) return random_.Magnitude(100'000);
  return random_.Magnitude(8);
}

Ask Traffic::Next() {
  Ask ask;
  ask.client = Client();
  ask.path = random_.OneOf(kPaths);
  ask.host = random_.OneOf(kHosts);
  if (random_.Percent(40)) ask.user = random_.OneOf(kUsers);
  ask.cost = Cost();
  return ask;
}

// From 10.64.0.0 on, or one /64 after the other of 64 sites.
Ask Traffic::Fresh() {
  const std::uint64_t number = fresh_++;
  Ask ask;
  ask.path = random_.OneOf(kPaths);
  ask.host = random_.OneOf(kHosts);
  ask.client = random_.Percent(50)
                   ? V4(0x40'0000 + number % 0x40'0000)
                   : V6(0x8000 + number / 64 % 64, number % 64 | number / 4096 << 6U, 1);
  return ask;
}

}  // namespace sluicegate::sim
