// Episode: one policy and what becomes of it under traffic that is chosen to break it: bursts at
// the edges of windows, waits that are one nanosecond too short, clocks that are set, reloads,
// floods, give-backs, crashes. Every decision is compared with the oracle's. All chance comes from
// the seed. Bound to one thread.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "generate.h"
#include "laid_policy.h"
#include "oracle.h"
#include "probe.h"
#include "random.h"
#include "sim_clock.h"
#include "traffic.h"

namespace sluicegate::sim {

/// What a run did, for the line of progress.
struct Tally {
  std::uint64_t decisions = 0;
  std::uint64_t denied = 0;
  std::uint64_t banned = 0;
  std::uint64_t reloads = 0;
  std::uint64_t crashes = 0;
  std::uint64_t give_backs = 0;
  std::uint64_t evictions = 0;
  std::uint64_t evictions_at_limit = 0;
  std::uint64_t forgotten = 0;
  std::uint64_t newcomers = 0;
  std::uint64_t refused = 0;
  std::uint64_t skipped = 0;  ///< Two keys were one to the engine.
};

class Episode {
 public:
  /// Everything follows from these.
  struct Options {
    std::uint64_t seed = 0;
    std::uint64_t number = 0;
    bool roomy = true;
    std::uint64_t steps = 0;
  };
  Episode(const Options& options, Tally& tally);

  /// What went wrong, with the policy and the last steps of those keys. Nothing: all is well.
  [[nodiscard]] std::optional<std::string> Run();

 private:
  struct Record {
    std::uint64_t step = 0;
    Now now;
    std::string note;  // Empty: a decision.
    Ask ask;
    Decision decision;
    std::vector<std::uint64_t> keys;
  };

  void Begin();
  void Adopt(PolicySpec spec, std::shared_ptr<const policy::Policy> policy);
  /// A generated policy that the compiler takes.
  [[nodiscard]] std::shared_ptr<const policy::Policy> Compile(PolicySpec& spec, bool edit);
  [[nodiscard]] bool KeepsSketches(const policy::Policy& next) const;

  void Step();
  void Pass();
  std::optional<Decision> Decide(const Ask& ask, Now now);
  void Request();
  void DeniedChangesNothing(const Ask& ask, Now now);
  void WaitIsExact(const Ask& ask, const Decision& denied);
  void Flood();
  void GiveBack();
  void Reload();
  void AskMovedTables(const std::shared_ptr<const engine::Ruleset>& before, Now now);
  void Crash();
  void CheckReport();
  void CountReport();
  void CheckRefusals();
  void Note(std::string text);
  void Keep(const Ask& ask, const Forecast& forecast, const Decision& decision, Now now);
  [[nodiscard]] std::string Explain(const std::string& what) const;

  const Options options_;
  Tally& tally_;
  Random random_;
  const Setting setting_;
  const HashSecret secret_;
  Generator generator_;
  Traffic traffic_;
  SimClock clock_;
  std::shared_ptr<const LaidPolicy> policy_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<Probe> probe_;
  std::unique_ptr<Oracle> oracle_;
  std::vector<Charge> charges_;          // Not given back yet.
  std::vector<std::uint64_t> instants_;  // Engine times at which something was said to happen.
  std::deque<Record> records_;
  std::uint64_t step_ = 0;
};

}  // namespace sluicegate::sim
