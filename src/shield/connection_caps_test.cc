#include "shield/connection_caps.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <random>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "base/seed_for_test.h"

namespace sluicegate::shield {
namespace {

using Verdict = ConnectionCaps::Verdict;
using Place = ConnectionCaps::Place;

constexpr HashSecret kSecret{.k0 = 1, .k1 = 2};
constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr Now kStart{.engine_ns = 1'000 * kSecond, .unix_ns = 0};

Now After(std::uint64_t ns) { return {.engine_ns = kStart.engine_ns + ns, .unix_ns = 0}; }

IpAddress Address(std::string_view text) { return IpAddress::Parse(text).value(); }

/// One of 2^24 addresses of as many /32s, each in a /24 of 256.
IpAddress V4(std::uint32_t number) {
  return IpAddress::V4({10, static_cast<std::uint8_t>(number >> 16U),
                        static_cast<std::uint8_t>(number >> 8U),
                        static_cast<std::uint8_t>(number)});
}

/// Connections that stay open until the test closes them.
class Caps : public testing::Test {
 protected:
  Verdict Open(const IpAddress& client, const ConnectionTerms& terms, Now now = kStart) {
    const auto admission = caps_.Admit(client, terms, now);
    if (admission.verdict == Verdict::kAdmitted) places_.push_back(admission.place);
    return admission.verdict;
  }
  void CloseOne() {
    caps_.Release(places_.back());
    places_.pop_back();
  }
  /// How many of `tries` connections are admitted.
  unsigned OpenMany(const IpAddress& client, const ConnectionTerms& terms, unsigned tries,
                    Now now = kStart) {
    unsigned admitted = 0;
    while (tries-- > 0) admitted += Open(client, terms, now) == Verdict::kAdmitted ? 1U : 0U;
    return admitted;
  }

  ConnectionCaps caps_{kSecret, 4};
  std::vector<Place> places_;
};

TEST_F(Caps, AClientHasSoManyOpenAtOnce) {
  const ConnectionTerms terms(3, 0);
  const IpAddress client = Address("192.0.2.1");
  EXPECT_EQ(OpenMany(client, terms, 10), 3U);
  EXPECT_EQ(Open(client, terms), Verdict::kTooMany);
  EXPECT_EQ(Open(Address("192.0.2.2"), terms), Verdict::kAdmitted);
  places_.pop_back();
  CloseOne();
  EXPECT_EQ(Open(client, terms), Verdict::kAdmitted);
  EXPECT_EQ(Open(client, terms), Verdict::kTooMany);
}

TEST_F(Caps, AClientOpensSoManyInASecond) {
  const ConnectionTerms terms(0, 4);
  const IpAddress client = Address("192.0.2.1");
  EXPECT_EQ(OpenMany(client, terms, 10), 4U);
  EXPECT_EQ(Open(client, terms), Verdict::kTooFast);
  while (!places_.empty()) CloseOne();
  EXPECT_EQ(Open(client, terms), Verdict::kTooFast) << "that they are closed pays no debt";
  EXPECT_EQ(Open(client, terms, After(kSecond / 4 - 1)), Verdict::kTooFast);
  EXPECT_EQ(OpenMany(client, terms, 10, After(kSecond / 4)), 1U);
  EXPECT_EQ(OpenMany(client, terms, 10, After(5 * kSecond)), 4U);
}

TEST_F(Caps, ARefusedConnectionCostsNothing) {
  const ConnectionTerms both(2, 2);
  const IpAddress client = Address("192.0.2.1");
  EXPECT_EQ(OpenMany(client, both, 2), 2U);
  EXPECT_EQ(Open(client, both, After(10 * kSecond)), Verdict::kTooMany);
  EXPECT_EQ(OpenMany(client, both, 50, After(10 * kSecond)), 0U);
  CloseOne();
  CloseOne();
  EXPECT_EQ(OpenMany(client, both, 50, After(10 * kSecond)), 2U)
      << "none of those that were too many counted as opened";
}

TEST_F(Caps, WithoutBoundsNothingIsCounted) {
  const auto admission = caps_.Admit(Address("192.0.2.1"), ConnectionTerms(), kStart);
  EXPECT_EQ(admission.verdict, Verdict::kAdmitted);
  EXPECT_FALSE(admission.place.counted());
  caps_.Release(admission.place);
  EXPECT_EQ(OpenMany(Address("192.0.2.1"), ConnectionTerms(0, 0), 1000), 1000U);
  EXPECT_EQ(OpenMany(Address("192.0.2.1"), ConnectionTerms(1, 0), 10), 1U);
}

TEST_F(Caps, AnIpv6ClientIsItsSlash64) {
  const ConnectionTerms terms(2, 0);
  EXPECT_EQ(Open(Address("2001:db8:0:1::1"), terms), Verdict::kAdmitted);
  EXPECT_EQ(Open(Address("2001:db8:0:1:ffff::2"), terms), Verdict::kAdmitted);
  EXPECT_EQ(Open(Address("2001:db8:0:1::3"), terms), Verdict::kTooMany);
  EXPECT_EQ(Open(Address("2001:db8:0:2::1"), terms), Verdict::kAdmitted);
}

TEST_F(Caps, AReloadKeepsTheCounts) {
  const IpAddress client = Address("192.0.2.1");
  EXPECT_EQ(OpenMany(client, ConnectionTerms(5, 0), 10), 5U);
  EXPECT_EQ(OpenMany(client, ConnectionTerms(3, 0), 10), 0U);
  EXPECT_EQ(OpenMany(client, ConnectionTerms(8, 0), 10), 3U);
}

TEST_F(Caps, TimeThatRunsBackwardsGivesNothing) {
  const ConnectionTerms terms(0, 10);
  const IpAddress client = Address("192.0.2.1");
  EXPECT_EQ(OpenMany(client, terms, 20, After(kSecond)), 10U);
  EXPECT_EQ(OpenMany(client, terms, 20, kStart), 0U);
  EXPECT_EQ(OpenMany(client, terms, 20, After(kSecond)), 0U);
}

TEST_F(Caps, RatesBeyondAMillionAreAMillion) {
  const ConnectionTerms terms(0, ~std::uint32_t{0});
  EXPECT_EQ(terms.rate().burst(), ConnectionTerms::kMostPerSecond);
  EXPECT_EQ(ConnectionTerms(~std::uint32_t{0}, 1).Times(4).open(), ~std::uint32_t{0});
}

// In any interval, whatever the times: at most a burst and what the rate brings.
TEST_F(Caps, TheRateHoldsInEveryInterval) {
  constexpr unsigned kRate = 20;
  std::mt19937_64 random(SeedForTest());
  std::vector<std::uint64_t> admitted;
  std::uint64_t ns = 0;
  for (int i = 0; i < 5000; ++i) {
    ns += random() % (kSecond / 50);
    const auto admission = caps_.Admit(V4(1), ConnectionTerms(0, kRate), After(ns));
    if (admission.verdict != Verdict::kAdmitted) continue;
    caps_.Release(admission.place);
    admitted.push_back(ns);
  }
  EXPECT_GT(admitted.size(), kRate * (ns / kSecond) * 9 / 10) << "and it gives what it may";
  for (std::size_t first = 0; first < admitted.size(); ++first) {
    for (std::size_t last = first; last < std::min(first + 200, admitted.size()); ++last) {
      const std::uint64_t may = kRate + (admitted[last] - admitted[first]) * kRate / kSecond;
      ASSERT_LE(last - first + 1, may);
    }
  }
}

// The same verdicts as a map that forgets nothing, while there is room for all.
TEST_F(Caps, AgreesWithANaiveCount) {
  constexpr unsigned kClients = 50;
  std::mt19937_64 random(SeedForTest());
  std::vector<std::pair<unsigned, Place>> open;
  std::array<unsigned, kClients> counts{};
  for (int i = 0; i < 20'000; ++i) {
    if (random() % 2 == 0 && !open.empty()) {
      std::swap(open[random() % open.size()], open.back());
      caps_.Release(open.back().second);
      --counts[open.back().first];
      open.pop_back();
      continue;
    }
    const auto client = static_cast<unsigned>(random() % kClients);
    const auto admission = caps_.Admit(V4(client), ConnectionTerms(4, 0), kStart);
    ASSERT_EQ(admission.verdict, counts[client] < 4 ? Verdict::kAdmitted : Verdict::kTooMany);
    if (admission.verdict != Verdict::kAdmitted) continue;
    ++counts[client];
    open.emplace_back(client, admission.place);
  }
}

TEST_F(Caps, AnEntryIsFreeOnceNothingIsOpenOrOwed) {
  // As many clients as ten tables hold, one after the other: none is ever crowded out.
  const ConnectionTerms terms(1, 1);
  for (std::uint32_t i = 0; i < 10 * 4 * ConnectionCaps::kEntries; ++i) {
    const auto admission = caps_.Admit(V4(i), terms, After(i * kSecond));
    ASSERT_EQ(admission.verdict, Verdict::kAdmitted);
    caps_.Release(admission.place);
  }
  EXPECT_EQ(caps_.crowded(), 0U);
}

// More clients than entries, each with one connection open: those who came first keep their own
// counts, the rest share those of their networks.
TEST_F(Caps, AFloodBindsNewcomersByTheirNetwork) {
  const ConnectionTerms terms(2, 0);
  constexpr std::uint32_t kFlood = 100'000;  // Of 391 networks; the table has 1,024 entries.
  const IpAddress known = Address("192.0.2.1");
  ASSERT_EQ(Open(known, terms), Verdict::kAdmitted);
  std::map<std::uint32_t, unsigned> by_network;
  unsigned own = 0;
  for (std::uint32_t i = 0; i < kFlood; ++i) {
    const std::uint64_t crowded = caps_.crowded();
    if (Open(V4(i), terms) != Verdict::kAdmitted) continue;
    if (caps_.crowded() == crowded) {
      ++own;
    } else {
      ++by_network[i / 256];
    }
  }
  EXPECT_GE(own, 4 * ConnectionCaps::kEntries * 99 / 100) << "nearly every entry is used";
  EXPECT_LT(own, 4 * ConnectionCaps::kEntries);
  unsigned shared = 0;
  for (const auto& [network, count] : by_network) {
    EXPECT_LE(count, 2 * ConnectionCaps::kNetworkFactor);
    shared += count;
  }
  EXPECT_EQ(shared, caps_.crowded());
  EXPECT_LE(shared, 4 * ConnectionCaps::kNetworks * 2 * ConnectionCaps::kNetworkFactor)
      << "however many networks there are, their cells are as many as they were";
  EXPECT_EQ(Open(known, terms), Verdict::kAdmitted) << "who was there has what he had";
  EXPECT_EQ(Open(known, terms), Verdict::kTooMany);

  while (!places_.empty()) CloseOne();
  EXPECT_EQ(OpenMany(Address("198.51.100.1"), terms, 10), 2U) << "and all is as before";
}

TEST_F(Caps, AFloodOfOneIpv6NetworkSharesItsCell) {
  const ConnectionTerms terms(2, 0);
  for (std::uint32_t i = 0; i < 65'536; ++i) {
    std::array<std::uint8_t, 16> bytes{0x20, 0x01, 0x0D, 0xB8, 0, 1};
    bytes[6] = static_cast<std::uint8_t>(i >> 8U);
    bytes[7] = static_cast<std::uint8_t>(i);
    Open(IpAddress::V6(bytes), terms);
  }
  EXPECT_EQ(caps_.crowded(), 2 * ConnectionCaps::kNetworkFactor);
}

TEST(ConnectionCapsTest, HalfOfItIsTakenBeforeAnyIsCrowdedOut) {
  const auto caps = std::make_unique<ConnectionCaps>(kSecret);
  constexpr std::uint32_t kEntries = ConnectionCaps::kDefaultShards * ConnectionCaps::kEntries;
  const ConnectionTerms terms(1000, 0);
  for (std::uint32_t i = 0; i < kEntries / 2; ++i)
    static_cast<void>(caps->Admit(V4(i), terms, kStart));
  EXPECT_EQ(caps->crowded(), 0U);
  for (std::uint32_t i = kEntries / 2; i < kEntries * 3 / 4; ++i) {
    static_cast<void>(caps->Admit(V4(i), terms, kStart));
  }
  EXPECT_LT(caps->crowded(), kEntries / 200);
}

// All loops together: never more open at once than may be, and none lost.
TEST(ConnectionCapsTest, TheCapHoldsForAllThreadsTogether) {
  constexpr unsigned kMost = 5;
  constexpr unsigned kClients = 3;
  ConnectionCaps caps(kSecret, 1);
  std::array<std::atomic<unsigned>, kClients> open{};
  std::atomic<unsigned> broken = 0;
  const auto work = [&](std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<std::pair<unsigned, Place>> mine;
    for (int i = 0; i < 50'000; ++i) {
      if (mine.size() == 4 || (random() % 2 == 0 && !mine.empty())) {
        // Not counted any more before it is released: the count here is never above the true one.
        --open[mine.back().first];
        caps.Release(mine.back().second);
        mine.pop_back();
        continue;
      }
      const auto client = static_cast<unsigned>(random() % kClients);
      const auto admission = caps.Admit(V4(client), ConnectionTerms(kMost, 0), kStart);
      if (admission.verdict != Verdict::kAdmitted) continue;
      if (++open[client] > kMost) ++broken;
      mine.emplace_back(client, admission.place);
    }
    for (const auto& [client, place] : mine) {
      --open[client];
      caps.Release(place);
    }
  };
  {
    std::vector<std::jthread> threads;
    for (std::uint64_t i = 0; i < 4; ++i) threads.emplace_back(work, SeedForTest() + i);
  }
  EXPECT_EQ(broken, 0U);
  for (unsigned client = 0; client < kClients; ++client) {
    for (unsigned i = 0; i < kMost; ++i) {
      EXPECT_EQ(caps.Admit(V4(client), ConnectionTerms(kMost, 0), kStart).verdict,
                Verdict::kAdmitted);
    }
    EXPECT_EQ(caps.Admit(V4(client), ConnectionTerms(kMost, 0), kStart).verdict, Verdict::kTooMany);
  }
}

}  // namespace
}  // namespace sluicegate::shield
