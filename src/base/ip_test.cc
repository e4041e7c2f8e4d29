// Addresses and prefixes: what is read, how it is written, what is one client, what a set contains.
#include "base/ip.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/seed_for_test.h"

namespace sluicegate {
namespace {

IpAddress Ip(std::string_view text) {
  const auto address = IpAddress::Parse(text);
  EXPECT_TRUE(address.has_value()) << text;
  return address.value_or(IpAddress());
}

IpPrefix Prefix(std::string_view text) {
  IpPrefix prefix;
  EXPECT_EQ(IpPrefix::Parse(text, prefix), IpPrefix::Fault::kNone) << text;
  return prefix;
}

TEST(IpAddress, ReadsAndWritesBothFamilies) {
  struct Row {
    std::string_view text;
    std::string_view canonical;
  };
  constexpr Row kRows[] = {
      {"0.0.0.0", "0.0.0.0"},
      {"203.0.113.7", "203.0.113.7"},
      {"255.255.255.255", "255.255.255.255"},
      {"::", "::"},
      {"::1", "::1"},
      {"1::", "1::"},
      {"2001:db8::7", "2001:db8::7"},
      {"2001:DB8::ABCD", "2001:db8::abcd"},
      {"2001:0db8:0000:0000:0000:0000:0000:0007", "2001:db8::7"},
      {"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
      {"fe80::1", "fe80::1"},
      // RFC 5952: the longest run of zeros, the first among equals, never a single one.
      {"1:0:0:2:0:0:0:3", "1:0:0:2::3"},
      {"1:0:0:2:3:0:0:4", "1::2:3:0:0:4"},
      {"1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"},
      {"1::3:4:5:6:7:8", "1:0:3:4:5:6:7:8"},
      {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
      {"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
      {"0:0:0:0:0:0:0:0", "::"},
      {"1:2:3:4:5:6:0:0", "1:2:3:4:5:6::"},
      // The last groups as dotted quads.
      {"64:ff9b::192.0.2.33", "64:ff9b::c000:221"},
      {"1:2:3:4:5:6:7.8.9.10", "1:2:3:4:5:6:708:90a"},
      {"::13.1.68.3", "::d01:4403"},
  };
  for (const Row& row : kRows) EXPECT_EQ(Ip(row.text).ToString(), row.canonical) << row.text;
}

TEST(IpAddress, RefusesWhatIsNone) {
  for (const std::string_view text : {
           "",
           " ",
           "1",
           "1.2.3",
           "1.2.3.4.5",
           "1.2.3.4.",
           ".1.2.3.4",
           "1..2.3",
           "256.0.0.1",
           "1.2.3.256",
           "01.2.3.4",
           "1.2.3.04",
           "1.2.3.4 ",
           " 1.2.3.4",
           "1.2.3.a",
           "0x1.2.3.4",
           "-1.2.3.4",
           "+1.2.3.4",
           "1.2.3.4/8",
           "1.2.3.0000",
           "3232235777",
           ":",
           ":::",
           "1:",
           ":1",
           "1:2",
           "1:2:3:4:5:6:7",
           "1:2:3:4:5:6:7:8:9",
           "1:2:3:4:5:6:7:8::",
           "::1:2:3:4:5:6:7:8",
           "1::2::3",
           "1:::2",
           ":1::2",
           "1::2:",
           "12345::",
           "g::",
           "0x1::",
           "-1::",
           "::1 ",
           "[::1]",
           "::1%eth0",
           "::1.2.3",
           "::1.2.3.4.5",
           "::256.2.3.4",
           "::01.2.3.4",
           "1.2.3.4::",
           "::1.2.3.4:5",
           "1:2:3:4:5:6:7:1.2.3.4",
           "1.2.3.4:80",
           "localhost",
       }) {
    EXPECT_FALSE(IpAddress::Parse(text).has_value()) << text;
  }
  EXPECT_FALSE(IpAddress::Parse(std::string_view("1.2.3.4\0", 8)).has_value());
}

// inet_pton reads the same language, and inet_ntop writes the same text (mapped addresses aside).
TEST(IpAddress, AgreesWithTheCLibraryOnRandomText) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  constexpr std::array<std::string_view, 14> kPieces = {
      ":", "::", ".", "0", "1", "10", "255", "256", "f", "ff", "0db8", "ffff", "g", "01"};
  for (unsigned round = 0; round < 300'000; ++round) {
    std::string text;
    const char separator = random() % 2 == 0 ? ':' : '.';
    for (std::size_t pieces = random() % 12; pieces > 0; --pieces) {
      text += kPieces[random() % kPieces.size()];
      if (random() % 4 != 0) text += separator;
    }
    if (random() % 2 == 0 && !text.empty()) text.pop_back();
    const auto address = IpAddress::Parse(text);
    std::array<std::uint8_t, 16> bytes{};
    if (::inet_pton(AF_INET, text.c_str(), bytes.data()) == 1) {
      ASSERT_TRUE(address.has_value()) << text;
      ASSERT_EQ(*address, IpAddress::V4({bytes[0], bytes[1], bytes[2], bytes[3]})) << text;
    } else if (::inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) {
      ASSERT_TRUE(address.has_value()) << text;
      ASSERT_EQ(*address, IpAddress::V6(bytes)) << text;
    } else {
      ASSERT_FALSE(address.has_value()) << text;
    }
  }
}

TEST(IpAddress, ReadsBackWhatItWrites) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (unsigned round = 0; round < 100'000; ++round) {
    std::array<std::uint8_t, 16> bytes{};
    for (std::uint8_t& byte : bytes) {
      byte = random() % 2 == 0 ? 0 : static_cast<std::uint8_t>(random());  // Many zeros.
    }
    const IpAddress address = IpAddress::V6(bytes);
    ASSERT_EQ(IpAddress::Parse(address.ToString()), address) << address.ToString();
  }
}

TEST(IpAddress, AMappedAddressIsItsIpv4Form) {
  EXPECT_EQ(Ip("::ffff:203.0.113.7"), Ip("203.0.113.7"));
  EXPECT_EQ(Ip("::ffff:cb00:7107"), Ip("203.0.113.7"));
  EXPECT_EQ(Ip("0:0:0:0:0:FFFF:203.0.113.7").ToString(), "203.0.113.7");
  EXPECT_TRUE(Ip("::ffff:203.0.113.7").is_v4());
  EXPECT_EQ(Ip("::ffff:203.0.113.7").Client(), Ip("203.0.113.7"));
  EXPECT_FALSE(Ip("::203.0.113.7").is_v4());  // Compatible, not mapped.
  EXPECT_FALSE(Ip("::fffe:203.0.113.7").is_v4());
  EXPECT_FALSE(Ip("1::ffff:203.0.113.7").is_v4());
  EXPECT_FALSE(Ip("::").is_v4());
}

TEST(IpAddress, AClientIsAnIpv4AddressOrAnIpv664) {
  EXPECT_EQ(Ip("203.0.113.7").Client(), Ip("203.0.113.7"));
  EXPECT_EQ(Ip("2001:db8:1:2:3:4:5:6").Client(), Ip("2001:db8:1:2::"));
  EXPECT_EQ(Ip("2001:db8:1:2::1").Client(), Ip("2001:db8:1:2:ffff:ffff:ffff:ffff").Client());
  EXPECT_NE(Ip("2001:db8:1:2::1").Client(), Ip("2001:db8:1:3::1").Client());
}

TEST(IpAddress, MasksWithinItsFamily) {
  EXPECT_EQ(Ip("203.0.113.255").Masked(24), Ip("203.0.113.0"));
  EXPECT_EQ(Ip("203.0.113.255").Masked(28), Ip("203.0.113.240"));
  EXPECT_EQ(Ip("203.0.113.255").Masked(0), Ip("0.0.0.0"));
  EXPECT_EQ(Ip("203.0.113.255").Masked(32), Ip("203.0.113.255"));
  EXPECT_EQ(Ip("203.0.113.255").Masked(99), Ip("203.0.113.255"));
  EXPECT_EQ(Ip("2001:db8:ffff::1").Masked(33), Ip("2001:db8:8000::"));
  EXPECT_EQ(Ip("2001:db8:ffff::1").Masked(0), Ip("::"));
  EXPECT_EQ(Ip("2001:db8:ffff::1").Masked(127), Ip("2001:db8:ffff::"));
  EXPECT_EQ(Ip("2001:db8:ffff::1").Masked(128), Ip("2001:db8:ffff::1"));
  EXPECT_EQ(Ip("2001:db8:ffff::1").Masked(999), Ip("2001:db8:ffff::1"));
}

TEST(IpPrefix, ReadsAndWritesPrefixesAndBareAddresses) {
  struct Row {
    std::string_view text;
    std::string_view canonical;
  };
  constexpr Row kRows[] = {
      {"10.0.0.0/8", "10.0.0.0/8"},
      {"0.0.0.0/0", "0.0.0.0/0"},
      {"203.0.113.7", "203.0.113.7/32"},
      {"203.0.113.7/32", "203.0.113.7/32"},
      {"2001:DB8::/32", "2001:db8::/32"},
      {"::/0", "::/0"},
      {"::1", "::1/128"},
      {"fe80::/10", "fe80::/10"},
      {"203.0.113.4/30", "203.0.113.4/30"},
      {"::ffff:10.0.0.0/8", "10.0.0.0/8"},  // Mapped: IPv4, with IPv4's length.
  };
  for (const Row& row : kRows) EXPECT_EQ(Prefix(row.text).ToString(), row.canonical) << row.text;
}

TEST(IpPrefix, TellsWhyATextIsNone) {
  using enum IpPrefix::Fault;
  struct Row {
    std::string_view text;
    IpPrefix::Fault fault;
  };
  constexpr Row kRows[] = {
      {"", kSyntax},
      {"/8", kSyntax},
      {"10.0.0/8", kSyntax},
      {"lan/8", kSyntax},
      {"10.0.0.0 /8", kSyntax},
      {"10.0.0.0/", kLength},
      {"10.0.0.0/33", kLength},
      {"10.0.0.0/-1", kLength},
      {"10.0.0.0/08", kLength},
      {"10.0.0.0/8/8", kLength},
      {"10.0.0.0/ 8", kLength},
      {"10.0.0.0/a", kLength},
      {"10.0.0.0/255.0.0.0", kLength},
      {"::/129", kLength},
      {"::/999999999999", kLength},
      {"10.0.0.1/8", kHostBits},
      {"203.0.113.7/31", kHostBits},
      {"2001:db8::1/64", kHostBits},
      {"0.0.0.1/0", kHostBits},
      {"::1/0", kHostBits},
  };
  for (const Row& row : kRows) {
    IpPrefix prefix;
    EXPECT_EQ(IpPrefix::Parse(row.text, prefix), row.fault) << row.text;
  }
}

TEST(IpPrefix, WithHostBitsItHoldsWhatWasProbablyMeant) {
  IpPrefix prefix;
  EXPECT_EQ(IpPrefix::Parse("192.168.1.7/24", prefix), IpPrefix::Fault::kHostBits);
  EXPECT_EQ(prefix.ToString(), "192.168.1.0/24");
  EXPECT_EQ(IpPrefix::Parse("2001:db8::1/48", prefix), IpPrefix::Fault::kHostBits);
  EXPECT_EQ(prefix.ToString(), "2001:db8::/48");
}

TEST(PrefixSet, TheEmptyOneContainsNothing) {
  EXPECT_TRUE(PrefixSet().empty());
  EXPECT_FALSE(PrefixSet().Contains(Ip("::")));
  EXPECT_TRUE(PrefixSet(std::vector<IpPrefix>()).empty());
}

TEST(PrefixSet, ContainsAPrefixFromItsFirstAddressToItsLast) {
  const PrefixSet set(std::vector{Prefix("10.0.0.0/8"), Prefix("2001:db8::/32"), Prefix("::1")});
  EXPECT_FALSE(set.empty());
  for (const std::string_view in : {"10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3", "2001:db8::",
                                    "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "::1"}) {
    EXPECT_TRUE(set.Contains(Ip(in))) << in;
  }
  for (const std::string_view out : {"9.255.255.255", "11.0.0.0", "0.0.0.0", "::", "::2",
                                     "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"}) {
    EXPECT_FALSE(set.Contains(Ip(out))) << out;
  }
}

TEST(PrefixSet, AllOfIpv4IsNoIpv6) {
  const PrefixSet set(std::vector{Prefix("0.0.0.0/0")});
  EXPECT_TRUE(set.Contains(Ip("0.0.0.0")));
  EXPECT_TRUE(set.Contains(Ip("255.255.255.255")));
  EXPECT_FALSE(set.Contains(Ip("::")));
  EXPECT_FALSE(set.Contains(Ip("2001:db8::1")));
}

TEST(PrefixSet, AllOfIpv6IsNoIpv4) {
  for (const char* text : {"::/0", "::/8", "::/64", "::/79"}) {
    const PrefixSet set(std::vector{Prefix(text), Prefix("10.0.0.0/8")});
    EXPECT_FALSE(set.Contains(Ip("192.0.2.1"))) << text;
    EXPECT_FALSE(set.Contains(Ip("0.0.0.0"))) << text;
    EXPECT_FALSE(set.Contains(Ip("255.255.255.255"))) << text;
    EXPECT_TRUE(set.Contains(Ip("10.2.3.4"))) << text;
    EXPECT_TRUE(set.Contains(Ip("::fffe:ffff:ffff"))) << text;
  }
  for (const char* text : {"::/80", "::8000:0:0/81", "::fffe:0:0/95"}) {
    const PrefixSet set(std::vector{Prefix(text)});
    EXPECT_FALSE(set.Contains(Ip("192.0.2.1"))) << text << " ends with the last of IPv4";
    EXPECT_TRUE(set.Contains(Ip("::fffe:1:2"))) << text;
  }
  const PrefixSet all(std::vector{Prefix("::/0")});
  EXPECT_TRUE(all.Contains(Ip("::")));
  EXPECT_TRUE(all.Contains(Ip("::1:0:0:0")));
  EXPECT_TRUE(all.Contains(Ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")));
}

TEST(PrefixSet, PrefixesInsideOthersHideNothing) {
  const PrefixSet set(std::vector{Prefix("10.2.0.0/16"), Prefix("10.0.0.0/8"),
                                  Prefix("10.1.0.0/16"), Prefix("10.1.1.0/24"),
                                  Prefix("10.0.0.0/16")});
  for (const std::string_view in : {"10.0.0.0", "10.1.1.1", "10.1.2.0", "10.3.0.0", "10.200.0.1"}) {
    EXPECT_TRUE(set.Contains(Ip(in))) << in;
  }
}

// Prefixes over few bits, so that they nest, repeat and touch; against one comparison each.
TEST(PrefixSet, AgreesWithALookAtEveryPrefix) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (unsigned round = 0; round < 2000; ++round) {
    std::vector<IpPrefix> prefixes;
    for (std::size_t count = random() % 8; count > 0; --count) {
      const auto octet = static_cast<std::uint8_t>(random());
      const unsigned bits = 24 + static_cast<unsigned>(random() % 9);
      prefixes.push_back({.address = IpAddress::V4({10, 0, 0, octet}).Masked(bits), .bits = bits});
    }
    const PrefixSet set(prefixes);
    for (unsigned octet = 0; octet < 256; ++octet) {
      const IpAddress address = IpAddress::V4({10, 0, 0, static_cast<std::uint8_t>(octet)});
      const bool inside = std::ranges::any_of(prefixes, [&](const IpPrefix& prefix) {
        return address.Masked(prefix.bits) == prefix.address;
      });
      ASSERT_EQ(set.Contains(address), inside) << octet;
    }
  }
}

}  // namespace
}  // namespace sluicegate
