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
state: {memory: 3000000B}
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
    EXPECT_EQ(policy::LiveKeys((*policy)->rules()[i]), report.rules[i].capacity)
        << report.rules[i].rule;
  }
}

}  // namespace
}  // namespace sluicegate::app
