// AlarmLog: what a rule loses for want of memory becomes a warning, at most one a rule a minute; so
// does a state file that a stopped process holds. Bound to one thread.
//
// A rule's line names the rule, how much was lost since the rule's line before, and how many
// newcomers a sketch that goes on folding (`saturated: protect`) refuses. The state file's names
// the file, how many locks were not to be had since its line before, and the mend.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/statistics.h"

namespace sluicegate::app {

class AlarmLog {
 public:
  static constexpr std::uint64_t kQuietNs = 60'000'000'000;

  using Sink = std::function<void(const std::string& line)>;
  explicit AlarmLog(Sink sink) : sink_(std::move(sink)) {}

  /// Looks at the counts of all rules. Call about once a second. `now_ns` is engine time.
  void Look(std::span<const engine::RuleReport> rules, std::uint64_t now_ns);
  /// Looks at the times that a lock of the file at `path` was not to be had. Call it as often.
  void LookAtStateFile(std::string_view path, std::uint64_t stuck, std::uint64_t now_ns);

 private:
  struct Losses {
    std::uint64_t forgotten = 0;   // Evicted offenders that start afresh.
    std::uint64_t leases = 0;      // Requests in flight without a place of their own.
    std::uint64_t violations = 0;  // Without a place, so that they earned no ban.
  };
  struct Told {
    Losses losses;
    std::optional<std::uint64_t> at_ns;  // Of the line before.
  };
  void LookAt(const engine::RuleReport& rule, Told& told, std::uint64_t now_ns) const;

  const Sink sink_;
  std::map<std::string, Told> told_;  // By rule: those of the last look.
  std::uint64_t stuck_told_ = 0;
  std::optional<std::uint64_t> stuck_told_at_ns_;
};

}  // namespace sluicegate::app
