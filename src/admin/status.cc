#include "admin/status.h"

#include <cmath>
#include <nlohmann/json.hpp>

namespace sluicegate::admin {
namespace {

using Json = nlohmann::ordered_json;

Json LimitJson(const LimitInfo& limit) {
  return {{"name", limit.name},
          {"algorithm", limit.algorithm},
          {"quota", limit.quota},
          {limit.lease ? "lease_seconds" : "window_seconds", limit.window_seconds}};
}

Json CountersJson(const engine::RuleReport& rule) {
  return {{"allowed", rule.admitted},
          {"limited", rule.limited},
          {"banned", rule.banned},
          {"exempt", rule.exempt},
          {"observed", rule.observed},
          {"observed_denials", rule.observed_denials},
          {"violations", rule.violations},
          {"blocked", rule.blocked},
          {"network_for_new_keys", rule.network_for_key},
          {"network_for_leases", rule.network_for_lease},
          {"network_for_bans", rule.network_for_ban},
          {"bans", rule.bans},
          {"bans_refused", rule.bans_refused},
          {"ban_evictions", rule.ban_evictions}};
}

Json TableJson(const engine::RuleReport& rule) {
  return {{"slots", rule.capacity},
          {"bytes", rule.bytes},
          {"tracked_keys", rule.tracked_keys},
          {"tracked_offenders", rule.tracked_offenders},
          {"evictions_below_limit", rule.evictions},
          {"evictions_at_limit", rule.evictions_at_limit},
          {"forgotten", rule.forgotten},
          {"newcomers_refused_ratio", static_cast<double>(rule.sketch_refused_ppm) / 1e6},
          {"lease_slots", rule.lease_capacity},
          {"keys_in_flight", rule.keys_in_flight}};
}

Json RulesJson(const Readings& readings) {
  Json rules = Json::array();
  for (const engine::RuleReport& report : readings.engine.rules) {
    Json rule{{"name", report.rule}};
    for (const RuleInfo& info : readings.rules) {
      if (info.name != report.rule) continue;
      rule["mode"] = info.mode;
      rule["limits"] = Json::array();
      for (const LimitInfo& limit : info.limits) rule["limits"].push_back(LimitJson(limit));
    }
    rule["requests"] = CountersJson(report);
    rule["table"] = TableJson(report);
    rules.push_back(std::move(rule));
  }
  return rules;
}

/// {"name": value} for a number without labels, {"name": {"labels": value}} for others.
Json FamiliesJson(const std::vector<Family>& families) {
  Json all = Json::object();
  for (const Family& family : families) {
    for (const Family::Sample& sample : family.samples) {
      // Counts are whole numbers; JSON should show them as such.
      const bool whole = sample.value >= 0 && sample.value == std::floor(sample.value);
      const Json value =
          whole ? Json(static_cast<std::uint64_t>(sample.value)) : Json(sample.value);
      std::string label;
      for (const auto& [name, text] : sample.labels) {
        if (!label.empty()) label += ',';
        label += text;
      }
      if (label.empty()) {
        all[family.name] = value;
      } else {
        all[family.name][label] = value;
      }
    }
  }
  return all;
}

Json StateFileJson(const StateFileInfo& file) {
  Json shown{{"path", file.path}};
  if (file.bytes) shown["bytes"] = *file.bytes;
  shown["processes"] = file.processes;
  shown["takeovers"] = file.takeovers;
  shown["stuck"] = file.stuck;
  return shown;
}

}  // namespace

std::string RenderStatus(const Readings& readings) {
  Json status{{"version", readings.version},
              {"state", readings.draining ? "draining" : "running"},
              {"uptime_seconds", readings.uptime_seconds},
              {"policy", {{"source", readings.policy_source}, {"enabled", readings.enabled}}}};
  status["rules"] = RulesJson(readings);
  status["unmatched_requests"] = readings.engine.unmatched;
  status["gateway"] = FamiliesJson(readings.families);
  if (readings.state_file) status["state_file"] = StateFileJson(*readings.state_file);
  status["reloads"] = {
      {"successes", readings.reload.successes},
      {"failures", readings.reload.failures},
      {"last_good", readings.reload.last_good},
      {"last_good_unix_seconds", readings.reload.last_good_unix_ns / 1'000'000'000}};
  if (readings.process.resident_bytes) {
    status["resident_bytes"] = static_cast<std::uint64_t>(*readings.process.resident_bytes);
  }
  // Names are the policy's, which may hold any UTF-8; a stray byte is replaced, never thrown on.
  return status.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

}  // namespace sluicegate::admin
