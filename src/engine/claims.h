// Claims: what a request asks of the tables of the rules that match it, in the order in which their
// buckets are locked. Bound to one decision. Allocates nothing.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/siphash.h"
#include "engine/decide.h"
#include "engine/ruleset.h"
#include "policy/request.h"

namespace sluicegate::engine {

/// A rule that matches the request. A value type.
struct Hit {
  std::uint16_t rule = 0;
  std::uint8_t variant = 0;
  bool no_ban_place = false;  ///< All places for offenders are taken, and the client has none.
  std::uint64_t cost = 0;
  policy::KeyHashes hashes;
};

class Claims {
 public:
  Claims(const Ruleset& rules, const Request& request, const HashSecret& secret, Now now) noexcept
      : rules_(rules), request_(request), secret_(secret), now_(now) {}
  Claims(const Claims&) = delete;
  Claims& operator=(const Claims&) = delete;

  /// The claims of one rule: on its table, its leases, its ceilings, and the parent network where
  /// that stands in for the client or beside it.
  void Append(const Hit& hit) noexcept;
  /// Decides over all of them, with the parent network in the place of a lease that finds none.
  /// kSealed, kStuck: nothing was charged.
  [[nodiscard]] Attempt Decide(Decision& decision, std::span<Stamp> stamps) noexcept;
  /// Takes back what was appended for a rule.
  void Drop(std::uint16_t rule) noexcept;
  /// As DecideClaims left them.
  [[nodiscard]] std::span<Claim> all() noexcept { return {claims_.data(), size_}; }
  /// In the order in which their buckets are locked.
  [[nodiscard]] std::span<const Claim> sorted() noexcept {
    Sort();
    return all();
  }
  /// Counts, for each key that entered a table, one new key of its parent network.
  void CountNewKeys() noexcept;

 private:
  void Add(const Claim& claim) noexcept;
  void AppendRates(const Hit& hit) noexcept;
  void AppendCeilings(const Hit& hit) noexcept;
  [[nodiscard]] Claim OfParent(const Hit& hit, Count why) const noexcept;
  [[nodiscard]] bool IsOneNewKeyTooMany(const Claim& claim) const noexcept;
  void StandIn(Claim& lease) noexcept;
  void CountNetworks() noexcept;
  void Sort() noexcept;
  [[nodiscard]] const policy::Rule& RuleOf(const Claim& claim) const noexcept {
    return rules_.policy().rules()[claim.rule];
  }

  const Ruleset& rules_;
  const Request& request_;
  const HashSecret& secret_;
  const Now now_;
  std::size_t size_ = 0;
  bool sorted_ = true;
  // Left unwritten until used: zeroing it would cost more than most decisions.
  union {
    std::array<Claim, kMaxClaims> claims_;
  };
};

}  // namespace sluicegate::engine
