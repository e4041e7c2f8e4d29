#include "app/words.h"

#include <gtest/gtest.h>

namespace sluicegate::app {
namespace {

TEST(WordsTest, DurationsUseTheLargestExactUnit) {
  EXPECT_EQ(DurationText(0), "0s");
  EXPECT_EQ(DurationText(1), "1ns");
  EXPECT_EQ(DurationText(250'000'000), "250ms");
  EXPECT_EQ(DurationText(60'000'000'000), "1m");
  EXPECT_EQ(DurationText(90'000'000'000), "90s");
  EXPECT_EQ(DurationText(86'400'000'000'000), "1d");
}

TEST(WordsTest, CountsHaveThousands) {
  EXPECT_EQ(CountText(0), "0");
  EXPECT_EQ(CountText(999), "999");
  EXPECT_EQ(CountText(1000), "1,000");
  EXPECT_EQ(CountText(1234567), "1,234,567");
  EXPECT_EQ(CountText(~std::uint64_t{0}), "18,446,744,073,709,551,615");
}

TEST(WordsTest, ServersAreAsTheirUrls) {
  EXPECT_EQ(ServersText({.servers = {{.host = "127.0.0.1", .port = 8000}}}),
            "http://127.0.0.1:8000");
  EXPECT_EQ(ServersText({.servers = {{.host = "::1", .port = 443, .tls = true},
                                     {.socket_path = "/run/app.sock"}}}),
            "https://[::1]:443, unix:/run/app.sock");
}

TEST(WordsTest, BytesHaveBinaryUnits) {
  EXPECT_EQ(BytesText(1023), "1023 B");
  EXPECT_EQ(BytesText(1024), "1.0 KiB");
  EXPECT_EQ(BytesText(std::uint64_t{64} << 20U), "64.0 MiB");
  EXPECT_EQ(BytesText(~std::uint64_t{0}), "16777216.0 TiB");
}

}  // namespace
}  // namespace sluicegate::app
