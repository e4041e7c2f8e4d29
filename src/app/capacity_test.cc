// What `check` promises about memory is what the tables really hold.

#include "policy/capacity.h"

#include <gtest/gtest.h>

#include <string>

#include "base/siphash.h"
#include "config/load.h"
#include "engine/engine.h"

namespace sluicegate::app {
namespace {

TEST(CapacityTest, IsWhatTheTablesHold) {
  const auto policy = config::ParsePolicy(R"(
state: {memory: 5000000B, sketch: 1MB}
rules:
  - {name: one, key: [client], limits: [60/minute]}
  - {name: four, key: [client], limits: [60/minute, 1000/hour, 10000/day, {burst: 10}]}
  - {name: wide, key: [client], limits: [100000/minute], memory: 100KiB}
  - name: tagged
    key: [user]
    limits: [60/minute]
    overrides: [{when: {user: acme}, limits: [600/minute]}]
  - name: banned
    key: [client]
    limits: [60/minute]
    penalty: {violations: 20, within: 1m, ban: 5m}
  - {name: flights, key: [user], limits: [{concurrency: 20}, {concurrency: 70000, name: most}]}
  - name: everything
    key: [client]
    limits: [{concurrency: 20}, 60/minute, 1000/hour, {burst: 10}]
    ceilings: {56: x4, 48: x100}
    new_keys: 100000/minute
    overrides: [{when: {client: 10.0.0.1}, limits: [600/minute]}]
    penalty: {violations: 20, within: 1m, ban: 5m}
)");
  if (!policy) {
    for (const auto& mistake : policy.error()) {
      ADD_FAILURE() << config::FormatMistake("yaml", mistake);
    }
    return;
  }
  const auto engine = engine::Engine::Create(*policy, HashSecret::Random());
  ASSERT_TRUE(engine) << engine.error();
  const engine::Report report = (*engine)->Statistics({.engine_ns = 1, .unix_ns = 1});
  ASSERT_EQ(report.rules.size(), (*policy)->rules().size());
  for (std::size_t i = 0; i < report.rules.size(); ++i) {
    const policy::Rule& rule = (*policy)->rules()[i];
    const engine::RuleReport& told = report.rules[i];
    const bool rates = rule.rates().slot_bytes > 0;
    EXPECT_EQ(policy::LiveKeys(rule), rates ? told.capacity : told.lease_capacity) << told.rule;
    EXPECT_EQ(policy::KeysInFlight(rule), told.lease_capacity) << told.rule;
    EXPECT_LE(told.bytes, rule.memory()) << told.rule;
    EXPECT_GT(told.bytes, rule.memory() * 9 / 10) << told.rule;
  }
}

}  // namespace
}  // namespace sluicegate::app
