// What the gateway says: rate limit fields, problems, dates, and which fields end at a proxy.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "wire/date.h"
#include "wire/hop_by_hop.h"
#include "wire/problem.h"
#include "wire/rate_limit_fields.h"

namespace sluicegate::wire {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();

std::string PolicyMembers(const std::vector<QuotaPolicy>& policies) {
  std::string out;
  AppendPolicyMembers(policies, out);
  return out;
}

std::string Draft03Members(const std::vector<QuotaPolicy>& policies) {
  std::string out;
  AppendDraft03Members(policies, out);
  return out;
}

// What `put` puts.
std::string Text(const std::function<void(TextWriter&)>& put) {
  std::string out;
  {
    TextWriter writer(out, kAboutFields);
    put(writer);
  }
  return out;
}

std::string Left(const QuotaLeft& left, LeftForms forms = {.draft11 = true}) {
  return Text([&](TextWriter& out) { PutRateLimit(left, forms, out); });
}

std::string Draft03(const QuotaTriple& quota, std::string_view members) {
  return Text([&](TextWriter& out) { PutDraft03(quota, members, out); });
}

std::string Epoch(const QuotaTriple& quota, std::int64_t unix_ns) {
  return Text([&](TextWriter& out) { PutXRateLimitEpoch(quota, unix_ns, out); });
}

std::string Told(const RetryAfter& retry) {
  return Text([&](TextWriter& out) { PutRetryAfter(retry, out); });
}

TEST(RateLimitFieldsTest, PolicyNamesAllLimits) {
  EXPECT_EQ(PolicyMembers({{.name = "per-minute", .quota = 60, .window_s = 60},
                           {.name = "burst", .quota = 10}}),
            "\"per-minute\";q=60;w=60, \"burst\";q=10");
  EXPECT_EQ(PolicyMembers({}), "");
}

TEST(RateLimitFieldsTest, RequestsInFlightAreAUnitOfTheirOwn) {
  EXPECT_EQ(
      PolicyMembers({{.name = "concurrency", .quota = 20, .unit = QuotaUnit::kConcurrentRequests}}),
      "\"concurrency\";q=20;qu=\"concurrent-requests\"");
  EXPECT_EQ(Left({.name = R"("concurrency")", .remaining = 3}),
            "RateLimit: \"concurrency\";r=3\r\n");
}

TEST(RateLimitFieldsTest, TheTightestLimitRoundsItsTimeUp) {
  EXPECT_EQ(Left({.name = R"("per-minute")", .remaining = 37, .hold_ns = 11 * kSecond + 1}),
            "RateLimit: \"per-minute\";r=37;t=12\r\n");
}

TEST(RateLimitFieldsTest, TheNextVersionHasOtherWordsAndTheCost) {
  const QuotaLeft left{
      .name = R"("per-minute")", .remaining = 37, .hold_ns = 11 * kSecond + 1, .cost = 2};
  EXPECT_EQ(Left(left, {.draft_next = true}), "RateLimit: \"per-minute\";a=37;w=12;c=2\r\n");
  EXPECT_EQ(Left(left, {.draft11 = true, .draft_next = true}),
            "RateLimit: \"per-minute\";r=37;t=12;a=37;w=12;c=2\r\n");
  EXPECT_EQ(Left(left), "RateLimit: \"per-minute\";r=37;t=12\r\n");
  EXPECT_EQ(Left({.name = R"("x")", .cost = 0}, {.draft_next = true}),
            "RateLimit: \"x\";a=0;c=0\r\n");
  EXPECT_EQ(Left({.name = R"("x")"}, {.draft_next = true}), "RateLimit: \"x\";a=0\r\n");
}

TEST(RateLimitFieldsTest, PartitionsHaveDimensionsWithoutValues) {
  std::string out;
  AppendPartitionMember("api", std::vector<std::string_view>{"user_id", "method"}, out);
  EXPECT_EQ(out, "\"api\";user_id;method");
  out.clear();
  AppendPartitionMember("all", {}, out);
  EXPECT_EQ(out, "\"all\"");
}

TEST(RateLimitFieldsTest, Version03HasATripleAndNoNames) {
  const std::string members =
      Draft03Members({{.name = "a", .quota = 10, .window_s = 1},
                      {.name = "b", .quota = 50, .window_s = 60},
                      {.name = "c", .quota = 20, .unit = QuotaUnit::kConcurrentRequests},
                      {.name = "d", .quota = 7}});
  EXPECT_EQ(members, "10;w=1, 50;w=60") << "those with a window";
  EXPECT_EQ(Draft03({.quota = 10, .remaining = 4, .reset_after_ns = kSecond + 1}, members),
            "RateLimit-Limit: 10, 10;w=1, 50;w=60\r\nRateLimit-Remaining: 4\r\n"
            "RateLimit-Reset: 2\r\n");
  EXPECT_EQ(Draft03({.quota = 20}, ""),
            "RateLimit-Limit: 20\r\nRateLimit-Remaining: 0\r\nRateLimit-Reset: 0\r\n");
}

TEST(RateLimitFieldsTest, NumbersStayWithinStructuredFields) {
  EXPECT_EQ(Left({.name = R"("x")", .remaining = kNever, .hold_ns = 0}),
            "RateLimit: \"x\";r=999999999999999;t=0\r\n");
  EXPECT_EQ(Left({.name = R"("x")", .remaining = kNever, .hold_ns = 0, .cost = kNever},
                 {.draft_next = true}),
            "RateLimit: \"x\";a=999999999999999;w=0;c=999999999999999\r\n");
}

TEST(RateLimitFieldsTest, NamesAreEscaped) {
  std::string out;
  AppendStructuredString("a\"b\\c\r\n\xC3\xA9", out);
  EXPECT_EQ(out, R"("a\"b\\c????")");
}

// Parses a whole value as RFC 9651 says for a String (4.2.5), and tells its text.
std::optional<std::string> ReadString(std::string_view value) {
  if (value.size() < 2 || value.front() != '"') return std::nullopt;
  std::string text;
  for (std::size_t i = 1; i < value.size(); ++i) {
    const auto byte = static_cast<unsigned char>(value[i]);
    if (byte == '"') return i + 1 == value.size() ? std::optional(text) : std::nullopt;
    if (byte < 0x20 || byte > 0x7E) return std::nullopt;
    if (byte == '\\') {
      ++i;
      if (i == value.size() || (value[i] != '"' && value[i] != '\\')) return std::nullopt;
    }
    text += value[i];
  }
  return std::nullopt;
}

TEST(RateLimitFieldsTest, EveryNameOfAPolicyIsAStringThatReadsBack) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789-_/";
  for (const char first : kLetters) {
    for (const char second : kLetters) {
      const std::string name = std::string(62, 'x') + first + second;
      std::string out;
      AppendStructuredString(PrintableName(name), out);
      EXPECT_EQ(ReadString(out), name);
    }
  }
}

