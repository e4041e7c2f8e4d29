// DenialLog: a few denials a second become log lines, the others are counted, so that a flood
// neither fills the disk nor goes unseen. Thread-safe.
//
// A line names the rule and the limit (the policy's words) and a pseudonym of the key: the same for
// one key while the program runs, and telling nothing of it, nor of where the tables hold it.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "app/pseudonyms.h"
#include "http/denial.h"

namespace sluicegate::app {

class DenialLog {
 public:
  static constexpr std::uint64_t kLinesPerSecond = 5;

  using Sink = std::function<void(const std::string& line)>;

  /// REQUIRES: `sink` is thread-safe.
  explicit DenialLog(Sink sink, Pseudonyms names = {}) : names_(names), sink_(std::move(sink)) {}

  /// Logs or counts one denial.
  void Note(const http::DenialEvent& denial);

  /// Tells how many were not logged, once their second is over. Call about once a second. `now_ns`
  /// is engine time.
  void Flush(std::uint64_t now_ns);

 private:
  void BeginSecond(std::uint64_t now_ns);

  const Pseudonyms names_;
  const Sink sink_;
  std::atomic<std::uint64_t> second_{0};
  std::atomic<std::uint64_t> noted_{0};  // In that second.
};

}  // namespace sluicegate::app
