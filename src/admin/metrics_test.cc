#include "admin/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace sluicegate::admin {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Readings Sample() {
  Readings readings;
  readings.version = "1.2.3";
  engine::RuleReport rule;
  rule.rule = "per-client";
  rule.admitted = 60;
  rule.limited = 7;
  rule.banned = 5;
  rule.exempt = 2;
  rule.violations = 6;
  rule.bans = 1;
  rule.capacity = 1000;
  rule.tracked_keys = 250;
  rule.bytes = 65536;
  rule.evictions = 3;
  rule.evictions_at_limit = 4;
  rule.blocked = 8;
  rule.forgotten = 1;
  rule.sketch_refused_ppm = 2500;
  rule.network_for_key = 21;
  rule.network_for_lease = 22;
  rule.network_for_ban = 23;
  rule.lease_capacity = 480;
  rule.keys_in_flight = 17;
  readings.engine.rules.push_back(rule);
  readings.engine.unmatched = 11;
  readings.engine.latency.counts = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12};
  readings.engine.latency.sum_ns = 1'500'000'000;
  readings.families.push_back({.name = "sluicegate_gateway_refusals_total",
                               .help = "Requests refused, by reason.",
                               .type = Family::Type::kCounter,
                               .samples = {{{{"reason", "framing"}}, 9}}});
  readings.process = ReadProcess(1.5e9);
  readings.state_file = {
      .path = "/dev/shm/state", .bytes = 106'496, .processes = 4, .takeovers = 12, .stuck = 13};
  return readings;
}

TEST(MetricsTest, EveryNumberHasItsLine) {
  const std::string page = RenderMetrics(Sample());
  for (const char* line : {
           "sluicegate_build_info{version=\"1.2.3\"} 1\n",
           "sluicegate_rule_decisions_total{rule=\"per-client\",verdict=\"allowed\"} 60\n",
           "sluicegate_rule_decisions_total{rule=\"per-client\",verdict=\"limited\"} 7\n",
           "sluicegate_rule_decisions_total{rule=\"per-client\",verdict=\"banned\"} 5\n",
           "sluicegate_rule_decisions_total{rule=\"per-client\",verdict=\"exempt\"} 2\n",
           "sluicegate_rule_violations_total{rule=\"per-client\"} 6\n",
           "sluicegate_rule_bans_total{rule=\"per-client\"} 1\n",
           "sluicegate_table_fill_ratio{rule=\"per-client\"} 0.25\n",
           "sluicegate_table_tracked_keys{rule=\"per-client\"} 250\n",
           "sluicegate_table_evictions_total{rule=\"per-client\",state=\"below_limit\"} 3\n",
           "sluicegate_table_evictions_total{rule=\"per-client\",state=\"at_limit\"} 4\n",
           "sluicegate_rule_blocked_total{rule=\"per-client\"} 8\n",
           "sluicegate_table_forgotten_total{rule=\"per-client\"} 1\n",
           "sluicegate_table_newcomers_refused_ratio{rule=\"per-client\"} 0.0025\n",
           "sluicegate_rule_network_decisions_total{rule=\"per-client\",reason=\"new_keys\"} 21\n",
           "sluicegate_rule_network_decisions_total{rule=\"per-client\",reason=\"leases\"} 22\n",
           "sluicegate_rule_network_decisions_total{rule=\"per-client\",reason=\"bans\"} 23\n",
           "sluicegate_table_lease_slots{rule=\"per-client\"} 480\n",
           "sluicegate_table_keys_in_flight{rule=\"per-client\"} 17\n",
           "sluicegate_unmatched_requests_total 11\n",
           "sluicegate_gateway_refusals_total{reason=\"framing\"} 9\n",
           "sluicegate_state_processes 4\n",
           "sluicegate_state_file_bytes 106496\n",
           "sluicegate_state_takeovers_total 12\n",
           "sluicegate_state_stuck_total 13\n",
       }) {
    EXPECT_THAT(page, HasSubstr(line));
  }
}

TEST(MetricsTest, LatencyIsCumulativeInSecondsAndEndsAtInfinity) {
  const std::string page = RenderMetrics(Sample());
  EXPECT_THAT(page, HasSubstr("sluicegate_decision_duration_seconds_bucket{le=\"5e-08\"} 1\n"));
  EXPECT_THAT(page, HasSubstr("sluicegate_decision_duration_seconds_bucket{le=\"+Inf\"} 12\n"));
  EXPECT_THAT(page, HasSubstr("sluicegate_decision_duration_seconds_count 12\n"));
  EXPECT_THAT(page, HasSubstr("sluicegate_decision_duration_seconds_sum 1.5\n"));
}

TEST(MetricsTest, LargeCountersKeepEveryDigit) {
  Readings readings = Sample();
  readings.engine.rules[0].admitted = 9'007'199'254'740'991;  // 2^53 - 1
  EXPECT_THAT(RenderMetrics(readings), HasSubstr("verdict=\"allowed\"} 9007199254740991\n"));
}

TEST(MetricsTest, NoRulesLeaveNoEmptyFamilies) {
  Readings readings = Sample();
  readings.engine.rules.clear();
  EXPECT_THAT(RenderMetrics(readings), Not(HasSubstr("sluicegate_rule_")));
}

TEST(MetricsTest, TheStateFilesNumbersAreThereWhereItIs) {
  Readings readings = Sample();
  readings.state_file->bytes.reset();
  EXPECT_THAT(RenderMetrics(readings), Not(HasSubstr("sluicegate_state_file_bytes")));
  EXPECT_THAT(RenderMetrics(readings), HasSubstr("sluicegate_state_processes 4\n"));
  readings.state_file.reset();
  EXPECT_THAT(RenderMetrics(readings), Not(HasSubstr("sluicegate_state_")));
}

TEST(MetricsTest, RuleNamesAreEscaped) {
  Readings readings = Sample();
  readings.engine.rules[0].rule = "a\"b\\c\nd";
  EXPECT_THAT(RenderMetrics(readings), HasSubstr("rule=\"a\\\"b\\\\c\\nd\""));
}

TEST(MetricsTest, PromtoolFindsNothingToSay) {
  if (std::system("command -v promtool >/dev/null 2>&1") != 0) {  // NOLINT(concurrency-mt-unsafe)
    GTEST_SKIP() << "promtool is not installed (apt package prometheus)";
  }
  std::FILE* const pipe = popen("promtool check metrics", "w");  // NOLINT(cert-env33-c)
  ASSERT_NE(pipe, nullptr);
  const std::string page = RenderMetrics(Sample());
  ASSERT_EQ(std::fwrite(page.data(), 1, page.size(), pipe), page.size());
  const int status = pclose(pipe);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "see its words above\n" << page;
}

}  // namespace
}  // namespace sluicegate::admin
