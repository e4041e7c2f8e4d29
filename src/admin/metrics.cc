#include "admin/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <limits>
#include <utility>
#include <vector>

namespace sluicegate::admin {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;
using engine::RuleReport;

constexpr double kNsPerSecond = 1e9;

MetricFamily NewFamily(std::string name, std::string help, MetricType type) {
  MetricFamily family;
  family.name = std::move(name);
  family.help = std::move(help);
  family.type = type;
  return family;
}

void Add(MetricFamily& family, Labels labels, double value) {
  ClientMetric metric;
  metric.label = std::move(labels);
  if (family.type == MetricType::Counter) {
    metric.counter.value = value;
  } else {
    metric.gauge.value = value;
  }
  family.metric.push_back(std::move(metric));
}

/// A family with one number and no labels.
MetricFamily Single(std::string name, std::string help, MetricType type, double value) {
  MetricFamily family = NewFamily(std::move(name), std::move(help), type);
  Add(family, {}, value);
  return family;
}

/// A number that every rule has.
struct RuleNumber {
  const char* name;
  const char* help;
  MetricType type;
  double (*value)(const RuleReport&);
};

double FillRatio(const RuleReport& rule) {
  if (rule.capacity == 0) return 0;
  return static_cast<double>(rule.tracked_keys) / static_cast<double>(rule.capacity);
}

constexpr RuleNumber kRuleNumbers[] = {
    {"sluicegate_rule_observed_total", "Decisions of a rule in mode observe.", MetricType::Counter,
     [](const RuleReport& rule) { return static_cast<double>(rule.observed); }},
    {"sluicegate_rule_observed_denials_total",
     "Decisions of a rule in mode observe that would have denied the request.", MetricType::Counter,
     [](const RuleReport& rule) { return static_cast<double>(rule.observed_denials); }},
    {"sluicegate_rule_violations_total",
     "Enforced denials that counted towards a ban; 0 without a penalty.", MetricType::Counter,
     [](const RuleReport& rule) { return static_cast<double>(rule.violations); }},
    {"sluicegate_rule_blocked_total",
     "Requests limited, as the key was evicted at a limit or passes for one that was.",
     MetricType::Counter, [](const RuleReport& rule) { return static_cast<double>(rule.blocked); }},
    {"sluicegate_rule_bans_total", "Bans begun.", MetricType::Counter,
     [](const RuleReport& rule) { return static_cast<double>(rule.bans); }},
    {"sluicegate_rule_bans_refused_total",
     "Violations not recorded, as the ban table was full of running bans.", MetricType::Counter,
     [](const RuleReport& rule) { return static_cast<double>(rule.bans_refused); }},
    {"sluicegate_rule_ban_evictions_total",
     "Keys whose violations or level of ban gave way to another key's in a full bucket.",
     MetricType::Counter,
     [](const RuleReport& rule) { return static_cast<double>(rule.ban_evictions); }},
    {"sluicegate_table_slots", "Keys that the rule's table holds at most.", MetricType::Gauge,
     [](const RuleReport& rule) { return static_cast<double>(rule.capacity); }},
    {"sluicegate_table_bytes", "Memory of the rule's table, fixed at start.", MetricType::Gauge,
     [](const RuleReport& rule) { return static_cast<double>(rule.bytes); }},
    {"sluicegate_table_tracked_keys", "Live keys in the rule's table, estimated from a sample.",
     MetricType::Gauge,
     [](const RuleReport& rule) { return static_cast<double>(rule.tracked_keys); }},
    {"sluicegate_table_tracked_offenders",
     "Keys with violations, a level or a ban, estimated from a sample.", MetricType::Gauge,
     [](const RuleReport& rule) { return static_cast<double>(rule.tracked_offenders); }},
    {"sluicegate_table_fill_ratio", "Share of the rule's table that live keys take.",
     MetricType::Gauge, FillRatio},
    {"sluicegate_table_forgotten_total",
     "Keys evicted at a limit that the sketch could not remember: they start afresh.",
     MetricType::Counter,
     [](const RuleReport& rule) { return static_cast<double>(rule.forgotten); }},
    {"sluicegate_table_newcomers_refused_ratio",
     "Share of new keys that pass for evicted offenders and are refused, at most.",
     MetricType::Gauge,
     [](const RuleReport& rule) { return static_cast<double>(rule.sketch_refused_ppm) / 1e6; }},
    {"sluicegate_table_lease_slots", "Keys that can have requests in flight at once.",
     MetricType::Gauge,
     [](const RuleReport& rule) { return static_cast<double>(rule.lease_capacity); }},
    {"sluicegate_table_keys_in_flight", "Keys with requests in flight, estimated from a sample.",
     MetricType::Gauge,
     [](const RuleReport& rule) { return static_cast<double>(rule.keys_in_flight); }},
};

void AddRuleNumbers(const engine::Report& report, std::vector<MetricFamily>& families) {
  for (const RuleNumber& number : kRuleNumbers) {
    MetricFamily family = NewFamily(number.name, number.help, number.type);
    for (const RuleReport& rule : report.rules) {
      Add(family, {{"rule", rule.rule}}, number.value(rule));
    }
    families.push_back(std::move(family));
  }
}

void AddDecisions(const engine::Report& report, std::vector<MetricFamily>& families) {
  MetricFamily decisions =
      NewFamily("sluicegate_rule_decisions_total",
                "Requests that an enforced rule matched, by verdict.", MetricType::Counter);
  MetricFamily evictions =
      NewFamily("sluicegate_table_evictions_total",
                "Live keys that gave way in a full bucket, by whether they were at a limit.",
                MetricType::Counter);
  MetricFamily network = NewFamily(
      "sluicegate_rule_network_decisions_total",
      "Requests decided on what the client's network shares, by what there was too much of.",
      MetricType::Counter);
  for (const RuleReport& rule : report.rules) {
    const auto decided = [&](const char* verdict, std::uint64_t count) {
      Add(decisions, {{"rule", rule.rule}, {"verdict", verdict}}, static_cast<double>(count));
    };
    decided("allowed", rule.admitted);
    decided("limited", rule.limited);
    decided("banned", rule.banned);
    decided("exempt", rule.exempt);
    Add(evictions, {{"rule", rule.rule}, {"state", "below_limit"}},
        static_cast<double>(rule.evictions));
    Add(evictions, {{"rule", rule.rule}, {"state", "at_limit"}},
        static_cast<double>(rule.evictions_at_limit));
    const auto shared = [&](const char* reason, std::uint64_t count) {
      Add(network, {{"rule", rule.rule}, {"reason", reason}}, static_cast<double>(count));
    };
    shared("new_keys", rule.network_for_key);
    shared("leases", rule.network_for_lease);
    shared("bans", rule.network_for_ban);
  }
  families.push_back(std::move(decisions));
  families.push_back(std::move(evictions));
  families.push_back(std::move(network));
  families.push_back(Single("sluicegate_unmatched_requests_total", "Requests that no rule matched.",
                            MetricType::Counter, static_cast<double>(report.unmatched)));
}

MetricFamily Latency(const engine::LatencyReport& report) {
  MetricFamily family = NewFamily("sluicegate_decision_duration_seconds",
                                  "Time that a decision took, sampled (doors measure one in 64).",
                                  MetricType::Histogram);
  ClientMetric metric;
  for (std::size_t i = 0; i < report.counts.size(); ++i) {
    const bool last = i == report.kBoundsNs.size();
    metric.histogram.bucket.push_back(
        {.cumulative_count = report.counts[i],
         .upper_bound = last ? std::numeric_limits<double>::infinity()
                             : static_cast<double>(report.kBoundsNs[i]) / kNsPerSecond});
  }
  metric.histogram.sample_count = report.counts.back();
  metric.histogram.sample_sum = static_cast<double>(report.sum_ns) / kNsPerSecond;
  family.metric.push_back(std::move(metric));
  return family;
}

void AddReload(const ReloadInfo& reload, std::vector<MetricFamily>& families) {
  MetricFamily reloads =
      NewFamily("sluicegate_config_reloads_total", "Reloads of the configuration file, by result.",
                MetricType::Counter);
  Add(reloads, {{"result", "success"}}, static_cast<double>(reload.successes));
  Add(reloads, {{"result", "failure"}}, static_cast<double>(reload.failures));
  families.push_back(std::move(reloads));
  families.push_back(Single("sluicegate_config_last_reload_successful",
                            "1 if the configuration file was good when it was last read, else 0.",
                            MetricType::Gauge, reload.last_good ? 1 : 0));
  families.push_back(Single("sluicegate_config_last_good_timestamp_seconds",
                            "When the configuration in force was read, in seconds since 1970.",
                            MetricType::Gauge,
                            static_cast<double>(reload.last_good_unix_ns) / kNsPerSecond));
}

void AddStateFile(const StateFileInfo& file, std::vector<MetricFamily>& families) {
  families.push_back(Single("sluicegate_state_processes",
                            "Processes that are attached to the state file, this one included.",
                            MetricType::Gauge, file.processes));
  if (file.bytes) {
    families.push_back(Single("sluicegate_state_file_bytes", "Size of the state file.",
                              MetricType::Gauge, static_cast<double>(*file.bytes)));
  }
  families.push_back(Single("sluicegate_state_takeovers_total",
                            "Locks that this process took over from one that had died.",
                            MetricType::Counter, static_cast<double>(file.takeovers)));
  families.push_back(
      Single("sluicegate_state_stuck_total",
             "Locks that this process did not get, as a stopped or starved one held them.",
             MetricType::Counter, static_cast<double>(file.stuck)));
}

void AddProcess(const ProcessInfo& process, std::vector<MetricFamily>& families) {
  const auto add = [&](const char* name, const char* help, MetricType type,
                       std::optional<double> value) {
    if (value) families.push_back(Single(name, help, type, *value));
  };
  add("process_resident_memory_bytes", "Resident memory.", MetricType::Gauge,
      process.resident_bytes);
  add("process_cpu_seconds_total", "Processor time, user and system.", MetricType::Counter,
      process.cpu_seconds);
  add("process_open_fds", "Open file descriptors.", MetricType::Gauge, process.open_files);
  add("process_start_time_seconds", "When the program started, in seconds since 1970.",
      MetricType::Gauge, process.start_unix_seconds);
}

void AddFamilies(const std::vector<Family>& given, std::vector<MetricFamily>& families) {
  for (const Family& from : given) {
    MetricFamily family =
        NewFamily(from.name, from.help,
                  from.type == Family::Type::kCounter ? MetricType::Counter : MetricType::Gauge);
    for (const Family::Sample& sample : from.samples) {
      Labels labels;
      for (const auto& [name, value] : sample.labels) labels.push_back({name, value});
      Add(family, std::move(labels), sample.value);
    }
    families.push_back(std::move(family));
  }
}

}  // namespace

std::string RenderMetrics(const Readings& readings) {
  std::vector<MetricFamily> families;
  MetricFamily build =
      NewFamily("sluicegate_build_info", "Always 1; the label is the version.", MetricType::Gauge);
  Add(build, {{"version", readings.version}}, 1);
  families.push_back(std::move(build));
  families.push_back(Single("sluicegate_policy_enabled", "1 if the policy is switched on, else 0.",
                            MetricType::Gauge, readings.enabled ? 1 : 0));
  families.push_back(Single("sluicegate_draining", "1 while the program is stopping, else 0.",
                            MetricType::Gauge, readings.draining ? 1 : 0));
  AddDecisions(readings.engine, families);
  AddRuleNumbers(readings.engine, families);
  families.push_back(Latency(readings.engine.latency));
  AddFamilies(readings.families, families);
  if (readings.state_file) AddStateFile(*readings.state_file, families);
  AddReload(readings.reload, families);
  AddProcess(readings.process, families);
  // A family without samples (no rules) would leave a HELP line that describes nothing.
  std::erase_if(families, [](const MetricFamily& family) { return family.metric.empty(); });
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace sluicegate::admin
