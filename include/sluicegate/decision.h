// The answer to "may this request pass?", the same at every door.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>

#include "sluicegate/time.h"

namespace sluicegate {

enum class Verdict : std::uint8_t {
  kAllowed,  ///< Charged on every limit that applies.
  kLimited,  ///< A quota is used up; charged on nothing.
  kBanned,   ///< Too many violations; charged on nothing.
  kShed,     ///< The upstream is overloaded; charged on nothing.
  kExempt,   ///< Named by an exemption; nothing was counted.
};

/// "allowed", "limited", "banned", "shed" or "exempt". Pure.
[[nodiscard]] std::string_view VerdictName(Verdict verdict) noexcept;

/// Names one charge, so that it can be given back: which slot, and when. Opaque; a value type. An
/// empty one (cost 0) gives nothing back.
struct Stamp {
  Now when;                     ///< The decision's time.
  std::uint64_t cost = 0;       ///< Units charged.
  std::uint64_t hash = 0;       ///< The key's keyed hash.
  std::uint32_t table = 0;      ///< The table's id.
  std::uint8_t variant = 0;     ///< Which of the rule's limit sets.
  std::uint8_t generation = 0;  ///< The slot's: another one means that the charge was evicted.
  bool lease = false;           ///< Units in flight, which are given back when the work is done.
};

/// A decision about one request. A value type. Durations are nanoseconds from the decision's `Now`.
struct Decision {
  /// No wait makes this request fit: its cost is above a quota. Sent without Retry-After.
  static constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();
  /// `rule` and `limit` when nothing binds (no rule matched, or all were exempt). A ban binds a
  /// rule and none of its limits.
  static constexpr std::uint16_t kNone = std::numeric_limits<std::uint16_t>::max();

  /// `shared_bits` of a limit of units in flight that all share for whom its memory has no place.
  static constexpr std::uint8_t kSharedByAll = std::numeric_limits<std::uint8_t>::max();

  Verdict verdict = Verdict::kAllowed;
  std::uint8_t variant = 0;        ///< Which limit set of the rule: 0, or 1 + the override's index.
  std::uint16_t rule = kNone;      ///< Index of the rule that binds, in the policy's order.
  std::uint16_t limit = kNone;     ///< Index of the limit that binds, in that rule's order.
  std::uint8_t denied_limits = 0;  ///< Limited: which limits of that rule have no room; see Denies.
  /// The binding limit is the client's own (0), or one that it shares with its network of so many
  /// bits: under a ceiling, or as its parent network stood in for it; or kSharedByAll.
  std::uint8_t shared_bits = 0;
  std::uint64_t quota = 0;  ///< The binding limit's, in units.
  /// Units left on the binding limit after this decision. A denied request took none; it asked for
  /// more than these.
  std::uint64_t remaining = 0;
  std::uint64_t hold_ns = 0;         ///< The time in which no more than `remaining` can be used.
  std::uint64_t reset_after_ns = 0;  ///< Until the binding limit is as if never used.
  /// Denied: until the same request fits every limit at once, or kNever.
  std::uint64_t retry_after_ns = 0;
  /// The binding key's keyed hash: the same for a client that asks twice.
  std::uint64_t key_hash = 0;
  Stamp stamp;  ///< What a give-back names: the charge on the binding rule.
  /// Of a Limiter with a limit {concurrency}: where the units in flight are. Opaque.
  struct Held {
    std::uint8_t place = 0;
    std::uint8_t generation = 0;
  } held;

  [[nodiscard]] bool allowed() const noexcept {
    return verdict == Verdict::kAllowed || verdict == Verdict::kExempt;
  }
  /// Whether limit `i` of the rule that binds has no room for the request. REQUIRES: i < 8.
  [[nodiscard]] bool Denies(std::size_t i) const noexcept { return (denied_limits >> i & 1U) != 0; }
  [[nodiscard]] explicit operator bool() const noexcept { return allowed(); }
};

}  // namespace sluicegate
