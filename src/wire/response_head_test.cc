// Response heads: the same for what an upstream says.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "wire/head_for_test.h"

namespace sluicegate::wire {
namespace {

using namespace std::string_literals;

struct ResponseVector {
  int status;  // 200: accepted.
  std::string bytes;
  Framing framing = Framing::kNone;
};

std::string Reply(const std::string& status, const std::string& lines = "") {
  return "HTTP/1.1 " + status + "\r\n" + lines + "\r\n";
}

const std::vector<ResponseVector>& ResponseVectors() {
  static const std::vector<ResponseVector> vectors = {
      {200, Reply("200 OK"), Framing::kUntilClose},
      {200, Reply("200 "), Framing::kUntilClose},
      {200, Reply("200"), Framing::kUntilClose},
      {200, Reply("200 Caf\xC3\xA9 au lait"), Framing::kUntilClose},
      {200, Reply("200 OK", "Content-Length: 3\r\n"), Framing::kLength},
      {200, Reply("200 OK", "Content-Length: 0\r\n"), Framing::kNone},
      {200, Reply("200 OK", "Transfer-Encoding: chunked\r\n"), Framing::kChunked},
      {200, Reply("200 OK", "Transfer-Encoding: Chunked\r\n"), Framing::kChunked},
      {200, Reply("204 No Content"), Framing::kNone},
      {200, Reply("204 No Content", "Content-Length: 0\r\n"), Framing::kNone},
      {200, Reply("304 Not Modified", "Content-Length: 9\r\n"), Framing::kNone},
      {200, Reply("100 Continue"), Framing::kNone},
      {200, Reply("101 Switching Protocols", "Upgrade: x\r\nConnection: upgrade\r\n")},
      {200, "HTTP/1.0 200 OK\r\n\r\n", Framing::kUntilClose},
      {502, Reply("200 OK", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n")},
      {502, Reply("200 OK", "Content-Length: 3\r\nContent-Length: 4\r\n")},
      {502, Reply("200 OK", "Content-Length: 3\r\nContent-Length: 3\r\n")},
      {502, Reply("200 OK", "Content-Length: 3, 3\r\n")},
      {502, Reply("200 OK", "Content-Length: -1\r\n")},
      {502, Reply("200 OK", "Transfer-Encoding: gzip, chunked\r\n")},
      {502, Reply("200 OK", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")},
      {502, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"},
      {502, Reply("204 No Content", "Content-Length: 5\r\n")},
      {502, Reply("204 No Content", "Transfer-Encoding: chunked\r\n")},
      {502, Reply("100 Continue", "Content-Length: 5\r\n")},
      {502, Reply("200 OK", "X: a\r\n b\r\n")},
      {502, Reply("200 OK", "X : a\r\n")},
      {502, Reply("200 OK", "X: a\0\r\n"s)},
      {502, Reply("200 OK", "X: a\rb\r\n")},
      {502, Reply("200 OK", "X: a\nb: c\r\n")},
      {502, Reply("200OK")},
      {502, Reply("20 OK")},
      {502, Reply("2000 OK")},
      {502, Reply("099 OK")},
      {502, Reply("600 OK")},
      {502, Reply("2x0 OK")},
      {502, Reply("200 O\x01K")},
      {502, "HTTP/2.0 200 OK\r\n\r\n"},
      {502, "ICY 200 OK\r\n\r\n"},
      {502, "HTTP/1.1  200 OK\r\n\r\n"},
      {502, "HTTP/1.1 200 OK\n\r\n"},
      {502, "\r\nHTTP/1.1 200 OK\r\n\r\n"},
      {502, "HTTP/1.1 200 " + std::string(8192, 'x')},
      {502, Reply("200 OK", "X: " + std::string(32768, 'x') + "\r\n")},
      {0, "HTTP/1.1 200 OK\r\nX: y\r\n"},
      {0, "HTTP/1.1 2"},
  };
  return vectors;
}

TEST(ResponseHeadTest, AcceptsAndRefusesAsListed) {
  for (const ResponseVector& vector : ResponseVectors()) {
    ResponseParser parser;
    ResponseHead head;
    const ParseState state = parser.Parse(vector.bytes, false, head);
    const int status = state == ParseState::kNeedMore  ? 0
                       : state == ParseState::kRefused ? parser.refusal().status
                                                       : 200;
    EXPECT_EQ(status, vector.status) << Shown(vector.bytes);
    if (state == ParseState::kDone) {
      EXPECT_EQ(head.framing, vector.framing) << Shown(vector.bytes);
    }
  }
}

TEST(ResponseHeadTest, OneByteAtATimeIsAllAtOnce) {
  for (const ResponseVector& vector : ResponseVectors()) {
    if (vector.bytes.size() > 10'000) continue;
    EXPECT_EQ(AnswerByteByByte<ResponseParser>(vector.bytes),
              AnswerAtOnce<ResponseParser>(vector.bytes))
        << Shown(vector.bytes);
  }
}

TEST(ResponseHeadTest, TellsAllOfAResponse) {
  EXPECT_EQ(AnswerAtOnce<ResponseParser>("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nxx"),
            "404 Not Found 45 1.1 length length=2 keep|Content-Length=2");
  EXPECT_EQ(AnswerAtOnce<ResponseParser>("HTTP/1.0 200\r\n\r\n"), "200  16 1.0 close");
}

TEST(ResponseHeadTest, NoBodyFollowsAnAnswerToHead) {
  for (const std::string lines : {"Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", ""}) {
    ResponseParser parser;
    ResponseHead head;
    ASSERT_EQ(parser.Parse(Reply("200 OK", lines), true, head), ParseState::kDone);
    EXPECT_EQ(head.framing, Framing::kNone) << lines;
    EXPECT_TRUE(head.keep_alive);
  }
}

TEST(ResponseHeadTest, InterimResponsesAreNotFinal) {
  const auto interim = [](std::uint16_t status) {
    ResponseHead head;
    head.status = status;
    return head.interim();
  };
  EXPECT_TRUE(interim(100));
  EXPECT_TRUE(interim(103));
  EXPECT_FALSE(interim(101));
  EXPECT_FALSE(interim(200));
}

}  // namespace
}  // namespace sluicegate::wire
