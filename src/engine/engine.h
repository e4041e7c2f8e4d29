// The engine: the one decision over a policy, its tables and its bans. Every door asks it and
// nothing else decides.
//
// Thread-safe: any thread may decide, give back, publish and read statistics. Deciding allocates
// nothing, reads no clock, and locks one bucket a matching rule. It is total: bad input is the
// door's business and never reaches it.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/siphash.h"
#include "base/snapshot.h"
#include "engine/decide.h"
#include "engine/latency.h"
#include "engine/ruleset.h"
#include "engine/statistics.h"
#include "policy/policy.h"
#include "sluicegate/decision.h"

namespace sluicegate::engine {

/// What a request was charged, so that it can be given back: a stamp for each limit set of the
/// enforced rules, and one for each lease, of observed rules too.
struct Receipt {
  std::size_t size = 0;
  std::array<Stamp, kMaxClaims> charges;
};

class Engine {
 public:
  /// Maps and populates the tables. The error says which rule's memory could not be had and what to
  /// lower.
  [[nodiscard]] static std::expected<std::unique_ptr<Engine>, std::string> Create(
      std::shared_ptr<const policy::Policy> policy, const HashSecret& secret);
  /// With its tables in a file, as other processes and those before left them: all under one
  /// policy, and with time of the file (StateFile::offset_ns). `now`: when it begins. What another
  /// policy left is taken over as by Publish, whose lines are added to `lines`.
  [[nodiscard]] static std::expected<std::unique_ptr<Engine>, std::string> Attach(
      std::shared_ptr<const policy::Policy> policy, std::shared_ptr<table::StateFile> file, Now now,
      std::vector<std::string>& lines);
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  using Rulesets = Snapshot<Ruleset>;
  /// A loop keeps a Rulesets::Reader of its own and refreshes it once a turn.
  [[nodiscard]] const Rulesets& rulesets() const noexcept { return rulesets_; }

  /// Decides and, if allowed, charges every limit of every enforced rule that matches, or none.
  /// `receipt`, where given, names the charges. A request that takes leases must have one, and
  /// release it when it is over. Nothing: a reload has moved what `rules` counts with; then the
  /// newest ruleset is to be taken and asked.
  [[nodiscard]] std::optional<Decision> Decide(const Ruleset& rules, const Request& request,
                                               Now now, Receipt* receipt = nullptr) noexcept;

  /// Decides over all as one request: charges all, or none. At most one lease a rule and request.
  /// `leases`, which is empty, gets those that are held from then on. Nothing: as Decide. What
  /// binds is what has the fewest units left. Of a denial the requests before the one that has no
  /// room count as admitted nevertheless. Allocates where there is more than one.
  [[nodiscard]] std::optional<Decision> DecideAll(const Ruleset& rules,
                                                  std::span<const Request> requests, Now now,
                                                  std::vector<Stamp>& leases);

  /// The ban that runs for the request, if one does, whatever its limits say: for what must be
  /// turned away before it is read.
  [[nodiscard]] std::optional<Decision> FindBan(const Ruleset& rules, const Request& request,
                                                Now now) noexcept;

  /// Counts what is in flight from `now` on, as it is still: call it well within the lease.
  void Renew(const Ruleset& rules, Stamp& lease, Now now) noexcept;

  /// Gives a charge back to the slice that was charged; does nothing if it expired or was evicted.
  void GiveBack(const Ruleset& rules, const Stamp& charge, Now now) noexcept;

  /// Swaps the policy. A rule keeps what it counted on every limit whose algorithm and window did
  /// not change, and its bans; what must be laid out anew moves, which takes about half a second a
  /// GiB, and decisions on such a rule wait. The result has a line for each limit that starts
  /// afresh. On error (memory) the old policy goes on. In a file it is copied instead, for
  /// processes that did not reload yet: what they charge until they do does not count under the new
  /// policy.
  [[nodiscard]] std::expected<std::vector<std::string>, std::string> Publish(
      std::shared_ptr<const policy::Policy> policy, Now now);

  /// Counters of every rule, table fill and tracked keys (sampled). For scrapes: takes microseconds
  /// to milliseconds.
  [[nodiscard]] Report Statistics(Now now) const;
  /// Of every rule what is counted, without what would have to be estimated: for whoever looks each
  /// second.
  [[nodiscard]] std::vector<RuleReport> Counts(Now now) const;
  /// Adds one measured decision time to the histogram. Doors sample 1 in 64.
  void ObserveLatency(std::uint64_t ns) noexcept { latency_.Observe(ns); }

 private:
  Engine(std::shared_ptr<const Ruleset> first, const HashSecret& secret,
         std::shared_ptr<table::StateFile> file);
  void WaitForNewer(const Ruleset& rules) const noexcept;
  void GoOn(const Ruleset& before);

  const HashSecret secret_;
  const std::shared_ptr<table::StateFile> file_;  // Null: in memory.
  std::mutex publishing_;
  Rulesets rulesets_;
  LatencyHistogram latency_;
  std::atomic<std::uint64_t> unmatched_{0};  // Relaxed.
};

}  // namespace sluicegate::engine
