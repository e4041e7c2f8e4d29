// Readings: what the admin door shows, as values. The program fills them in, so that this module
// knows neither the gateway nor the configuration. Every string comes from the program or from the
// policy, never from a client.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/statistics.h"

namespace sluicegate::admin {

/// A number that another module counts. `name` is the metric's whole name; counters end in
/// "_total".
struct Family {
  struct Sample {
    std::vector<std::pair<std::string, std::string>> labels;
    double value = 0;
  };
  enum class Type : std::uint8_t { kCounter, kGauge };
  std::string name;
  std::string help;
  Type type = Type::kCounter;
  std::vector<Sample> samples;
};

/// A limit as the policy has it.
struct LimitInfo {
  std::string name;
  std::string algorithm;
  std::uint64_t quota = 0;
  double window_seconds = 0;
  bool lease = false;  ///< It counts requests in flight: the window is how long one may last.
};

/// A rule as the policy has it, in the order of Report::rules.
struct RuleInfo {
  std::string name;
  std::string mode;  ///< "off", "observe" or "enforce".
  std::vector<LimitInfo> limits;
};

/// What became of the configuration file since the start.
struct ReloadInfo {
  std::uint64_t successes = 0;
  std::uint64_t failures = 0;
  bool last_good = true;  ///< The file was good when it was last read.
  std::int64_t last_good_unix_ns = 0;
};

/// The process as the kernel sees it. Absent where the kernel did not tell.
struct ProcessInfo {
  std::optional<double> resident_bytes;
  std::optional<double> cpu_seconds;
  std::optional<double> open_files;
  double start_unix_seconds = 0;
};

/// The file of the tables that processes share, and how this process fared with it.
struct StateFileInfo {
  std::string path;
  std::optional<std::uint64_t> bytes;  ///< Absent: there is no file of that name any more.
  unsigned processes = 0;              ///< Attached now, this one included.
  std::uint64_t takeovers = 0;         ///< Locks taken over from processes that had died.
  std::uint64_t stuck = 0;             ///< Times that a lock was not to be had.
};

struct Readings {
  std::string version;
  bool enabled = true;  ///< The policy's switch.
  bool draining = false;
  std::string policy_source;  ///< The configuration file's name, or that the policy is built in.
  double uptime_seconds = 0;
  engine::Report engine;
  std::vector<RuleInfo> rules;
  ReloadInfo reload;
  ProcessInfo process;
  std::optional<StateFileInfo> state_file;  ///< Absent: the tables are in memory.
  std::vector<Family> families;             ///< What other modules count: the gateway's numbers.
};

/// Asks the kernel (/proc/self). Takes tens of microseconds. `start_unix_seconds` is the caller's.
[[nodiscard]] ProcessInfo ReadProcess(double start_unix_seconds);

}  // namespace sluicegate::admin
