// The policy file: any bytes are a policy or mistakes, each with a place in the text, what is wrong
// and what to write instead; what is a policy keeps every bound that its makers promise.
#include <algorithm>
#include <string>
#include <vector>

#include "config/load.h"
#include "fuzz_target.h"
#include "policy/capacity.h"

using sluicegate::fuzz::Require;
namespace config = sluicegate::config;
namespace policy = sluicegate::policy;

namespace {

void CheckMistake(const policy::Mistake& mistake, std::size_t lines, std::size_t bytes) {
  Require(!mistake.what.empty() && !mistake.mend.empty());
  Require(mistake.what.ends_with('.') && mistake.mend.ends_with('.'));
  Require(mistake.mend.front() >= 'A' && mistake.mend.front() <= 'Z');
  Require(mistake.at.line <= lines && mistake.at.column <= bytes + 1);
  // Twice the 500 bytes that are shown of a text, the place, and what stands between.
  const std::string text = config::FormatMistake("policy.yaml", mistake);
  Require(text.size() <= 1'100);
  Require(std::ranges::none_of(
      text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }));
}

void CheckLimits(const policy::Rule& rule, const policy::LimitSet& set) {
  Require(!set.limits.empty() && set.limits.size() <= policy::kMaxLimitsPerRule);
  Require(set.state_bytes > 0 && set.state_bytes <= rule.slot_bytes());
  for (const policy::RuleLimit& limit : set.limits) {
    Require(!limit.name.empty() && limit.limit.quota() >= rule.cost().fallback);
    Require(limit.offset % 8 == 0 && limit.offset + limit.limit.state_bytes() <= set.state_bytes);
  }
}

void CheckRule(const policy::Rule& rule) {
  Require(!rule.name().empty() && rule.key().size() <= policy::kMaxKeyParts);
  Require(!rule.variants().empty() && rule.variants().size() <= policy::kMaxOverridesPerRule + 1);
  for (const policy::LimitSet& set : rule.variants()) CheckLimits(rule, set);
  Require((policy::LiveKeys(rule) > 0) == (rule.mode() != policy::Mode::kOff));
  Require(rule.cost().fallback > 0 && rule.cost().fallback <= rule.cost().fallback);
  if (rule.penalty()) Require(!rule.penalty()->escalate.empty());
}

// A request of ordinary words: matching it and taking its key must work for every policy.
void Ask(const policy::Policy& compiled) {
  const std::vector<std::string_view> headers(compiled.asked_headers().size(), "free");
  sluicegate::Request request;
  request.method = "GET";
  request.path = "/api/v1/items";
  request.host = "api.example.com";
  request.headers = headers;
  for (const policy::Rule& rule : compiled.rules()) {
    const std::uint8_t variant = rule.VariantOf(request);
    Require(variant < rule.variants().size());
    static_cast<void>(rule.Matches(request));
    Require(rule.HashKey({}, request, variant) == rule.HashKey({}, request, variant));
    Require(rule.CostOf(request) <= rule.cost().fallback);
  }
}

}  // namespace

SG_FUZZ_TARGET(config) {
  const auto lines = static_cast<std::size_t>(std::ranges::count(bytes, '\n')) + 1;
  const auto result = config::ParsePolicy(bytes);
  if (!result) {
    const config::Mistakes& mistakes = result.error();
    Require(!mistakes.empty() && mistakes.size() <= config::kMaxMistakes + 1);
    Require(std::ranges::is_sorted(mistakes, {}, &policy::Mistake::at));
    for (const policy::Mistake& mistake : mistakes) CheckMistake(mistake, lines, bytes.size());
    return;
  }
  const policy::Policy& compiled = **result;
  for (const policy::Mistake& warning : compiled.warnings())
    CheckMistake(warning, lines, bytes.size());
  Require(compiled.rules().size() <= policy::kMaxRules);
  std::size_t memory = 0;
  for (const policy::Rule& rule : compiled.rules()) {
    CheckRule(rule);
    if (rule.mode() != policy::Mode::kOff) memory += rule.memory();
  }
  Require(memory <= compiled.settings().memory);
  Ask(compiled);
}
