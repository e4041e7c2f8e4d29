// What the engine counted, in a form that a door can render. Value types. Names come from the
// policy, never from clients.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace sluicegate::engine {

struct RuleReport {
  std::string rule;
  // Requests that the rule matched, by what came of them. An observed rule moves only the observed_
  // ones. A denied request counts as limited for each rule that had no room, and for no other.
  std::uint64_t admitted = 0;
  std::uint64_t limited = 0;
  std::uint64_t banned = 0;
  std::uint64_t exempt = 0;
  std::uint64_t observed = 0;          ///< Decisions of a rule in mode observe.
  std::uint64_t observed_denials = 0;  ///< Those that would have been denied.
  std::uint64_t violations = 0;        ///< Enforced denials that counted towards a ban.
  std::uint64_t bans = 0;              ///< Bans begun.
  std::uint64_t blocked =
      0;  ///< Of the limited: keys that were evicted at a limit, or pass for one.
  // Requests decided on the client's parent network (for keys without an address: on one key for
  // all), as it brought too many new keys, or as all places for leases or for offenders were taken.
  std::uint64_t network_for_key = 0;
  std::uint64_t network_for_lease = 0;
  std::uint64_t network_for_ban = 0;
  /// Violations that found no place: every slot of the bucket held a running ban.
  std::uint64_t bans_refused = 0;
  /// Keys whose violations or level gave way to another key's; never a running ban.
  std::uint64_t ban_evictions = 0;
  std::uint64_t tracked_offenders = 0;  ///< Keys with violations, a level or a ban; estimated.
  // The tables.
  std::uint64_t capacity = 0;            ///< Slots for keys with rates.
  std::uint64_t bytes = 0;               ///< All included.
  std::uint64_t tracked_keys = 0;        ///< Live slots, estimated from a sample of buckets.
  std::uint64_t evictions = 0;           ///< Live keys below their limits that gave way.
  std::uint64_t evictions_at_limit = 0;  ///< Live keys at a limit that gave way.
  std::uint64_t forgotten = 0;           ///< Of these, the ones that the sketch did not take.
  std::uint32_t sketch_refused_ppm = 0;  ///< Newcomers that it refuses wrongly, at most.
  std::uint64_t lease_capacity = 0;      ///< Slots for keys with requests in flight.
  std::uint64_t keys_in_flight = 0;      ///< Of these, the live ones, estimated.
};

/// Decision latency: counts of samples at or below each bound, cumulative as Prometheus has them,
/// the last unbounded.
struct LatencyReport {
  static constexpr std::array<std::uint64_t, 10> kBoundsNs = {
      50, 100, 200, 500, 1'000, 2'000, 5'000, 10'000, 50'000, 1'000'000};
  std::array<std::uint64_t, kBoundsNs.size() + 1> counts{};
  std::uint64_t sum_ns = 0;
};

struct Report {
  std::vector<RuleReport> rules;
  LatencyReport latency;
  std::uint64_t unmatched = 0;  ///< Requests that no rule matched.
};

}  // namespace sluicegate::engine