TEST(RateLimitFieldsTest, EveryNameOfAProgramIsAStringOfItsOwn) {
  std::set<std::string> seen;
  for (unsigned first = 0; first < 256; ++first) {
    for (unsigned second = 0; second < 256; ++second) {
      const std::string name{static_cast<char>(first), static_cast<char>(second)};
      std::string out;
      AppendStructuredString(PrintableName(name), out);
      const auto read = ReadString(out);
      ASSERT_EQ(read, PrintableName(name)) << out;
      ASSERT_TRUE(seen.insert(*read).second) << *read << " stands for two names";
    }
  }
  EXPECT_EQ(PrintableName("t\xC3\xA4glich 5%"), "t%c3%a4glich 5%25");
}

TEST(RateLimitFieldsTest, EpochSecondsRoundUp) {
  EXPECT_EQ(Epoch({.quota = 60, .reset_after_ns = 10 * kSecond}, 1'767'225'600'500'000'000),
            "X-RateLimit-Limit: 60\r\nX-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: "
            "1767225611\r\n");
  EXPECT_THAT(Epoch({.reset_after_ns = kNever}, -5),
              ::testing::HasSubstr("X-RateLimit-Reset: 18446744074\r\n"));
}

TEST(RateLimitFieldsTest, SecondsFromNowRoundUp) {
  const QuotaTriple quota{.quota = 60, .remaining = 9, .reset_after_ns = 10 * kSecond + 1};
  EXPECT_EQ(Text([&](TextWriter& out) { PutXRateLimitDelta(quota, out); }),
            "X-RateLimit-Limit: 60\r\nX-RateLimit-Remaining: 9\r\nX-RateLimit-Reset: 11\r\n");
}

