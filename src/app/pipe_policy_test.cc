#include "app/pipe_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "config/load.h"

namespace sluicegate::app {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct OnPipe {
  std::size_t memory = 0;
  Lines notes;
};

OnPipe Read(std::string_view yaml) {
  OnPipe result;
  const auto policy = config::ParsePolicy(std::string(yaml), [&](policy::Config& config) {
    FitToPipe(config);
    result.notes = NotesOnPipe(config);
  });
  EXPECT_TRUE(policy) << yaml;
  if (policy) result.memory = (*policy)->settings().memory;
  return result;
}

constexpr std::size_t kMiB = std::size_t{1} << 20U;

TEST(PipePolicyTest, TakesLittleWhereNothingIsSaid) {
  EXPECT_EQ(Read("rules: [{name: a, key: [client], limits: [1/minute]}]").memory, 8 * kMiB);
  EXPECT_EQ(Read(config::DefaultPolicyYaml()).memory, 8 * kMiB);
}

TEST(PipePolicyTest, WhatTheFileSaysHolds) {
  for (const char* const yaml :
       {"state: {memory: 64MiB}\nrules: [{name: a, key: [client], limits: [1/minute]}]",
        "state: {sketch: 16MiB}\nrules: [{name: a, key: [client], limits: [1/minute]}]",
        "state: {file: /tmp/x}\nrules: [{name: a, key: [client], limits: [1/minute]}]",
        "rules: [{name: a, key: [client], limits: [1/minute], memory: 32MiB}]"}) {
    EXPECT_EQ(Read(yaml).memory, 64 * kMiB) << yaml;
  }
}

TEST(PipePolicyTest, TellsOfRulesThatNeverHold) {
  EXPECT_THAT(
      Read(R"(
rules:
  - {name: a, match: {path: /mcp}, key: [client], limits: [1/minute]}
  - {name: b, match: {path: [/mcp, "/**"]}, key: [client], limits: [1/minute]}
  - {name: c, match: {method: POST}, key: [client], limits: [1/minute]}
  - {name: d, match: {host: "a.example"}, key: [client], limits: [1/minute]}
  - {name: e, match: {header: {x-tier: gold}}, key: [client], limits: [1/minute]}
  - {name: f, match: {mcp_tool: search}, key: [client], limits: [1/minute]}
  - {name: g, key: [client], limits: [1/minute]}
)")
          .notes,
      ElementsAre(HasSubstr("rule 'a' asks for a path"), HasSubstr("rule 'c' asks for a method"),
                  HasSubstr("rule 'd' asks for a host"), HasSubstr("rule 'e' asks for a header")));
}

TEST(PipePolicyTest, TheBuiltInPolicyHolds) {
  EXPECT_THAT(Read(config::DefaultPolicyYaml()).notes, IsEmpty());
}

}  // namespace
}  // namespace sluicegate::app
