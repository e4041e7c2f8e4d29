#include "policy/network_compiler.h"

#include <algorithm>
#include <utility>

#include "limit/saturating.h"
#include "policy/values.h"

namespace sluicegate::policy {
namespace {

constexpr std::uint32_t kNewKeysIndex = 255;  // In no LimitSet.

// Whether some limit is meant to be one of rates, however it was spelt.
bool HasRates(const RuleConfig& config) {
  const auto one = [](const std::vector<LimitConfig>& limits) {
    return limits.empty() ||  // A mistake of its own.
           std::ranges::any_of(limits, [](const LimitConfig& limit) { return !limit.concurrency; });
  };
  return one(config.limits) || std::ranges::any_of(config.overrides, one, &OverrideConfig::limits);
}

std::string Times(std::uint64_t factor) { return "x" + std::to_string(factor); }

// What is wrong with a limit, without the mend: nobody wrote it like that.
std::string Reason(const std::string& sentence) {
  return sentence.substr(0, sentence.rfind(". ") + 1);
}

std::string Network(const Ceiling& ceiling) { return "/" + std::to_string(ceiling.prefix_bits); }

}  // namespace

void NetworkCompiler::CheckRule(Position at, const std::string& what) {
  const bool key_is_good = config_.key && key_.size() == config_.key->size();
  if (key_is_good && std::ranges::find(key_, KeyKind::kClient, &KeyPart::kind) == key_.end()) {
    mistakes_.Add(at, what + " is for clients' networks, and this rule's key has no client.",
                  "Add client to the key, or leave this out.");
  }
  if (!HasRates(config_)) {
    mistakes_.Add(at, what + " is for rates, and this rule has none.",
                  "Add a limit like 60/minute, or leave this out.");
  }
}

std::vector<Ceiling> NetworkCompiler::ReadCeilings() {
  const auto& configs = config_.ceilings;
  if (configs.empty()) return {};
  CheckRule(configs.front().prefix.at, "A ceiling");
  if (configs.size() > kMaxCeilings) {
    mistakes_.Add(configs[kMaxCeilings].prefix.at, "A rule has at most 2 ceilings.",
                  "Leave out those that matter least.");
    return {};
  }
  std::vector<Placed> placed;
  for (const CeilingConfig& config : configs) {
    if (auto one = ReadCeiling(config)) placed.push_back(std::move(*one));
  }
  std::ranges::sort(placed, {}, [](const Placed& one) {
    return std::pair(-static_cast<int>(one.value.prefix_bits), one.at);
  });
  for (std::size_t i = 1; i < placed.size(); ++i) CheckOrder(placed[i - 1], placed[i]);
  std::vector<Ceiling> ceilings;
  ceilings.reserve(placed.size());
  for (Placed& one : placed) ceilings.push_back(std::move(one.value));
  return ceilings;
}

std::optional<NetworkCompiler::Placed> NetworkCompiler::ReadCeiling(const CeilingConfig& config) {
  const auto bits = ReadNumber(config.prefix, "A ceiling's prefix length", 32, 63, mistakes_);
  const auto factor = ReadFactor(config.factor, "A ceiling's factor", mistakes_);
  if (!bits || !factor) return std::nullopt;
  return Placed{.value = {.prefix_bits = static_cast<unsigned>(*bits),
                          .factor = *factor,
                          .layout = Multiply(*factor, config.factor.at)},
                .at = config.factor.at};
}

void NetworkCompiler::CheckOrder(const Placed& longer, const Placed& shorter) {
  if (longer.value.prefix_bits == shorter.value.prefix_bits) {
    mistakes_.Add(shorter.at, "There are two ceilings for the " + Network(shorter.value) + ".",
                  "Remove one of them.");
  } else if (shorter.value.factor < longer.value.factor) {
    mistakes_.Add(shorter.at,
                  "The " + Network(shorter.value) + " has less than each " + Network(longer.value) +
                      " in it (" + Times(longer.value.factor) + "), so it always ends first.",
                  "Write at least " + Times(longer.value.factor) + ".");
  }
}

// The rates of every limit set, so many times over.
Layout NetworkCompiler::Multiply(std::uint64_t factor, Position at) {
  std::vector<LimitSet> sets(variants_.begin(), variants_.end());
  for (LimitSet& set : sets) {
    for (RuleLimit& limit : set.limits) {
      if (limit.limit.algorithm() == Algorithm::kConcurrency) continue;
      limit.written.quota = limit::MultiplySaturating(limit.written.quota, factor);
      limit.written.refill = limit::MultiplySaturating(limit.written.refill, factor);
      const auto compiled = limit::CompiledLimit::Compile(limit.written);
      if (compiled) {
        limit.limit = *compiled;
        continue;
      }
      mistakes_.Add(at,
                    Times(factor) + " is too much for the limit " + limit.name + ": " +
                        Reason(compiled.error()),
                    "Write a smaller factor.");
    }
  }
  return Layout::Lay(sets, Layout::Of::kRates);
}

std::optional<BoundLimit> NetworkCompiler::ReadNewKeys(std::size_t offset) {
  if (!config_.new_keys) return std::nullopt;
  const Text& text = *config_.new_keys;
  CheckRule(text.at, "A budget of new keys");
  const auto limit = Limit::Parse(text.value);
  if (!limit) {
    mistakes_.AddSentence(text.at, limit.error());
    return std::nullopt;
  }
  const auto compiled = limit::CompiledLimit::Compile(*limit);
  if (!compiled) {
    mistakes_.Add(text.at, "This budget of new keys is none: " + Reason(compiled.error()),
                  "Write one like 1000/minute.");
    return std::nullopt;
  }
  return BoundLimit{
      .limit = *compiled, .offset = static_cast<std::uint32_t>(offset), .index = kNewKeysIndex};
}

void NetworkCompiler::Append(Layout& layout, const BoundLimit& new_keys) {
  for (BoundLimits& limits : layout.variants) limits.push_back(new_keys);
  layout.slot_bytes = new_keys.offset + new_keys.limit.state_bytes();
}

}  // namespace sluicegate::policy
