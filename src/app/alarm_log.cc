#include "app/alarm_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace sluicegate::app {

namespace {

// Whether a line at `told_at_ns` forbids another one now.
bool IsQuiet(std::optional<std::uint64_t> told_at_ns, std::uint64_t now_ns) {
  return told_at_ns && now_ns < *told_at_ns + AlarmLog::kQuietNs;
}

}  // namespace

void AlarmLog::LookAt(const engine::RuleReport& rule, Told& told, std::uint64_t now_ns) const {
  if (IsQuiet(told.at_ns, now_ns)) return;
  std::vector<std::string> lost;
  const auto tell = [&lost](std::uint64_t& before, std::uint64_t count, std::string_view what) {
    // A count that fell belongs to a table that a reload took away.
    if (count > before) lost.push_back(fmt::format("{} {}", count - before, what));
    before = count;
  };
  tell(told.losses.forgotten, rule.forgotten, "offender(s) forgotten");
  tell(told.losses.leases, rule.network_for_lease, "request(s) in flight without a place");
  tell(told.losses.violations, rule.bans_refused, "violation(s) without a place");
  // About one in a hundred a sketch lets happen by itself.
  constexpr std::uint32_t kPercentPpm = 10'000;
  if (rule.sketch_refused_ppm >= 2 * kPercentPpm) {
    lost.push_back(fmt::format("{} % of newcomers refused", rule.sketch_refused_ppm / kPercentPpm));
  }
  if (lost.empty()) return;
  told.at_ns = now_ns;
  sink_(fmt::format("memory: rule {} has too little: {}", rule.rule, fmt::join(lost, ", ")));
}

void AlarmLog::Look(std::span<const engine::RuleReport> rules, std::uint64_t now_ns) {
  std::map<std::string, Told> next;
  for (const engine::RuleReport& rule : rules) {
    const auto before = told_.find(rule.rule);
    Told told = before == told_.end() ? Told() : before->second;
    LookAt(rule, told, now_ns);
    next.emplace(rule.rule, told);
  }
  told_ = std::move(next);  // A rule that is gone is forgotten.
}

void AlarmLog::LookAtStateFile(std::string_view path, std::uint64_t stuck, std::uint64_t now_ns) {
  if (stuck == stuck_told_ || IsQuiet(stuck_told_at_ns_, now_ns)) return;
  sink_(fmt::format(
      "state: a process that is attached to {} is stopped or starved: {} time(s) a lock was not to "
      "be had. Requests that need it are answered as their rule's fail says; let that process go "
      "on, or end it",
      path, stuck - stuck_told_));
  stuck_told_ = stuck;
  stuck_told_at_ns_ = now_ns;
}

}  // namespace sluicegate::app
