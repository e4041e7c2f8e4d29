// Runs the table of cases through the engine.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "case.h"
#include "config/load.h"
#include "engine/engine.h"
#include "http/mcp_judge.h"

namespace sluicegate::cases {
namespace {

constexpr HashSecret kSecret{.k0 = 0x0706050403020100, .k1 = 0x0f0e0d0c0b0a0908};

std::shared_ptr<const policy::Policy> PolicyOf(const std::string& yaml) {
  auto policy = config::ParsePolicy(yaml);
  if (!policy) {
    for (const auto& mistake : policy.error())
      ADD_FAILURE() << config::FormatMistake("policy", mistake);
    return nullptr;
  }
  return std::move(*policy);
}

// Whole milliseconds, rounded up: cases are written in them.
std::uint64_t Milliseconds(std::uint64_t ns) {
  if (ns == Decision::kNever) return ns;
  return ns / 1'000'000 + (ns % 1'000'000 != 0 ? 1 : 0);
}

class EngineRunner {
 public:
  explicit EngineRunner(const Case& one) {
    auto policy = PolicyOf(one.policy);
    if (policy == nullptr) return;
    auto engine = engine::Engine::Create(std::move(policy), kSecret);
    if (!engine) {
      ADD_FAILURE() << engine.error();
      return;
    }
    engine_ = std::move(*engine);
  }

  [[nodiscard]] bool ready() const { return engine_ != nullptr; }

  void Run(const Step& step) {
    const auto rules = engine_->rulesets().Get();
    if (step.reload) {
      auto policy = PolicyOf(*step.reload);
      ASSERT_NE(policy, nullptr);
      EXPECT_TRUE(engine_->Publish(std::move(policy), step.now));
    } else if (step.give_back) {
      for (unsigned i = 0; i < step.times; ++i) GiveBack(*rules, step.now);
    } else {
      for (unsigned i = 0; i < step.times; ++i) Request(*rules, step);
    }
  }

 private:
  void GiveBack(const engine::Ruleset& rules, Now now) {
    ASSERT_FALSE(admitted_.empty()) << "nothing is left to give back";
    for (const Stamp& charge : admitted_.back()) engine_->GiveBack(rules, charge, now);
    admitted_.pop_back();
  }

  void Request(const engine::Ruleset& rules, const Step& step) {
    std::vector<std::string_view> headers;
    for (const std::string& name : rules.policy().asked_headers()) {
      const auto found = step.headers.find(name);
      headers.push_back(found == step.headers.end() ? std::string_view() : found->second);
    }
    const auto client = IpAddress::Parse(step.client);
    ASSERT_TRUE(client.has_value()) << step.client;
    sluicegate::Request request{.client = *client,
                                .method = step.method,
                                .path = step.path,
                                .host = step.host,
                                .user = step.user,
                                .headers = headers};
    if (step.cost) request.cost = *step.cost;
    if (!step.mcp_method.empty()) return AskMessage(rules, request, step);
    engine::Receipt receipt;
    const auto decision = engine_->Decide(rules, request, step.now, &receipt);
    ASSERT_TRUE(decision.has_value()) << "nothing was reloaded meanwhile";
    if (decision->allowed()) {
      admitted_.emplace_back(receipt.charges.begin(), receipt.charges.begin() + receipt.size);
      if (!step.in_flight) End(rules, admitted_.back(), step.now);
    }
    Compare(rules.policy(), *decision, step.want);
  }

  void AskMessage(const engine::Ruleset& rules, const sluicegate::Request& sender,
                  const Step& step) {
    std::string text = MessageOf(step);
    const std::size_t size = text.size();
    text.append(wire::kMcpPadding, '\0');
    const auto refusal = judge_.Read(std::string_view(text).substr(0, size), rules.policy(), {});
    ASSERT_FALSE(refusal.has_value()) << refusal->body;
    std::vector<Stamp> leases;
    const auto decision = judge_.Decide(*engine_, rules, sender, step.now, leases);
    ASSERT_TRUE(decision.has_value()) << "nothing was reloaded meanwhile";
    Compare(rules.policy(), *decision, step.want);
  }

  // Gives the leases back, and only those.
  void End(const engine::Ruleset& rules, std::vector<Stamp>& charges, Now now) {
    std::erase_if(charges, [&](const Stamp& charge) {
      if (charge.lease) engine_->GiveBack(rules, charge, now);
      return charge.lease;
    });
  }

  static void Compare(const policy::Policy& policy, const Decision& got, const Expectation& want) {
    EXPECT_EQ(VerdictName(got.verdict), VerdictName(want.verdict));
    if (want.rule || want.limit) {
      ASSERT_NE(got.rule, Decision::kNone) << "nothing binds";
      const policy::Rule& rule = policy.rules()[got.rule];
      EXPECT_EQ(rule.name(), want.rule.value_or(rule.name()));
      if (want.limit) {
        ASSERT_NE(got.limit, Decision::kNone) << "no limit binds";
        EXPECT_EQ(rule.variants()[got.variant].limits[got.limit].name, *want.limit);
      }
    }
    EXPECT_EQ(got.shared_bits, want.shared_bits.value_or(got.shared_bits)) << "shared";
    EXPECT_EQ(got.quota, want.quota.value_or(got.quota)) << "quota";
    EXPECT_EQ(got.remaining, want.remaining.value_or(got.remaining)) << "remaining";
    const auto compare = [](std::uint64_t ns, const std::optional<std::uint64_t>& wanted_ns,
                            const char* what) {
      EXPECT_EQ(Milliseconds(ns), Milliseconds(wanted_ns.value_or(ns))) << what << " in ms";
    };
    compare(got.hold_ns, want.hold_ns, "hold");
    compare(got.retry_after_ns, want.retry_after_ns, "retry_after");
    compare(got.reset_after_ns, want.reset_after_ns, "reset_after");
  }

  std::unique_ptr<engine::Engine> engine_;
  http::McpJudge judge_;
  std::vector<std::vector<Stamp>> admitted_;  // The charges of each request.
};

TEST(Cases, ThereAreEnough) { EXPECT_GE(LoadCases(SLUICEGATE_CASES).size(), 40U); }

TEST(Cases, TheEngineDecidesThemAll) {
  for (const Case& one : LoadCases(SLUICEGATE_CASES)) {
    SCOPED_TRACE(one.file + ": " + one.name);
    EngineRunner runner(one);
    if (!runner.ready()) continue;
    for (const Step& step : one.steps) {
      SCOPED_TRACE("line " + std::to_string(step.line));
      runner.Run(step);
      if (::testing::Test::HasFailure()) break;
    }
  }
}

}  // namespace
}  // namespace sluicegate::cases
