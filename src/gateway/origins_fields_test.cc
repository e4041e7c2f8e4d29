// What becomes of the rate limit fields that an origin sends itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "gateway/proxy_for_test.h"

namespace sluicegate::gateway {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST_F(Proxy, OfTwoXRateLimitTriplesTheTighterIsSent) {
  Serve("rules: [{name: r, match: {path: '/**'}, key: [client], limits: [9/minute]}]");
  Peer client = Client();
  client.Send(kGet);
  Peer upstream = Upstream();
  const auto exchange = [&](std::string_view remaining) {
    upstream.Head();
    upstream.Send("HTTP/1.1 200 OK\r\nX-RateLimit-Remaining: " + std::string(remaining) +
                  "\r\nRateLimit-Policy: \"origin\";q=9\r\nContent-Length: 2\r\n\r\nok");
    return client.Message();
  };
  const std::string tighter_here = exchange("70");
  EXPECT_THAT(tighter_here, HasSubstr("X-RateLimit-Remaining: 8\r\n"));
  EXPECT_THAT(tighter_here, Not(HasSubstr("X-RateLimit-Remaining: 70\r\n")));
  client.Send(kGet);
  const std::string tighter_there = exchange("3");
  EXPECT_THAT(tighter_there, HasSubstr("X-RateLimit-Remaining: 3\r\n"));
  EXPECT_THAT(tighter_there, Not(HasSubstr("X-RateLimit-Limit: 9\r\n")));
  // These are lists: both stay.
  EXPECT_THAT(tighter_there, HasSubstr("RateLimit-Policy: \"origin\";q=9\r\n"));
  EXPECT_THAT(tighter_there, HasSubstr("RateLimit-Policy: \"per-minute\";q=9;w=60\r\n"));
}

// What a client gets where the origin has fields of its own, and ours leave 8 of 9.
class OriginsFields : public Proxy {
 protected:
  std::string Exchange(std::string_view headers, std::string_view fields) {
    Serve("headers: " + std::string(headers) +
          "\nrules: [{name: r, key: [client], limits: [9/minute]}]");
    Peer client = Client();
    client.Send(kGet);
    Peer upstream = Upstream();
    upstream.Head();
    upstream.Send("HTTP/1.1 200 OK\r\n" + std::string(fields) + "Content-Length: 2\r\n\r\nok");
    return client.Message();
  }
};

TEST_F(OriginsFields, OursAreAddedToLists) {
  const std::string answer =
      Exchange("[draft11, draft-next]",
               "RateLimit: \"o\";r=1;t=5\r\nRateLimit-Policy: \"o\";q=2\r\n"
               "RateLimit-Partition: \"o\";user_id\r\n"
               "RateLimit-Limit: 2\r\nRateLimit-Remaining: 100\r\nX-RateLimit-Remaining: 100\r\n");
  EXPECT_THAT(answer, HasSubstr("RateLimit: \"o\";r=1;t=5\r\n"));
  EXPECT_THAT(answer, HasSubstr("RateLimit: \"per-minute\";r=8;t=64;a=8;w=64;c=1\r\n"));
  EXPECT_THAT(answer, HasSubstr("RateLimit-Policy: \"o\";q=2\r\n"));
  EXPECT_THAT(answer, HasSubstr("RateLimit-Policy: \"per-minute\";q=9;w=60\r\n"));
  EXPECT_THAT(answer, HasSubstr("RateLimit-Partition: \"o\";user_id\r\n"));
  EXPECT_THAT(answer, HasSubstr("RateLimit-Partition: \"per-minute\";sluicegate-client\r\n"));
  EXPECT_THAT(answer, HasSubstr("RateLimit-Remaining: 100\r\nX-RateLimit-Remaining: 100\r\n"))
      << "no triple of ours takes their place";
}

TEST_F(OriginsFields, TheTighterTripleOfVersion03StandsAlone) {
  constexpr std::string_view kLooser =
      "RateLimit-Limit: 200, 200;w=60\r\nRatelimit-Remaining: 100\r\nRateLimit-Reset: 5\r\n";
  const std::string ours = Exchange("draft03", kLooser);
  EXPECT_THAT(ours, HasSubstr("RateLimit-Limit: 9, 9;w=60\r\nRateLimit-Remaining: 8\r\n"));
  EXPECT_THAT(ours, Not(HasSubstr("100\r\n")));
  EXPECT_THAT(ours, Not(HasSubstr("RateLimit-Reset: 5\r\n")));
}

TEST_F(OriginsFields, ATighterTripleOfTheOriginsStaysWhole) {
  constexpr std::string_view kTighter =
      "RateLimit-Limit: 2, 2;w=60\r\nRatelimit-Remaining: 1\r\nRateLimit-Reset: 5\r\n";
  const std::string theirs = Exchange("[draft03, x-ratelimit-delta]", kTighter);
  EXPECT_THAT(theirs, HasSubstr(kTighter));
  EXPECT_THAT(theirs, Not(HasSubstr("RateLimit-Limit: 9, ")));
  EXPECT_THAT(theirs, HasSubstr("X-RateLimit-Remaining: 8\r\n")) << "of another name";
}

// The origin says when in another form than ours: what is left decides.
TEST_F(OriginsFields, TheResetHasNoSayInWhichIsTighter) {
  const std::string theirs = Exchange("x-ratelimit-delta",
                                      "X-RateLimit-Limit: 5\r\nX-RateLimit-Remaining: 4\r\n"
                                      "X-RateLimit-Reset: 1900000000\r\n");
  EXPECT_THAT(theirs, HasSubstr("X-RateLimit-Reset: 1900000000\r\n"));
  EXPECT_THAT(theirs, Not(HasSubstr("X-RateLimit-Reset: 64\r\n")));
}

TEST_F(OriginsFields, OfSeveralLinesTheOneThatLeavesLeastCounts) {
  const std::string theirs =
      Exchange("x-ratelimit-delta", "X-RateLimit-Remaining: 50\r\nx-ratelimit-remaining: 0\r\n");
  EXPECT_THAT(theirs, HasSubstr("x-ratelimit-remaining: 0\r\n"));
  EXPECT_THAT(theirs, Not(HasSubstr("X-RateLimit-Remaining: 8\r\n")));
}

TEST_F(OriginsFields, ATripleThatEndsHereLeavesRoomForOurs) {
  const std::string answer = Exchange(
      "x-ratelimit-epoch", "Connection: x-ratelimit-remaining\r\nX-RateLimit-Remaining: 1\r\n");
  EXPECT_THAT(answer, HasSubstr("X-RateLimit-Remaining: 8\r\n"));
}

TEST_F(OriginsFields, OffLeavesTheOriginsAlone) {
  constexpr std::string_view kFields =
      "RateLimit: \"o\";r=1\r\nRateLimit-Remaining: 100\r\nX-RateLimit-Remaining: 100\r\n";
  const std::string answer = Exchange("off", kFields);
  EXPECT_THAT(answer, HasSubstr(kFields));
  EXPECT_THAT(answer, Not(HasSubstr("per-minute")));
}

}  // namespace
}  // namespace sluicegate::gateway
