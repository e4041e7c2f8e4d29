// Request heads: what is refused and how it is said, what is understood, and that neither depends
// on how the bytes were cut or where they lie.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/seed_for_test.h"
#include "wire/head_for_test.h"

namespace sluicegate::wire {
namespace {

using namespace std::string_literals;
using ::testing::ElementsAre;

struct Vector {
  int status;
  std::string bytes;
};

// A request with one more line.
std::string With(const std::string& line) {
  return "POST /a HTTP/1.1\r\nHost: a.test\r\n" + line + "\r\n\r\n";
}
std::string Line(const std::string& line) { return line + "\r\nHost: a.test\r\n\r\n"; }
std::string HostLine(const std::string& value) {
  return "GET / HTTP/1.1\r\nHost: " + value + "\r\n\r\n";
}
std::string Fields(std::size_t count) {
  std::string text = "GET / HTTP/1.1\r\nHost: a.test\r\n";
  for (std::size_t i = 1; i < count; ++i) text += "X: y\r\n";
  return text + "\r\n";
}
// A head whose field lines have exactly `bytes` bytes.
std::string FieldBytes(std::size_t bytes) {
  const std::string host = "Host: a.test\r\n";
  return "GET / HTTP/1.1\r\n" + host + "X:" + std::string(bytes - host.size() - 4, 'v') +
         "\r\n\r\n";
}
// A request line of exactly `bytes` bytes, its CRLF not counted.
std::string StartLine(std::size_t bytes) {
  return Line("GET /" + std::string(bytes - 14, 'p') + " HTTP/1.1");
}

const std::vector<Vector>& RequestVectors() {
  static const std::vector<Vector> vectors = {
      // Plain.
      {200, Line("GET / HTTP/1.1")},
      {200, "GET / HTTP/1.0\r\n\r\n"},
      {200, "\r\n" + Line("GET / HTTP/1.1")},
      {400, "\r\n\r\n" + Line("GET / HTTP/1.1")},
      {400, "\n" + Line("GET / HTTP/1.1")},
      {400, "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"},
      // Incomplete.
      {0, "G"},
      {0, "\r"},
      {0, "GET / HTTP/1.1\r"},
      {0, "GET / HTTP/1.1\r\nHost: a.test\r\n\r"},
      {0, "GET / HTTP/1.1\r\nHost: a\rb"},
      // CL.TE, TE.CL and their kin.
      {400, With("Content-Length: 6\r\nTransfer-Encoding: chunked")},
      {400, With("Transfer-Encoding: chunked\r\nContent-Length: 4")},
      {400, With("Transfer-Encoding: chunked\r\nContent-Length: 0")},
      {400, With("TRANSFER-ENCODING: chunked\r\ncontent-length: 4")},
      {400, With("Content-Length: 5\r\nContent-Length: 6")},
      {400, With("Content-Length: 5\r\nContent-Length: 5")},
      {400, With("Content-Length: 5, 5")},
      {400, With("Content-Length: 5,6")},
      {400, With("Content-Length: +5")},
      {400, With("Content-Length: -5")},
      {400, With("Content-Length: 0x5")},
      {400, With("Content-Length: 5 5")},
      {400, With("Content-Length: 5;")},
      {400, With("Content-Length:")},
      {400, With("Content-Length: five")},
      {400, With("Content-Length: 5.0")},
      {400, With("Content-Length: \"5\"")},
      {400, With("Content-Length: 18446744073709551621")},
      {400, With("Content-Length: 1000000000000000000")},
      {200, With("Content-Length: 999999999999999999")},
      {200, With("Content-Length: 5")},
      {200, With("Content-Length:5")},
      {200, With("Content-Length: \t 5 \t ")},
      {400, With("Content-Length : 5")},
      {400, With("Content-Length\t: 5")},
      // TE.TE.
      {200, With("Transfer-Encoding: chunked")},
      {200, With("Transfer-Encoding:\tchunked")},
      {200, With("Transfer-Encoding: chunked ")},
      {400, With("Transfer-Encoding: xchunked")},
      {400, With("Transfer-Encoding: chunked, identity")},
      {400, With("Transfer-Encoding: identity, chunked")},
      {400, With("Transfer-Encoding: chunked, chunked")},
      {400, With("Transfer-Encoding: gzip, chunked")},
      {400, With("Transfer-Encoding: identity")},
      {400, With("Transfer-Encoding: chunked;q=1")},
      {400, With("Transfer-Encoding: \"chunked\"")},
      {400, With("Transfer-Encoding: 'chunked'")},
      {400, With("Transfer-Encoding: chu nked")},
      {400, With("Transfer-Encoding: Chunked")},
      {400, With("Transfer-Encoding:")},
      {400, With("Transfer-Encoding: ,chunked")},
      {400, With("Transfer-Encoding: chunked\r\nTransfer-Encoding: x")},
      {400, With("Transfer-Encoding: x\r\nTransfer-Encoding: chunked")},
      {400, With("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked")},
      {400, With("Transfer-Encoding : chunked")},
      {400, With("Transfer-Encoding\t:chunked")},
      {400, With("Transfer-Encoding: \x0b"s + "chunked")},
      {400, With("Transfer-Encoding: chunked\x0c")},
      {400, With("Transfer-Encoding: chunked\0"s)},
      {400, With("X: y\nTransfer-Encoding: chunked")},
      {400, With("X: y\rTransfer-Encoding: chunked")},
      {400, With("X: y\r\n Transfer-Encoding: chunked")},
      {400, With("X: y\r\n\tTransfer-Encoding: chunked")},
      {400, With("Transfer-Encoding:\r\n chunked")},
      {400, With("\x01Transfer-Encoding: chunked")},
      {400, With("\xEF\xBB\xBFTransfer-Encoding: chunked")},
      {200, With("Transfer_Encoding: chunked\r\nContent-Length: 1")},
      {400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"},
      {400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n"},
      // Lines and characters.
      {400, "GET / HTTP/1.1\nHost: a.test\n\n"},
      {400, "GET / HTTP/1.1\r\nHost: a.test\n\r\n"},
      {400, "GET / HTTP/1.1\r\nHost: a.test\r\n\n"},
      {400, "GET / HTTP/1.1\r\n Host: a.test\r\n\r\n"},
      {400, "GET / HTTP/1.1\r\nHost: a.test\r\r\n\r\n"},
      {400, With("X: a\0b"s)},
      {400, With("X: a\x7F")},
      {400, With("X: a\x1F")},
      {400, With("X: a\x08")},
      {200, With("X: a\tb")},
      {200, With("X: caf\xC3\xA9")},
      {200, With("X:")},
      {200, With("X:  \t ")},
      {200, With("X: 0123456789abcdef0123456789abcdef0123456789")},
      {400, With("X: 0123456789abcdef0123456789abcdef01\x01 23456789")},
      {400, With("X")},
      {400, With(": y")},
      {400, With("X y: z")},
      {400, With("X(y): z")},
      {400, With("X\0: z"s)},
      {400, With("X\xC3\xA9: z")},
      // The request line.
      {400, Line("GET  / HTTP/1.1")},
      {400, Line("GET /  HTTP/1.1")},
      {400, Line("GET / HTTP/1.1 ")},
      {400, Line(" GET / HTTP/1.1")},
      {400, Line("GET\t/ HTTP/1.1")},
      {400, Line("GET /a b HTTP/1.1")},
      {400, Line("GET /a\tb HTTP/1.1")},
      {400, Line("GET /a\0b HTTP/1.1"s)},
      {400, Line("GET /a\rb HTTP/1.1")},
      {400, Line("GET /a\x7F HTTP/1.1")},
      {400, Line("GET /a#b HTTP/1.1")},
      {400, Line("G(T / HTTP/1.1")},
      {400, Line("G\xC3\x89T / HTTP/1.1")},
      {400, Line("GET /")},
      {400, Line("GET")},
      {400, Line("GET / http/1.1")},
      {400, Line("GET / HTTP/1")},
      {400, Line("GET / HTTP/1.10")},
      {400, Line("GET / HTTP/1,1")},
      {400, Line("GET / HTCPCP/1.0")},
      {505, Line("GET / HTTP/2.0")},
      {505, Line("GET / HTTP/0.9")},
      {505, Line("GET / HTTP/1.2")},
      {505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
      {400, "\x16\x03\x01\x02"},
      {200, Line("GET /caf\xC3\xA9 HTTP/1.1")},
      {200, Line("BREW / HTTP/1.1")},
      {200, Line(std::string(32, 'M') + " / HTTP/1.1")},
      {501, Line(std::string(33, 'M') + " / HTTP/1.1")},
      // Bounds.
      {200, StartLine(8192)},
      {414, StartLine(8193)},
      {414, std::string(9000, 'G')},
      {0, std::string(8193, 'G')},
      {414, std::string(8194, 'G')},
      {200, Fields(100)},
      {431, Fields(101)},
      {200, FieldBytes(32768)},
      {431, FieldBytes(32769)},
      {431, FieldBytes(32770)},
      {431, FieldBytes(32771)},
      {431, FieldBytes(40000)},
      // Host.
      {400, "GET / HTTP/1.1\r\n\r\n"},
      {400, With("Host: a.test")},
      {400, With("Host: b.test")},
      {400, "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"},
      {400, HostLine("")},
      {400, HostLine("a b")},
      {400, HostLine("a,b")},
      {400, HostLine("a/b")},
      {400, HostLine("u@a")},
      {400, HostLine("a?b")},
      {400, HostLine("a%2eb")},
      {400, HostLine("a:")},
      {400, HostLine(":80")},
      {400, HostLine("a:80:80")},
      {400, HostLine("a:8x")},
      {400, HostLine("a:123456")},
      {400, HostLine("::1")},
      {400, HostLine("[::1")},
      {400, HostLine("[::1]x")},
      {400, HostLine("[::zz]")},
      {400, HostLine("[192.0.2.1]")},
      {400, HostLine("a\xC3\xA9")},
      {200, HostLine("A.test:8080")},
      {200, HostLine("[2001:db8::1]:8080")},
      {200, HostLine("a_b.test.")},
      // Forms of the target.
      {200, Line("GET http://a.test/x?y HTTP/1.1")},
      {200, Line("GET HTTP://A.TEST:80?y HTTP/1.1")},
      {200, Line("GET https://a.test:443/ HTTP/1.1")},
      {400, Line("GET http://b.test/ HTTP/1.1")},
      {400, Line("GET http://a.test:81/ HTTP/1.1")},
      {400, Line("GET https://a.test:80/ HTTP/1.1")},
      {400, Line("GET http://u@a.test/ HTTP/1.1")},
      {400, Line("GET http:///x HTTP/1.1")},
      {400, Line("GET http:/a.test/x HTTP/1.1")},
      {400, Line("GET ftp://a.test/ HTTP/1.1")},
      {400, Line("GET a.test/x HTTP/1.1")},
      {400, Line("GET ?x HTTP/1.1")},
      {400, "GET http://a.test/ HTTP/1.1\r\n\r\n"},
      {200, "GET http://a.test/ HTTP/1.0\r\n\r\n"},
      {200, Line("OPTIONS * HTTP/1.1")},
      {200, Line("OPTIONS http://a.test HTTP/1.1")},
      {400, Line("GET * HTTP/1.1")},
      {501, Line("CONNECT a.test:443 HTTP/1.1")},
      {501, Line("CONNECT / HTTP/1.1")},
      // Expect and Connection.
      {200, With("Expect: 100-Continue\r\nContent-Length: 1")},
      {417, With("Expect: 200-ok")},
      {417, With("Expect: 100-continue\r\nExpect: 100-continue")},
      {400, With("Connection: a b")},
      {400, With("Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q")},
      {200, With("Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p")},
  };
  return vectors;
}

TEST(RequestHeadTest, AcceptsAndRefusesAsListed) {
  for (const Vector& vector : RequestVectors()) {
    const std::string answer = AnswerAtOnce<RequestParser>(vector.bytes);
    EXPECT_EQ(StatusOf(answer), vector.status) << Shown(vector.bytes) << "\n-> " << answer;
  }
}

TEST(RequestHeadTest, OneByteAtATimeIsAllAtOnce) {
  for (const Vector& vector : RequestVectors()) {
    if (vector.bytes.size() > 10'000) continue;  // Copies each prefix: quadratic here.
    EXPECT_EQ(AnswerByteByByte<RequestParser>(vector.bytes),
              AnswerAtOnce<RequestParser>(vector.bytes))
        << Shown(vector.bytes);
  }
}

TEST(RequestHeadTest, RandomCutsAreAllAtOnce) {
  const std::uint64_t seed = SeedForTest();
  SCOPED_TRACE("SLUICEGATE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (const Vector& vector : RequestVectors()) {
    for (int round = 0; round < 10; ++round) {
      std::vector<std::size_t> ends{vector.bytes.size()};
      for (int cut = 0; cut < 5; ++cut) ends.push_back(random() % (vector.bytes.size() + 1));
      std::ranges::sort(ends);
      ASSERT_EQ(AnswerInPieces<RequestParser>(vector.bytes, ends),
                AnswerAtOnce<RequestParser>(vector.bytes))
          << Shown(vector.bytes);
    }
  }
}

TEST(RequestHeadTest, BytesBehindTheHeadChangeNothing) {
  for (const Vector& vector : RequestVectors()) {
    if (vector.status == 0) continue;
    const std::string answer = AnswerAtOnce<RequestParser>(vector.bytes);
    EXPECT_EQ(AnswerAtOnce<RequestParser>(vector.bytes + "\0\n\r\nGET "s), answer)
        << Shown(vector.bytes);
  }
}

TEST(RequestHeadTest, EveryRefusalSaysWhatAndTheMend) {
  for (const Vector& vector : RequestVectors()) {
    if (vector.status < 400) continue;
    const std::string answer = AnswerAtOnce<RequestParser>(vector.bytes);
    EXPECT_GT(answer.size(), 30U) << answer;
    EXPECT_THAT(answer, ::testing::EndsWith(".")) << answer;
  }
}

TEST(RequestHeadTest, TellsAllOfARequest) {
  EXPECT_EQ(AnswerAtOnce<RequestParser>("POST /a?b HTTP/1.1\r\nHost: A.test:8080\r\n"
                                        "Content-Length: 12\r\nConnection: Upgrade, x-y\r\n"
                                        "Upgrade: websocket\r\nExpect: 100-continue\r\n\r\nbody"),
            "POST /a?b @A.test:8080 expect 129 1.1 length length=12 keep upgrade|Host=A.test:8080"
            "|Content-Length=12|Connection=Upgrade, x-y|Upgrade=websocket|Expect=100-continue");
}

TEST(RequestHeadTest, TheHostOfAnAbsoluteTargetWins) {
  EXPECT_EQ(AnswerAtOnce<RequestParser>("GET http://a.test:80?q HTTP/1.1\r\nHost: A.TEST\r\n\r\n"),
            "GET ?q @a.test:80 49 1.1 none keep|Host=A.TEST");
}

TEST(RequestHeadTest, OptionsOfAUrlWithoutAPathAsksAboutTheServer) {
  const auto form = [](const std::string& line) {
    RequestParser parser;
    RequestHead head;
    const std::string bytes = line + " HTTP/1.1\r\nHost: a\r\n\r\n";
    EXPECT_EQ(parser.Parse(bytes, head), ParseState::kDone);
    return std::pair(head.form, std::string(head.path_and_query));
  };
  EXPECT_EQ(form("OPTIONS *"), std::pair(TargetForm::kAsterisk, "*"s));
  EXPECT_EQ(form("OPTIONS http://a"), std::pair(TargetForm::kAsterisk, "*"s));
  EXPECT_EQ(form("OPTIONS http://a/"), std::pair(TargetForm::kAbsolute, "/"s));
  EXPECT_EQ(form("OPTIONS http://a?x"), std::pair(TargetForm::kAbsolute, "?x"s));
  EXPECT_EQ(form("GET http://a"), std::pair(TargetForm::kAbsolute, ""s));
}

TEST(RequestHeadTest, KeepsAliveByVersionAndConnection) {
  const auto keeps = [](const std::string& version, const std::string& line) {
    RequestParser parser;
    RequestHead head;
    const std::string bytes = "GET / HTTP/" + version + "\r\nHost: a\r\n" + line + "\r\n";
    EXPECT_EQ(parser.Parse(bytes, head), ParseState::kDone);
    return head.keep_alive;
  };
  EXPECT_TRUE(keeps("1.1", ""));
  EXPECT_FALSE(keeps("1.1", "Connection: x, CLOSE\r\n"));
  EXPECT_FALSE(keeps("1.1", "Connection: keep-alive\r\nConnection: close\r\n"));
  EXPECT_FALSE(keeps("1.0", ""));
  EXPECT_TRUE(keeps("1.0", "Connection: Keep-Alive\r\n"));
  EXPECT_FALSE(keeps("1.0", "Connection: keep-alive, close\r\n"));
  EXPECT_TRUE(keeps("1.1", "X-Connection: close\r\n"));
}

TEST(RequestHeadTest, NoExpectationWithoutABodyOrInHttp10) {
  RequestParser parser;
  RequestHead head;
  ASSERT_EQ(parser.Parse("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", head),
            ParseState::kDone);
  EXPECT_FALSE(head.expect_continue);
  parser.Reset();
  ASSERT_EQ(
      parser.Parse("PUT / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n", head),
      ParseState::kDone);
  EXPECT_FALSE(head.expect_continue);
}

TEST(RequestHeadTest, AResetParserKnowsNothingOfTheLastHead) {
  RequestParser parser;
  RequestHead head;
  ASSERT_EQ(parser.Parse("PUT / HTTP/1.1\r\nHost: a\r\nConnection: close, x\r\n"
                         "Content-Length: 7\r\nUpgrade: x\r\n\r\n",
                         head),
            ParseState::kDone);
  EXPECT_THAT(head.connection(), ElementsAre("close", "x"));
  parser.Reset();
  ASSERT_EQ(parser.Parse("GET /b HTTP/1.1\r\nHost: b\r\n\r\n", head), ParseState::kDone);
  EXPECT_EQ(Told(head), "GET /b @b 28 1.1 none keep|Host=b");
  EXPECT_THAT(head.connection(), ElementsAre());
}

TEST(RequestHeadTest, FindsFieldsWithoutCase) {
  RequestParser parser;
  RequestHead head;
  const std::string bytes = With("x-key: 1\r\nX-KEY: 2");
  ASSERT_EQ(parser.Parse(bytes, head), ParseState::kDone);
  EXPECT_EQ(head.Find("X-Key"), "1");
  EXPECT_EQ(head.Find("x-ke"), std::nullopt);
}

// One byte a call, up to the last byte that is allowed: the answer comes with the last one.
TEST(RequestHeadTest, ADripOfTheLargestHeadIsRead) {
  const std::string bytes = FieldBytes(32768);
  RequestParser parser;
  RequestHead head;
  ParseState state = ParseState::kNeedMore;
  for (std::size_t end = 1; end <= bytes.size(); ++end) {
    state = parser.Parse(std::string_view(bytes).substr(0, end), head);
    if (end < bytes.size()) {
      ASSERT_EQ(state, ParseState::kNeedMore) << end;
    }
  }
  EXPECT_EQ(state, ParseState::kDone);
}

TEST(AuthorityTest, RuleHostIsLowerCaseWithoutPortAndLastDot) {
  const auto host = [](std::string_view authority) {
    std::string out;
    AppendRuleHost(authority, out);
    return out;
  };
  EXPECT_EQ(host("A.Test:80"), "a.test");
  EXPECT_EQ(host("a.test."), "a.test");
  EXPECT_EQ(host("a.test.:80"), "a.test");
  EXPECT_EQ(host("[2001:DB8::1]:80"), "[2001:db8::1]");
  EXPECT_EQ(host(""), "");
}

// Names are looked at in blocks: each byte counts wherever it stands.
TEST(RequestHead, EveryByteOfANameIsLookedAtAtEveryPlace) {
  constexpr std::size_t kBytes = 40;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const auto c = static_cast<char>(byte);
    if (c == ':') continue;  // Ends the name.
    for (std::size_t at = 0; at < kBytes; ++at) {
      const std::string name = std::string(at, 'a') + c + std::string(kBytes - at, 'Z');
      const std::string request = "GET / HTTP/1.1\r\nHost: t\r\n" + name + ": value\r\n\r\n";
      RequestParser parser;
      RequestHead head;
      const ParseState state = parser.Parse(request, head);
      ASSERT_EQ(state, syntax::IsToken(c) ? ParseState::kDone : ParseState::kRefused)
          << byte << " at " << at;
      if (state == ParseState::kDone) {
        ASSERT_EQ(head.fields()[1].name, name);
        ASSERT_EQ(head.fields()[1].value, "value");
      }
    }
  }
}

}  // namespace
}  // namespace sluicegate::wire
