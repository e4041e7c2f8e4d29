// LaidPolicy: a generated policy with what follows from it: which limits lie in which table, which
// rules and limit sets a request meets, and what its keys are called. Immutable. Everything is told
// by names, so that two keys are the same only if they should be.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/ip.h"
#include "policy/request.h"
#include "policy_spec.h"

namespace sluicegate::sim {

/// A request of the simulation. A value type.
struct Ask {
  IpAddress client;
  std::string path;
  std::string host;
  std::string user;  ///< Empty: none.
  std::uint64_t cost = Request::kRuleCost;

  /// Views into this one.
  [[nodiscard]] Request ToRequest() const;
  [[nodiscard]] std::string ToText() const;
};

/// A limit in a table: what it says, and its index in the rule's list.
struct Line {
  LimitSpec spec;
  unsigned index = 0;
};
using Lines = std::vector<Line>;
/// The lines of each limit set.
using Layout = std::vector<Lines>;

struct LaidRule {
  const RuleSpec* spec = nullptr;
  Layout rates;
  Layout leases;
  Layout parents;  ///< The rates, and behind them the new keys.
  std::map<unsigned, Layout> ceilings;

  [[nodiscard]] bool on() const { return spec->mode != ModeSpec::kOff; }
  [[nodiscard]] bool has_parents() const {
    return !IsEmpty(rates) && (spec->penalty || spec->new_keys);
  }
  [[nodiscard]] bool Matches(const Ask& ask) const;
  [[nodiscard]] bool Exempts(const Ask& ask) const;
  [[nodiscard]] std::size_t VariantOf(const Ask& ask) const;
  [[nodiscard]] std::uint64_t CostOf(const Ask& ask) const {
    return ask.cost == Request::kRuleCost ? spec->cost : ask.cost;
  }
  /// Names of keys: of the client under any limit set, under one, of its network.
  [[nodiscard]] std::string ClientKey(const Ask& ask) const;
  [[nodiscard]] std::string LimitsKey(const Ask& ask, std::size_t variant) const;
  [[nodiscard]] std::string ParentKey(const Ask& ask, std::size_t variant) const;
  /// Bits of the network that stands in for a client; 0: all clients are one to the rule.
  [[nodiscard]] unsigned ParentBits(const Ask& ask) const;
  [[nodiscard]] std::string CeilingKey(const Ask& ask, std::size_t variant, unsigned bits) const;
  /// The same for the same `when`, wherever it stands.
  [[nodiscard]] std::string VariantName(std::size_t variant) const;

  [[nodiscard]] static bool IsEmpty(const Layout& layout);
};

class LaidPolicy {
 public:
  explicit LaidPolicy(PolicySpec spec);
  LaidPolicy(const LaidPolicy&) = delete;
  LaidPolicy& operator=(const LaidPolicy&) = delete;

  [[nodiscard]] const PolicySpec& spec() const { return spec_; }
  [[nodiscard]] const std::vector<LaidRule>& rules() const { return rules_; }
  /// Null: there is none of that name, or it is off.
  [[nodiscard]] const LaidRule* Named(const std::string& name) const;
  /// REQUIRES: there is one.
  [[nodiscard]] std::size_t IndexOf(const std::string& name) const;

 private:
  const PolicySpec spec_;
  std::vector<LaidRule> rules_;
};

}  // namespace sluicegate::sim
