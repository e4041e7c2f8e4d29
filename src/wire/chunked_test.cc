// The chunked coding at every cut, and where relayed bodies end.
#include "wire/chunked.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "wire/body_end.h"

namespace sluicegate::wire {
namespace {

using namespace std::string_literals;

struct Result {
  ParseState state = ParseState::kNeedMore;
  std::string payload;
  std::size_t consumed = 0;
  friend bool operator==(const Result&, const Result&) = default;
};

void Feed(ChunkedDecoder& decoder, std::string_view bytes, Result& result) {
  while (!bytes.empty() && result.state == ParseState::kNeedMore) {
    const auto step = decoder.Read(bytes);
    result.payload += step.payload;
    result.consumed += step.consumed;
    result.state = step.state;
    bytes.remove_prefix(step.consumed);
  }
}

Result DecodeCut(std::string_view bytes, std::size_t first, std::size_t second) {
  ChunkedDecoder decoder;
  Result result;
  Feed(decoder, bytes.substr(0, first), result);
  Feed(decoder, bytes.substr(first, second - first), result);
  Feed(decoder, bytes.substr(second), result);
  return result;
}

Result Decode(std::string_view bytes) { return DecodeCut(bytes, bytes.size(), bytes.size()); }

struct Good {
  std::string bytes;
  std::string payload;
};

const std::vector<Good>& GoodBodies() {
  static const std::vector<Good> bodies = {
      {"0\r\n\r\n", ""},
      {"5\r\nhello\r\n0\r\n\r\n", "hello"},
      {"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", "hello!"},
      {"a\r\n0123456789\r\nA\r\nabcdefghij\r\n000\r\n\r\n", "0123456789abcdefghij"},
      {"0000000000000002\r\n\r\n\r\n0\r\n\r\n", "\r\n"},
      {"3;a=b;c=\"d\"\r\nxyz\r\n0;last\r\n\r\n", "xyz"},
      {"1\r\nx\r\n0\r\nA: b\r\nX-Sum: 12\r\n\r\n", "x"},
      {"1\r\nx\r\n0\r\nA:\r\n\r\n", "x"},
      {"3\r\n\0\r\n\r\n0\r\n\r\n"s, "\0\r\n"s},
  };
  return bodies;
}

const std::vector<std::string>& BadBodies() {
  static const std::vector<std::string> bodies = {
      "\r\n",
      "x\r\n",
      ";\r\n",
      "-1\r\n",
      "+1\r\n",
      "0x1\r\n",
      " 1\r\n",
      "1 \r\nx\r\n",
      "1\t\r\nx\r\n",
      "1\nx\r\n",
      "1\rx\r\n",
      "1\r\nx\n",
      "1\r\nxy\r\n",
      "1\r\nx\r0\r\n",
      "2\r\nx\r\n\r\n",
      "5;a\nb\r\n",
      "5;a\0b\r\n"s,
      "5;a\r5\r\n",
      "00000000000000001\r\nx\r\n",
      "10000000000000000\r\n",
      "8000000000000000\r\n",
      "ffffffffffffffff\r\n",
      "1;" + std::string(257, 'e') + "\r\n",
      "0\r\n\n",
      "0\r\nA\r\n\r\n",
      "0\r\n A: b\r\n\r\n",
      "0\r\nA : b\r\n\r\n",
      "0\r\nA: b\n\r\n",
      "0\r\nA: b\r\r\n",
      "0\r\nA: \0\r\n"s,
      "0\r\n: b\r\n",
      "0\r\nA: " + std::string(8192, 'b') + "\r\n\r\n",
      "0\r\n\rx",
  };
  return bodies;
}

TEST(ChunkedTest, DecodesAtEveryPairOfCuts) {
  for (const Good& good : GoodBodies()) {
    const std::string bytes = good.bytes + "GET /next";
    for (std::size_t second = 0; second <= bytes.size(); ++second) {
      for (std::size_t first = 0; first <= second; ++first) {
        const Result result = DecodeCut(bytes, first, second);
        ASSERT_EQ(result.state, ParseState::kDone) << good.bytes;
        ASSERT_EQ(result.payload, good.payload) << good.bytes;
        ASSERT_EQ(result.consumed, good.bytes.size()) << good.bytes;
      }
    }
  }
}

TEST(ChunkedTest, APrefixIsNeverTheWhole) {
  for (const Good& good : GoodBodies()) {
    for (std::size_t size = 0; size < good.bytes.size(); ++size) {
      EXPECT_EQ(Decode(good.bytes.substr(0, size)).state, ParseState::kNeedMore);
    }
  }
}

TEST(ChunkedTest, RefusesAtEveryCutWithASentence) {
  for (const std::string& bytes : BadBodies()) {
    const Result whole = Decode(bytes);
    ASSERT_EQ(whole.state, ParseState::kRefused) << bytes;
    for (std::size_t cut = 0; cut <= std::min<std::size_t>(bytes.size(), 400); ++cut) {
      ASSERT_EQ(DecodeCut(bytes, cut, bytes.size()), whole) << bytes << " at " << cut;
    }
    ChunkedDecoder decoder;
    Result result;
    Feed(decoder, bytes, result);
    EXPECT_EQ(decoder.refusal().status, 400);
    EXPECT_FALSE(decoder.refusal().detail.empty());
  }
}

TEST(ChunkedTest, TakesTheLargestSizeBelowTwoToThe63) {
  EXPECT_EQ(Decode("7fffffffffffffff\r\nxyz"), (Result{ParseState::kNeedMore, "xyz", 21}));
}

TEST(ChunkedTest, BoundsTheExtensionsOfABody) {
  // 64 times 256 bytes are the 16 KiB; one more is too many.
  std::string bytes;
  for (int i = 0; i < 64; ++i) bytes += "1;" + std::string(256, 'e') + "\r\nx\r\n";
  EXPECT_EQ(Decode(bytes).state, ParseState::kNeedMore);
  EXPECT_EQ(Decode(bytes + "1;e\r\n").state, ParseState::kRefused);
}

TEST(ChunkedTest, WhatIsEncodedDecodes) {
  EXPECT_EQ(ChunkHead(26).view(), "1a\r\n");
  EXPECT_EQ(ChunkHead(~std::uint64_t{0}).view(), "ffffffffffffffff\r\n");
  for (const std::size_t size : {1UL, 15UL, 16UL, 255UL, 4096UL, 65537UL}) {
    const std::string payload(size, 'p');
    std::string bytes(ChunkHead(size).view());
    bytes += payload;
    bytes += kChunkEnd;
    bytes += kLastChunk;
    EXPECT_EQ(Decode(bytes), (Result{ParseState::kDone, payload, bytes.size()}));
  }
}

BodyEnd EndOf(Framing framing, std::uint64_t length = 0) {
  MessageHead head;
  head.framing = framing;
  head.content_length = length;
  return BodyEnd(head);
}

TEST(BodyEndTest, NoBodyIsOverAtOnce) {
  BodyEnd end = EndOf(Framing::kNone, 7);
  const auto step = end.Advance("rest");
  EXPECT_EQ(step.state, ParseState::kDone);
  EXPECT_EQ(step.body, 0U);
  EXPECT_TRUE(end.DoneAtClose());
}

TEST(BodyEndTest, ALengthIsCountedDown) {
  BodyEnd end = EndOf(Framing::kLength, 5);
  auto step = end.Advance("abc");
  EXPECT_EQ(step.state, ParseState::kNeedMore);
  EXPECT_EQ(step.body, 3U);
  EXPECT_FALSE(end.DoneAtClose());
  step = end.Advance("defg");
  EXPECT_EQ(step.state, ParseState::kDone);
  EXPECT_EQ(step.body, 2U);
  EXPECT_EQ(end.Advance("x").body, 0U);
}

TEST(BodyEndTest, ChunksAreRelayedWithTheirFraming) {
  const std::string body = "5;x\r\nhello\r\n0\r\nA: b\r\n\r\n";
  for (std::size_t cut = 0; cut < body.size(); ++cut) {
    BodyEnd end = EndOf(Framing::kChunked);
    const auto first = end.Advance(std::string_view(body).substr(0, cut));
    ASSERT_EQ(first.state, ParseState::kNeedMore);
    ASSERT_EQ(first.body, cut);
    EXPECT_FALSE(end.DoneAtClose());
    const auto second = end.Advance(body.substr(cut) + "HTTP/1.1 200 ");
    ASSERT_EQ(second.state, ParseState::kDone);
    ASSERT_EQ(second.body, body.size() - cut);
  }
}

TEST(BodyEndTest, BadChunksAreRefusedForGood) {
  BodyEnd end = EndOf(Framing::kChunked);
  EXPECT_EQ(end.Advance("zz\r\n").state, ParseState::kRefused);
  EXPECT_EQ(end.Advance("0\r\n\r\n").state, ParseState::kRefused);
  EXPECT_TRUE(end.refusal());
}

TEST(BodyEndTest, OnlyCloseEndsABodyWithoutLength) {
  BodyEnd end = EndOf(Framing::kUntilClose);
  const auto step = end.Advance("0\r\n\r\n");
  EXPECT_EQ(step.state, ParseState::kNeedMore);
  EXPECT_EQ(step.body, 5U);
  EXPECT_TRUE(end.DoneAtClose());
}

}  // namespace
}  // namespace sluicegate::wire
