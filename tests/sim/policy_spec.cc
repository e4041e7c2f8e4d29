#include "policy_spec.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace sluicegate::sim {
namespace {

constexpr std::array<std::string_view, 7> kUnits = {"second", "minute", "hour", "day",
                                                    "week",   "month",  "year"};
constexpr std::array<std::string_view, 3> kModes = {"\"off\"", "observe", "enforce"};

std::string Ns(std::uint64_t ns) { return std::to_string(ns) + "ns"; }

template <class Items, class Write>
std::string List(const Items& items, const Write& write) {
  std::string list;
  for (const auto& item : items) list += (list.empty() ? "" : ", ") + write(item);
  return "[" + list + "]";
}

std::string Texts(const std::vector<std::string>& texts) {
  return List(texts, [](const std::string& text) { return "\"" + text + "\""; });
}

std::string Networks(const std::vector<IpPrefix>& prefixes) {
  return List(prefixes, [](const IpPrefix& prefix) { return "\"" + prefix.ToString() + "\""; });
}

std::string Write(const LimitSpec& limit) {
  const std::string quota = std::to_string(limit.quota);
  const std::string name = ", name: " + limit.name + "}";
  switch (limit.algorithm) {
    case Algorithm::kSlidingWindow:
      return "{limit: " + quota + "/" + Ns(limit.window_ns) + name;
    case Algorithm::kTokenBucket:
      return "{burst: " + quota + ", refill: " + std::to_string(limit.refill) + "/" +
             Ns(limit.window_ns) + name;
    case Algorithm::kFixedWindow:
      return "{limit: " + quota + "/" + std::string(kUnits[static_cast<std::size_t>(limit.unit)]) +
             ", algorithm: fixed_window" + name;
    case Algorithm::kConcurrency:
      break;
  }
  return "{concurrency: " + quota + ", lease: " + Ns(limit.window_ns) + name;
}

std::string Write(const std::vector<LimitSpec>& limits) {
  return List(limits, [](const LimitSpec& limit) { return Write(limit); });
}

std::string Write(const OverrideSpec& one) {
  std::string when;
  if (!one.when.clients.empty()) when = "client: " + Networks(one.when.clients);
  if (!one.when.users.empty()) {
    when += (when.empty() ? "user: " : ", user: ") + Texts(one.when.users);
  }
  return "{when: {" + when + "}, limits: " + Write(one.limits) + "}";
}

std::string Write(const PenaltySpec& penalty) {
  return "{violations: " + std::to_string(penalty.violations) +
         ", within: " + Ns(penalty.within_ns) + ", ban: " + Ns(penalty.ban_ns) + ", escalate: " +
         List(penalty.escalate, [](std::uint32_t factor) { return std::to_string(factor); }) + "}";
}

std::string Write(const std::vector<CeilingSpec>& ceilings) {
  std::string map;
  for (const CeilingSpec& one : ceilings) {
    map +=
        (map.empty() ? "" : ", ") + std::to_string(one.bits) + ": x" + std::to_string(one.factor);
  }
  return "{" + map + "}";
}

std::string Write(const RuleSpec& rule) {
  std::string yaml = "  - name: " + rule.name + "\n";
  const auto line = [&yaml](const char* key, const std::string& value) {
    yaml += "    " + std::string(key) + ": " + value + "\n";
  };
  line("mode", std::string(kModes[static_cast<std::size_t>(rule.mode)]));
  if (!rule.paths.empty()) line("match", "{path: " + Texts(rule.paths) + "}");
  line("key", Texts(rule.key));
  line("limits", Write(rule.limits));
  if (!rule.ceilings.empty()) line("ceilings", Write(rule.ceilings));
  if (rule.new_keys) {
    line("new_keys", std::to_string(rule.new_keys->quota) + "/" + Ns(rule.new_keys->window_ns));
  }
  if (!rule.exempt.empty()) {
    line("exempt", "{clients: " + Networks(rule.exempt.clients) +
                       ", users: " + Texts(rule.exempt.users) + "}");
  }
  if (!rule.overrides.empty()) {
    line("overrides", List(rule.overrides, [](const OverrideSpec& one) { return Write(one); }));
  }
  if (rule.penalty) line("penalty", Write(*rule.penalty));
  if (rule.cost != 1) line("cost", std::to_string(rule.cost));
  line("memory", std::to_string(rule.memory));
  if (rule.protect) line("saturated", "protect");
  return yaml;
}

}  // namespace

bool LimitSpec::Continues(const LimitSpec& other) const {
  if (algorithm != other.algorithm) return false;
  if (algorithm == Algorithm::kTokenBucket || is_lease()) return true;
  if (algorithm == Algorithm::kFixedWindow) return unit == other.unit;
  return window_ns == other.window_ns;
}

bool RuleSpec::has_client() const { return std::ranges::find(key, "client") != key.end(); }

std::string PolicySpec::ToYaml() const {
  std::uint64_t memory = 0;
  for (const RuleSpec& rule : rules) memory += rule.mode == ModeSpec::kOff ? 0 : rule.memory;
  memory = std::max<std::uint64_t>(memory, 1024);
  std::string yaml = "enabled: " + std::string(enabled ? "true" : "false") + "\n";
  yaml += "clients: {identity: {header: x-user-id}, trusted_proxies: [192.0.2.0/24]}\n";
  yaml += "state: {memory: " + std::to_string(memory) +
          ", sketch: " + std::to_string(memory * sketch_percent / 100) + "}\n";
  yaml += "rules:\n";
  for (const RuleSpec& rule : rules) yaml += Write(rule);
  return yaml;
}

}  // namespace sluicegate::sim
