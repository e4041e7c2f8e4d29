// Which trailers go on, and that how the bytes are cut changes nothing in it.
#include "wire/trailers.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "wire/body_end.h"

namespace sluicegate::wire {
namespace {

// An answer in chunks whose Connection names these.
MessageHead Head(const std::vector<std::string_view>& connection = {}) {
  MessageHead head;
  head.framing = Framing::kChunked;
  for (const std::string_view name : connection) {
    head.connection_storage[head.connection_count++] = name;
  }
  return head;
}

struct Relayed {
  ParseState state = ParseState::kNeedMore;
  std::string body;      // As it came, without its trailers.
  std::string trailers;  // Those that go on, once they are whole.
  friend bool operator==(const Relayed&, const Relayed&) = default;
};

// As an exchange does it, in pieces that begin at `cuts`.
Relayed Relay(std::string_view bytes, std::vector<std::size_t> cuts,
              const MessageHead& head = Head()) {
  BodyEnd end(head);
  Trailers trailers(head);
  Relayed relayed;
  cuts.push_back(bytes.size());
  std::size_t at = 0;
  for (const std::size_t cut : cuts) {
    const std::string_view piece = bytes.substr(at, cut - at);
    const BodyEnd::Step step = end.Advance(piece);
    EXPECT_LE(step.trailers, step.body);
    relayed.body += piece.substr(0, step.body - step.trailers);
    trailers.Add(piece.substr(step.body - step.trailers, step.trailers));
    relayed.state = step.state;
    at = cut;
  }
  if (relayed.state == ParseState::kDone) relayed.trailers = trailers.Filter("x-request-id");
  return relayed;
}

std::string Filtered(std::string_view section, const std::vector<std::string_view>& named = {}) {
  const Relayed relayed = Relay("0\r\n" + std::string(section), {}, Head(named));
  EXPECT_EQ(relayed.state, ParseState::kDone);
  return relayed.trailers;
}

TEST(Trailers, TheSectionIsSplitOffAtEveryPairOfCuts) {
  const std::string body = "2;a=b\r\nok\r\n0;c\r\n";
  const std::string bytes = body + "Digest: x\r\nDATE: now\r\nx-request-id: 1\r\nX-Sum:1 \r\n\r\n";
  const Relayed wanted{ParseState::kDone, body, "Digest: x\r\nX-Sum:1 \r\n\r\n"};
  const std::string all = bytes + "HTTP/1.1 200 OK\r\n";
  for (std::size_t second = 0; second <= bytes.size(); ++second) {
    for (std::size_t first = 0; first <= second; ++first) {
      // What is behind the end must come with it: the next piece would be another message's.
      ASSERT_EQ(Relay(bytes, {first, second}), wanted) << first << ' ' << second;
    }
  }
  EXPECT_EQ(Relay(all, {}), wanted);
}

TEST(Trailers, AnEmptySectionIsNoneAtEveryCut) {
  const std::string bytes = "2\r\nok\r\n0\r\n\r\n";
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    EXPECT_EQ(Relay(bytes, {cut}), (Relayed{ParseState::kDone, bytes, ""})) << cut;
  }
}

TEST(Trailers, NothingOfARefusedSectionGoesOn) {
  for (const std::string_view section :
       {"X: y\r\n z\r\n\r\n", "X: y\n", "HTTP/1.1 200 OK\r\n\r\n", "X: y\r\n\rz"}) {
    const std::string bytes = "0\r\n" + std::string(section);
    for (std::size_t cut = 0; cut < 4; ++cut) {
      EXPECT_EQ(Relay(bytes, {cut}), (Relayed{ParseState::kRefused, "0\r\n", ""})) << section;
    }
  }
}

TEST(Trailers, TheLargestSectionGoesOn) {
  // The bound counts all but the last line's LF.
  const std::string line = "X: " + std::string(kMaxTrailerBytes - 6, 'y') + "\r\n";
  EXPECT_EQ(Filtered(line + "\r\n"), line + "\r\n");
  EXPECT_EQ(Relay("0\r\nX" + line + "\r\n", {}).state, ParseState::kRefused);
}

TEST(Trailers, WhatMayStandThereGoesOnAsItCame) {
  for (const std::string section :
       {"Digest: x\r\n\r\n", "grpc-status:0\r\ngrpc-message:  a b \r\n\r\n", "ETag: \"a\"\r\n\r\n",
        "Server-Timing: db;dur=53\r\nA:\r\nA: 2\r\n\r\n", "Content-Digest: x\r\n\r\n",
        "content-md5: x\r\n\r\n", "Authentication-Info: x\r\n\r\n", "Conten: 1\r\n\r\n",
        "I: 1\r\nX-Rate: 1\r\n\r\n"}) {
    EXPECT_EQ(Filtered(section), section);
  }
}

TEST(Trailers, WhatAClientCouldActOnIsDropped) {
  for (const std::string name : {"Transfer-Encoding",
                                 "Content-Length",
                                 "Connection",
                                 "Keep-Alive",
                                 "Proxy-Connection",
                                 "Proxy-Authenticate",
                                 "Proxy-Authorization",
                                 "TE",
                                 "Trailer",
                                 "Upgrade",
                                 "Host",
                                 "Expect",
                                 "Max-Forwards",
                                 "Range",
                                 "Pragma",
                                 "If-None-Match",
                                 "If-Range",
                                 "Authorization",
                                 "WWW-Authenticate",
                                 "Proxy-Authentication-Info",
                                 "Cookie",
                                 "Set-Cookie",
                                 "Age",
                                 "Cache-Control",
                                 "Date",
                                 "Expires",
                                 "Location",
                                 "Vary",
                                 "Warning",
                                 "Content-Type",
                                 "Content-Encoding",
                                 "Content-Range",
                                 "Content-Disposition",
                                 "Content-Security-Policy",
                                 "Retry-After",
                                 "RateLimit",
                                 "RateLimit-Policy",
                                 "RateLimit-Partition",
                                 "RateLimit-Remaining",
                                 "X-RateLimit-Limit",
                                 "X-RateLimit-Remaining",
                                 "X-RateLimit-Reset",
                                 "X-Request-Id"}) {
    std::string shouted;
    for (const char c : name)
      shouted += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    EXPECT_EQ(Filtered("A: 1\r\n" + name + ": 1\r\n" + shouted + ":\r\nB: 2\r\n\r\n"),
              "A: 1\r\nB: 2\r\n\r\n");
    EXPECT_EQ(Filtered(name + ": 1\r\n\r\n"), "\r\n");
  }
}

TEST(Trailers, WhatConnectionNamedIsDropped) {
  EXPECT_EQ(Filtered("X-A: 1\r\nX-B: 2\r\nClose: 3\r\n\r\n", {"close", "x-a"}),
            "X-B: 2\r\nClose: 3\r\n\r\n");
}

TEST(Trailers, WithoutAnOwnFieldNoneIsTakenForIt) {
  Trailers trailers(Head());
  EXPECT_TRUE(trailers.empty());
  trailers.Add("X-Request-Id: 1\r\n\r\n");
  EXPECT_FALSE(trailers.empty());
  EXPECT_EQ(trailers.Filter({}), "X-Request-Id: 1\r\n\r\n");
}

}  // namespace
}  // namespace sluicegate::wire
