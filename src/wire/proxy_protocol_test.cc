#include "wire/proxy_protocol.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <initializer_list>
#include <string>

namespace sluicegate::wire {
namespace {

using testing::HasSubstr;

constexpr std::string_view kSignature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::string_view kRest = "GET / HTTP/1.1\r\n";

std::string Bytes(std::initializer_list<int> values) {
  std::string bytes;
  for (const int value : values) bytes.push_back(static_cast<char>(value));
  return bytes;
}

std::string Binary(int command, int family, const std::string& block) {
  const auto size = static_cast<int>(block.size());
  return std::string(kSignature) + Bytes({command, family, size >> 8, size & 0xFF}) + block;
}

std::string Tlv(int type, const std::string& value) {
  const auto size = static_cast<int>(value.size());
  return Bytes({type, size >> 8, size & 0xFF}) + value;
}

const std::string kEnds4 = Bytes({192, 0, 2, 1, 198, 51, 100, 1, 0xDC, 0x04, 0x01, 0xBB});

std::string Ends6() {
  return Bytes({0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}) +
         Bytes({0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}) +
         Bytes({0xDC, 0x04, 0x01, 0xBB});
}

ProxySource From(std::string_view address, std::uint16_t port) {
  return {.address = IpAddress::Parse(address).value(), .port = port};
}

// The whole of it, whatever follows; and every shorter part of it needs more.
void ExpectDone(const std::string& header, const std::optional<ProxySource>& source) {
  const ProxyHeader done{.state = ParseState::kDone, .consumed = header.size(), .source = source};
  EXPECT_EQ(ParseProxyHeader(header), done);
  EXPECT_EQ(ParseProxyHeader(header + std::string(kRest)), done);
  for (std::size_t i = 0; i < header.size(); ++i) {
    ASSERT_EQ(ParseProxyHeader(header.substr(0, i)), ProxyHeader()) << "at " << i;
  }
}

void ExpectRefused(const std::string& bytes, std::string_view why) {
  const ProxyHeader header = ParseProxyHeader(bytes);
  EXPECT_EQ(header.state, ParseState::kRefused) << testing::PrintToString(bytes);
  EXPECT_THAT(std::string(header.reason), HasSubstr(why)) << testing::PrintToString(bytes);
  EXPECT_EQ(header.consumed, 0U);
  EXPECT_FALSE(header.source);
  EXPECT_EQ(ParseProxyHeader(bytes + std::string(kRest)), header);
}

TEST(ProxyLineTest, NamesTheSource) {
  ExpectDone("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", From("192.0.2.1", 56324));
  ExpectDone("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
             From("255.255.255.255", 65535));
  ExpectDone("PROXY TCP6 2001:DB8::1 ::1 0 0\r\n", From("2001:db8::1", 0));
  ExpectDone("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", From("192.0.2.1", 1));
}

TEST(ProxyLineTest, UnknownIsNobodyWhateverFollows) {
  ExpectDone("PROXY UNKNOWN\r\n", std::nullopt);
  ExpectDone("PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", std::nullopt);
  ExpectDone("PROXY UNKNOWN  what not\r\n", std::nullopt);
  ExpectRefused("PROXY UNKNOWNS\r\n", "another protocol");
}

TEST(ProxyLineTest, IsReadStrictly) {
  for (const char* line : {
           "PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n",
           "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 \r\n",
           "PROXY TCP4  192.0.2.1 198.51.100.1 56324 443\r\n",
           "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 1\r\n",
           "PROXY TCP4 192.0.2.1 198.51.100.1 056324 443\r\n",
           "PROXY TCP4 192.0.2.1 198.51.100.1 00 443\r\n",
           "PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n",
           "PROXY TCP4 192.0.2.1 198.51.100.1 56324 65536\r\n",
           "PROXY TCP4 192.0.2.1 198.51.100.1 +1 443\r\n",
           "PROXY TCP4 192.0.2.1 198.51.100.1 1 \r\n",
           "PROXY TCP4 192.0.2.01 198.51.100.1 1 2\r\n",
           "PROXY TCP4 192.0.2.1 198.51.100.256 1 2\r\n",
           "PROXY TCP4 ::1 ::1 1 2\r\n",
           "PROXY TCP4 192.0.2.1 ::1 1 2\r\n",
           "PROXY TCP6 192.0.2.1 ::1 1 2\r\n",
           "PROXY TCP6 ::1 192.0.2.1 1 2\r\n",
           "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
           "PROXY TCP6 [::1] ::1 1 2\r\n",
       }) {
    ExpectRefused(line, "no good addresses or ports");
  }
  for (const char* line : {"PROXY \r\n", "PROXY TCP4\r\n", "PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n",
                           "PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY  TCP4 a b c d\r\n"}) {
    ExpectRefused(line, "another protocol");
  }
  ExpectRefused("PROXY UNKNOWN\n", "does not end in CR and LF");
  ExpectRefused("PROXY UNKNOWN\rx", "does not end in CR and LF");
  ExpectRefused("PROXY UNKNOWN a\nb\r\n", "does not end in CR and LF");
}

TEST(ProxyLineTest, IsAtMost107Bytes) {
  const std::string longest = "PROXY UNKNOWN " + std::string(91, 'x');
  ASSERT_EQ(longest.size() + 2, kMaxProxyLine);
  ExpectDone(longest + "\r\n", std::nullopt);
  EXPECT_EQ(ParseProxyHeader(longest + "x").state, ParseState::kNeedMore);
  ExpectRefused(longest + "x\r", "more than 107 bytes");
  ExpectRefused(longest + "x\r\n", "more than 107 bytes");
  ExpectRefused(longest + "xx", "more than 107 bytes");
}

TEST(ProxyBinaryTest, NamesTheSource) {
  ExpectDone(Binary(0x21, 0x11, kEnds4), From("192.0.2.1", 56324));
  ExpectDone(Binary(0x21, 0x21, Ends6()), From("2001:db8::1", 56324));
  std::string mapped = Ends6();
  mapped.replace(0, 16, std::string(10, '\0') + Bytes({0xFF, 0xFF, 192, 0, 2, 1}));
  ExpectDone(Binary(0x21, 0x21, mapped), From("192.0.2.1", 56324));
}

TEST(ProxyBinaryTest, SomeNameNobody) {
  ExpectDone(Binary(0x20, 0x00, ""), std::nullopt);
  ExpectDone(Binary(0x20, 0x11, kEnds4), std::nullopt);
  ExpectDone(Binary(0x20, 0xFF, "whatever"), std::nullopt);
  ExpectDone(Binary(0x21, 0x00, ""), std::nullopt);
  ExpectDone(Binary(0x21, 0x00, "whatever"), std::nullopt);
  ExpectDone(Binary(0x21, 0x31, std::string(216, 's')), std::nullopt);
}

TEST(ProxyBinaryTest, TlvsArePassedOver) {
  const std::string tlvs =
      Tlv(0x02, "example.com") + Tlv(0x04, "") + Tlv(0xEA, std::string(300, 'v'));
  ExpectDone(Binary(0x21, 0x11, kEnds4 + tlvs), From("192.0.2.1", 56324));
  ExpectDone(Binary(0x21, 0x21, Ends6() + tlvs), From("2001:db8::1", 56324));
  ExpectDone(Binary(0x21, 0x31, std::string(216, 's') + tlvs), std::nullopt);
  ExpectRefused(Binary(0x21, 0x11, kEnds4 + Bytes({0x02, 0})), "cut off");
  ExpectRefused(Binary(0x21, 0x11, kEnds4 + Bytes({0x02, 0, 2, 'x'})), "cut off");
}

TEST(ProxyBinaryTest, ItsLengthIsBounded) {
  const std::string most = Tlv(0x04, std::string(kMaxProxyTlvs - 3, 'x'));
  ExpectDone(Binary(0x21, 0x11, kEnds4 + most), From("192.0.2.1", 56324));
  const std::string longest = Binary(0x21, 0x31, std::string(216, 's') + most);
  EXPECT_EQ(longest.size(), kMaxProxyHeader);
  ExpectDone(longest, std::nullopt);
  // Told before the bytes came.
  ExpectRefused(Binary(0x21, 0x11, kEnds4 + most + "x").substr(0, 16), "over 4 KiB");
  ExpectRefused(Binary(0x20, 0x00, most + "x").substr(0, 16), "over 4 KiB");
  ExpectRefused(std::string(kSignature) + Bytes({0x21, 0x11, 0xFF, 0xFF}), "over 4 KiB");
  ExpectRefused(Binary(0x21, 0x11, kEnds4.substr(1)), "too short");
  ExpectRefused(Binary(0x21, 0x21, kEnds4), "too short");
  ExpectRefused(Binary(0x21, 0x31, Ends6()), "too short");
}

TEST(ProxyBinaryTest, OtherVersionsAndFamiliesAreRefused) {
  for (const int command : {0x11, 0x22, 0x2F, 0x31, 0x01}) {
    ExpectRefused(Binary(command, 0x11, kEnds4), "another version");
  }
  for (const int family : {0x01, 0x10, 0x12, 0x13, 0x22, 0x32, 0x41, 0xFF}) {
    ExpectRefused(Binary(0x21, family, std::string(216, 's')), "unknown family");
  }
}

TEST(ProxyBinaryTest, AChecksumMustHold) {
  // CRC32c of the header with zeros in its place, computed bit by bit from its polynomial
  // 0x1EDC6F41.
  const std::string good = Bytes({0x4E, 0xD1, 0x3E, 0x28});
  ExpectDone(Binary(0x21, 0x11, kEnds4 + Tlv(0x03, good) + Tlv(0x02, "a")),
             From("192.0.2.1", 56324));
  const std::string whole = Binary(0x21, 0x11, kEnds4 + Tlv(0x03, good) + Tlv(0x02, "a"));
  for (const std::size_t place : {16U, 26U, 31U, 34U, 38U}) {
    std::string changed = whole;
    changed[place] = static_cast<char>(changed[place] ^ 1);
    ExpectRefused(changed, "checksum does not hold");
  }
  ExpectRefused(Binary(0x21, 0x11, kEnds4 + Tlv(0x03, "abc")), "checksum does not hold");
  ExpectRefused(Binary(0x21, 0x11, kEnds4 + Tlv(0x03, good) + Tlv(0x03, good)),
                "checksum does not hold");
}

TEST(ProxyHeaderTest, WhatBeginsOtherwiseIsRefusedAtItsFirstWrongByte) {
  EXPECT_EQ(ParseProxyHeader(""), ProxyHeader());
  for (const char* bytes : {"G", "GET / HTTP/1.1\r\n", "\x16\x03\x01", "\n", "PROXY\t", "PR ",
                            "\r\r", " PROXY TCP4", "proxy "}) {
    ExpectRefused(bytes, "does not begin with a PROXY header");
  }
  ExpectRefused(std::string(kSignature.substr(0, 11)) + "x", "does not begin");
}

}  // namespace
}  // namespace sluicegate::wire
