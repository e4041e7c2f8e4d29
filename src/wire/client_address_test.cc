// Who the client is: what trusted proxies say counts, what strangers say does not.
#include "wire/client_address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "wire/forwarded.h"

namespace sluicegate::wire {
namespace {

PrefixSet Trusted() {
  std::vector<IpPrefix> prefixes;
  for (const std::string_view text : {"10.0.0.0/8", "fd00::/8"}) {
    IpPrefix prefix;
    EXPECT_EQ(IpPrefix::Parse(text, prefix), IpPrefix::Fault::kNone);
    prefixes.push_back(prefix);
  }
  return PrefixSet(prefixes);
}

std::string Client(std::string_view peer, const std::vector<Field>& fields,
                   ClientField field = ClientField::kXForwardedFor,
                   std::optional<unsigned> hops = std::nullopt) {
  const PrefixSet trusted = Trusted();
  const ClientAddress client =
      FindClientAddress(*IpAddress::Parse(peer),
                        {.trusted_proxies = trusted, .trusted_hops = hops, .field = field}, fields);
  return client.address.ToString() + (client.peer_trusted ? "" : " untrusted");
}

std::string ByXff(std::string_view value) {
  return Client("10.0.0.1", {{"X-Forwarded-For", value}});
}
std::string ByForwarded(std::string_view value) {
  return Client("10.0.0.1", {{"Forwarded", value}}, ClientField::kForwarded);
}

TEST(ClientAddressTest, AStrangerCannotSayWhoHeIs) {
  for (const auto field : {ClientField::kXForwardedFor, ClientField::kForwarded}) {
    EXPECT_EQ(Client("192.0.2.9",
                     {{"X-Forwarded-For", "198.51.100.1"},
                      {"Forwarded", "for=198.51.100.1"},
                      {"X-Real-IP", "198.51.100.1"}},
                     field, 1),
              "192.0.2.9 untrusted");
  }
}

TEST(ClientAddressTest, WalksPastTrustedProxiesFromTheRight) {
  EXPECT_EQ(ByXff("192.0.2.1"), "192.0.2.1");
  EXPECT_EQ(ByXff("198.51.100.7, 192.0.2.1"), "192.0.2.1");
  EXPECT_EQ(ByXff("198.51.100.7, 192.0.2.1, 10.1.1.1,10.2.2.2"), "192.0.2.1");
  EXPECT_EQ(ByXff("1.1.1.1,2.2.2.2,garbage,192.0.2.1"), "192.0.2.1");
  EXPECT_EQ(ByXff("10.3.3.3, 10.4.4.4"), "10.3.3.3");  // All are trusted: the leftmost.
  EXPECT_EQ(ByXff(""), "10.0.0.1");
  EXPECT_EQ(Client("10.0.0.1", {}), "10.0.0.1");
}

TEST(ClientAddressTest, ReadsAddressesWithPorts) {
  EXPECT_EQ(ByXff("192.0.2.1:4711"), "192.0.2.1");
  EXPECT_EQ(ByXff("[2001:db8::1]:80"), "2001:db8::1");
  EXPECT_EQ(ByXff("[2001:db8::1]"), "2001:db8::1");
  EXPECT_EQ(ByXff("2001:db8::1"), "2001:db8::1");
  EXPECT_EQ(ByXff(" \t192.0.2.1\t , fd00::1"), "192.0.2.1");
  EXPECT_EQ(ByXff("::ffff:192.0.2.1"), "192.0.2.1");
  EXPECT_EQ(ByXff("192.0.2.1, ::ffff:10.0.0.7"), "192.0.2.1");
}

TEST(ClientAddressTest, MalformedElementsStopAtTheLastGoodHop) {
  for (const std::string bad : {"garbage",
                                "unknown",
                                "_hidden",
                                "1.2.3",
                                "1.2.3.4.5",
                                "256.1.1.1",
                                "01.2.3.4",
                                "1.2.3.4:",
                                "1.2.3.4:x",
                                "1.2.3.4:123456",
                                "[::1",
                                "::1]",
                                "[::1]x",
                                "[::1]:",
                                "[1.2.3.4]",
                                "[]",
                                "",
                                "fe80::1%eth0",
                                "\"1.2.3.4\"",
                                "1.2.3.4;5",
                                "1.2.3.4 5.6.7.8",
                                "for=1.2.3.4"}) {
    EXPECT_EQ(ByXff("192.0.2.1, " + bad + ", 10.5.5.5"), "10.5.5.5") << bad;
    EXPECT_EQ(ByXff("192.0.2.1, " + bad), "10.0.0.1") << bad;
  }
}

TEST(ClientAddressTest, JoinsLinesInOrder) {
  EXPECT_EQ(Client("10.0.0.1", {{"X-Forwarded-For", "198.51.100.7"},
                                {"Accept", "1.1.1.1"},
                                {"x-forwarded-for", "192.0.2.1, 10.1.1.1"},
                                {"X-FORWARDED-FOR", "10.2.2.2"}}),
            "192.0.2.1");
  EXPECT_EQ(Client("10.0.0.1", {{"X-Forwarded-For", "192.0.2.1"}, {"X-Forwarded-For", ""}}),
            "192.0.2.1");
  EXPECT_EQ(Client("10.0.0.1", {{"X-Forwarded-For", "192.0.2.1"}, {"X-Forwarded-For", "x"}}),
            "10.0.0.1");
}

TEST(ClientAddressTest, ReadsOneFieldOnly) {
  const std::vector<Field> fields = {{"X-Forwarded-For", "192.0.2.1"},
                                     {"Forwarded", "for=198.51.100.7"}};
  EXPECT_EQ(Client("10.0.0.1", fields, ClientField::kXForwardedFor), "192.0.2.1");
  EXPECT_EQ(Client("10.0.0.1", fields, ClientField::kForwarded), "198.51.100.7");
  EXPECT_EQ(Client("10.0.0.1", fields, ClientField::kNone), "10.0.0.1");
}

TEST(ClientAddressTest, WalksAtMostSixteenHops) {
  std::string value = "192.0.2.1";
  for (int i = 15; i >= 1; --i) value += ", 10.1.1." + std::to_string(i);
  EXPECT_EQ(ByXff(value), "192.0.2.1");  // The sixteenth.
  EXPECT_EQ(ByXff(value + ", 10.1.2.1"), "10.1.1.15");
}

TEST(ClientAddressTest, TakesTheGivenNumberOfHops) {
  const std::vector<Field> fields = {{"X-Forwarded-For", "1.1.1.1, 2.2.2.2, 10.9.9.9, 4.4.4.4"}};
  const auto at = [&fields](unsigned hops) {
    return Client("10.0.0.1", fields, ClientField::kXForwardedFor, hops);
  };
  EXPECT_EQ(at(0), "10.0.0.1");
  EXPECT_EQ(at(1), "4.4.4.4");
  EXPECT_EQ(at(2), "10.9.9.9");
  EXPECT_EQ(at(3), "2.2.2.2");
  EXPECT_EQ(at(4), "1.1.1.1");
  EXPECT_EQ(at(9), "1.1.1.1");  // Fewer elements than hops: the last good one.
}

TEST(ClientAddressTest, ReadsForwarded) {
  EXPECT_EQ(ByForwarded("for=192.0.2.43"), "192.0.2.43");
  EXPECT_EQ(ByForwarded("For=\"[2001:db8:cafe::17]:4711\""), "2001:db8:cafe::17");
  EXPECT_EQ(ByForwarded("for=\"192.0.2.43:47011\""), "192.0.2.43");
  EXPECT_EQ(ByForwarded("for=\"192.0.2.43:_port\""), "192.0.2.43");
  EXPECT_EQ(ByForwarded("for=192.0.2.60;proto=http;by=203.0.113.43"), "192.0.2.60");
  EXPECT_EQ(ByForwarded("proto=http ; FOR=192.0.2.60"), "192.0.2.60");
  EXPECT_EQ(ByForwarded("for=1.1.1.1, for=192.0.2.60, for=10.1.1.1"), "192.0.2.60");
  EXPECT_EQ(ByForwarded("for=192.0.2.60;host=\"a,b\", for=10.1.1.1"), "192.0.2.60");
  EXPECT_EQ(ByForwarded(R"(for=192.0.2.60;host="a\",\\", for=10.1.1.1)"), "192.0.2.60");
}

TEST(ForwardedList, IsWellFormedToItsEnd) {
  for (const std::string good :
       {R"(for=192.0.2.60;proto=http;by=203.0.113.43)",
        R"(for=1.1.1.1, for="[2001:db8::1]:80",for=_x)", R"(For="a\"b\\c, d;e" ; by=x)",
        R"(for="")", R"(, for=x;;by=y; ,)", " \t", ""}) {
    EXPECT_TRUE(IsForwardedList(good)) << good;
  }
  for (const std::string bad :
       {R"(for=1.1.1.1, for="x)", R"(for="x\")", R"(for="x\)", R"(")", R"(for="x"y)", "for",
        "for=", "=x", "for= x", "for =x", "for=x y", "for=x by=y", R"(for=x")", "for=[::1]",
        "for=1.1.1.1:80", "for=\"\n\"", "for=\"\\\x7f\"", "for=x/y", "(for=x)"}) {
    EXPECT_FALSE(IsForwardedList(bad)) << bad;
    EXPECT_FALSE(IsForwardedList("for=y, " + bad)) << bad;
    EXPECT_FALSE(IsForwardedList(bad + ";by=z")) << bad;
  }
}

TEST(ClientAddressTest, ForwardedStopsAtWhatIsNoAddress) {
  for (const std::string bad :
       {"for=unknown", "for=_hidden", "for=", "for", "proto=http", "for=1.1.1.1;for=2.2.2.2",
        "for=1.2.3.4:80", "for=[::1]", "for=\"::1\"", "for=\"[::1\"", "for=\"1.1.1.1", "for=x;;",
        "=1.1.1.1", "f or=1.1.1.1", "for=\"1.1.1.1\"x", "for=\"1.1.1.1\\\"", ""}) {
    EXPECT_EQ(ByForwarded("for=192.0.2.1, " + bad), "10.0.0.1") << bad;
    EXPECT_EQ(ByForwarded("for=192.0.2.1, " + bad + ", for=10.5.5.5"), "10.5.5.5") << bad;
  }
}

// Whatever a stranger sends, the element that the trusted proxy appended is read as it is.
TEST(ClientAddressTest, AStrangersPrefixCannotChangeHowTheRestIsRead) {
  for (const std::string prefix : {"for=\"", "for=\"1.1.1.1", "\"", "\\", "for=\"\\", ",,,",
                                   "for=1.1.1.1;", "\"\"\"", ";=,\""}) {
    EXPECT_EQ(ByForwarded(prefix + ", for=192.0.2.60"), "192.0.2.60") << prefix;
    EXPECT_EQ(ByForwarded(prefix + ",for=\"[2001:db8::1]:80\";proto=https, for=10.1.1.1"),
              "2001:db8::1")
        << prefix;
    EXPECT_EQ(ByXff(prefix + ", 192.0.2.60"), "192.0.2.60") << prefix;
  }
}

}  // namespace
}  // namespace sluicegate::wire