TEST(RetryAfterTest, IsNeverBelowTheTruthAndBoundedAbove) {
  for (const std::uint64_t seconds :
       {0UL, 1UL, 2UL, 19UL, 20UL, 30UL, 100UL, 599UL, 600UL, 86'400UL}) {
    for (const std::uint64_t extra_ns : {0UL, 1UL, kSecond - 1}) {
      const std::uint64_t ns = seconds * kSecond + extra_ns;
      const std::uint64_t truth = std::max<std::uint64_t>(1, seconds + (extra_ns > 0 ? 1 : 0));
      const std::uint64_t spread =
          std::min<std::uint64_t>(60, std::max<std::uint64_t>(2, truth / 10));
      std::set<std::uint64_t> seen;
      for (std::uint64_t key = 0; key < 5000; ++key) {
        const auto told = RetryAfterSeconds({.retry_after_ns = ns, .hold_ns = 0, .key_hash = key});
        ASSERT_TRUE(told);
        ASSERT_GE(*told, truth);
        ASSERT_LE(*told, truth + spread);
        seen.insert(*told);
      }
      EXPECT_EQ(seen.size(), spread + 1) << "Not every value is used.";
    }
  }
}

TEST(RetryAfterTest, IsTheSameForAClientThatAsksTwice) {
  const RetryAfter retry{.retry_after_ns = 100 * kSecond, .hold_ns = 0, .key_hash = 0xABCDEF0123};
  EXPECT_EQ(RetryAfterSeconds(retry), RetryAfterSeconds(retry));
}

TEST(RetryAfterTest, IsNotEarlierThanTheHoldTime) {
  for (std::uint64_t key = 0; key < 100; ++key) {
    EXPECT_GE(
        *RetryAfterSeconds({.retry_after_ns = kSecond, .hold_ns = 30 * kSecond, .key_hash = key}),
        30U);
  }
}

TEST(RetryAfterTest, NeverIsNotSent) {
  EXPECT_EQ(Told({.retry_after_ns = kNever}), "");
  EXPECT_EQ(Told({.retry_after_ns = 5 * kSecond, .key_hash = 0}), "Retry-After: 5\r\n");
}

TEST(RetryAfterTest, TheLongestWaitDoesNotOverflow) {
  EXPECT_GE(
      *RetryAfterSeconds({.retry_after_ns = kNever - 1, .hold_ns = kNever, .key_hash = kNever}),
      18'446'744'074U);
}

TEST(ProblemTest, AQuotaIsUsedUp) {
  const std::array<std::string_view, 2> names = {"per-minute", "a\"b"};
  std::string out;
  AppendProblem({.type = ProblemType::kQuotaExceeded,
                 .status = 429,
                 .detail = "60 per minute.",
                 .violated_policies = names},
                out);
  EXPECT_EQ(out,
            "{\"type\":\"https://iana.org/assignments/http-problem-types#quota-exceeded\","
            "\"title\":\"Request cannot be satisfied as assigned quota has been exceeded\","
            "\"status\":429,\"detail\":\"60 per minute.\","
            "\"violated-policies\":[\"per-minute\",\"a\\\"b\"]}");
}

TEST(ProblemTest, BansAndSheddingHaveTheirTypes) {
  std::string out;
  AppendProblem({.type = ProblemType::kAbnormalUsageDetected, .status = 429}, out);
  EXPECT_THAT(out, ::testing::HasSubstr("#abnormal-usage-detected\""));
  EXPECT_THAT(out, ::testing::Not(::testing::HasSubstr("violated-policies")));
  out.clear();
  AppendProblem({.type = ProblemType::kTemporaryReducedCapacity, .status = 503}, out);
  EXPECT_THAT(out, ::testing::HasSubstr("#temporary-reduced-capacity\""));
}

TEST(ProblemTest, ARefusalIsABlankProblem) {
  std::string out;
  AppendProblem(ProblemOf({.status = 414, .detail = "Too long."}), out);
  EXPECT_EQ(out,
            "{\"type\":\"about:blank\",\"title\":\"URI Too Long\",\"status\":414,"
            "\"detail\":\"Too long.\"}");
}

TEST(DateTest, FormatsAsRfc9110Shows) {
  const auto date = [](std::int64_t unix_s) {
    const DateText text = FormatDate(unix_s);
    return std::string(text.data(), text.size());
  };
  EXPECT_EQ(date(784'111'777), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(date(951'782'399), "Mon, 28 Feb 2000 23:59:59 GMT");
  EXPECT_EQ(date(951'782'400), "Tue, 29 Feb 2000 00:00:00 GMT");
  EXPECT_EQ(date(-1), date(0));
  EXPECT_EQ(date(std::numeric_limits<std::int64_t>::max()), "Fri, 31 Dec 9999 23:59:59 GMT");
}

TEST(DateTest, FormatsTimestampsAsRfc3339Shows) {
  const auto timestamp = [](std::int64_t unix_s) {
    const TimestampText text = FormatTimestamp(unix_s);
    return std::string(text.data(), text.size());
  };
  EXPECT_EQ(timestamp(482'196'050), "1985-04-12T23:20:50Z");
  EXPECT_EQ(timestamp(951'782'399), "2000-02-28T23:59:59Z");
  EXPECT_EQ(timestamp(951'782'400), "2000-02-29T00:00:00Z");
  EXPECT_EQ(timestamp(-1), "1970-01-01T00:00:00Z");
  EXPECT_EQ(timestamp(std::numeric_limits<std::int64_t>::max()), "9999-12-31T23:59:59Z");
}

TEST(DateTest, TheCacheFollowsTheClock) {
  DateCache cache;
  EXPECT_EQ(cache.At(0), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(cache.At(784'111'777), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(cache.At(784'111'777), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(cache.At(784'111'776), "Sun, 06 Nov 1994 08:49:36 GMT");
}

TEST(HopByHopTest, TheStandardOnesAndWhatConnectionNames) {
  EXPECT_TRUE(IsHopByHop("Connection"));
  EXPECT_TRUE(IsHopByHop("KEEP-ALIVE"));
  EXPECT_TRUE(IsHopByHop("te"));
  EXPECT_TRUE(IsHopByHop("Transfer-Encoding"));
  EXPECT_TRUE(IsHopByHop("HTTP2-Settings"));
  EXPECT_FALSE(IsHopByHop("Content-Length"));
  EXPECT_FALSE(IsHopByHop("T"));
  const std::array<std::string_view, 2> named = {"close", "X-Hop"};
  EXPECT_TRUE(EndsHere("x-hop", named));
  EXPECT_FALSE(EndsHere("x-hop-2", named));
}

TEST(HopByHopTest, ConnectionCannotTakeAwayWhatOthersRelyOn) {
  for (const std::string_view name : {"Host", "content-length", "Authorization", "Cookie",
                                      "X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP"}) {
    EXPECT_FALSE(EndsHere(name, std::array{name})) << name;
  }
}

}  // namespace
}  // namespace sluicegate::wire
