// What a generated policy says: the oracle reads it as it stands here, the engine from the YAML
// that it writes. Value types.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/ip.h"
#include "sluicegate/limit.h"

namespace sluicegate::sim {

struct LimitSpec {
  Algorithm algorithm = Algorithm::kSlidingWindow;
  std::uint64_t quota = 1;      ///< A bucket's burst.
  std::uint64_t window_ns = 1;  ///< W; a bucket's period; a lease. Fixed windows have `unit`.
  std::uint64_t refill = 0;     ///< Of a bucket, each period.
  CalendarUnit unit = CalendarUnit::kSecond;
  std::string name;

  [[nodiscard]] bool is_lease() const { return algorithm == Algorithm::kConcurrency; }
  /// What a unit of a bucket costs, in ns.
  [[nodiscard]] std::uint64_t price_ns() const { return (window_ns + refill - 1) / refill; }
  /// Whether what was counted under `other` goes on counting under this one after a reload.
  [[nodiscard]] bool Continues(const LimitSpec& other) const;
  friend bool operator==(const LimitSpec&, const LimitSpec&) = default;
};

/// Whom an exemption or an override means.
struct WhoSpec {
  std::vector<IpPrefix> clients;
  std::vector<std::string> users;
  [[nodiscard]] bool empty() const { return clients.empty() && users.empty(); }
  friend bool operator==(const WhoSpec&, const WhoSpec&) = default;
};

struct OverrideSpec {
  WhoSpec when;
  std::vector<LimitSpec> limits;
};

struct CeilingSpec {
  unsigned bits = 0;
  std::uint64_t factor = 1;
};

struct PenaltySpec {
  std::uint64_t violations = 1;
  std::uint64_t within_ns = 1;
  std::uint64_t ban_ns = 1;
  std::vector<std::uint32_t> escalate;  ///< Never empty.
};

enum class ModeSpec : std::uint8_t { kOff, kObserve, kEnforce };

struct RuleSpec {
  std::string name;
  ModeSpec mode = ModeSpec::kEnforce;
  std::vector<std::string> paths;  ///< Empty: all.
  std::vector<std::string> key;    ///< "client", "user", "host", "path".
  std::vector<LimitSpec> limits;
  std::vector<CeilingSpec> ceilings;
  std::optional<LimitSpec> new_keys;
  WhoSpec exempt;
  std::vector<OverrideSpec> overrides;
  std::optional<PenaltySpec> penalty;
  std::uint64_t cost = 1;
  std::uint64_t memory = 0;
  bool protect = false;

  [[nodiscard]] bool has_client() const;
  /// The rule's own limits, or those of override `variant` - 1.
  [[nodiscard]] const std::vector<LimitSpec>& LimitsOf(std::size_t variant) const {
    return variant == 0 ? limits : overrides[variant - 1].limits;
  }
};

struct PolicySpec {
  bool enabled = true;
  std::uint64_t sketch_percent = 25;  ///< Of the memory.
  std::vector<RuleSpec> rules;

  [[nodiscard]] std::string ToYaml() const;
};

}  // namespace sluicegate::sim
