// Offender: what one key's violations of one rule have earned it, written from doc/decision.md and
// doc/policy.md and apart from src/shield. A value type.
#pragma once

#include <algorithm>
#include <cstdint>

#include "policy_spec.h"

namespace sluicegate::sim {

class Offender {
 public:
  [[nodiscard]] std::uint64_t BanLeft(std::uint64_t now_ns) const {
    return until_ns_ > now_ns ? until_ns_ - now_ns : 0;
  }

  /// Whether nothing is left to remember, so that its place may be another's.
  [[nodiscard]] bool IsClear(std::uint64_t now_ns) const {
    return std::max({owed_until_ns_, until_ns_, clean_since_ns_ + level_ * kDayNs}) <= now_ns ||
           (level_ == 0 && std::max(owed_until_ns_, until_ns_) <= now_ns);
  }

  /// Counts a violation outside a ban: the length of the ban that it should begin; 0: none.
  std::uint64_t Violate(const PenaltySpec& penalty, std::uint64_t now_ns) {
    LoseLevels(now_ns);
    owed_until_ns_ = std::max(owed_until_ns_, now_ns) + Price(penalty);
    if (UnitsOwed(penalty, now_ns) < penalty.violations) return 0;
    return LengthAt(penalty, level_);
  }
  /// Whether the engine may begin a ban of this length, or none, if it forgot a part of what there
  /// was: never more.
  [[nodiscard]] bool MayEarn(const PenaltySpec& penalty, std::uint64_t length_ns) const {
    for (std::size_t level = 0; level <= level_; ++level) {
      if (length_ns == LengthAt(penalty, level)) return true;
    }
    return length_ns == 0;
  }
  void BeginBan(const PenaltySpec& penalty, std::uint64_t now_ns, std::uint64_t length_ns) {
    until_ns_ = clean_since_ns_ = now_ns + length_ns;
    owed_until_ns_ = 0;
    level_ = std::min(level_ + 1, penalty.escalate.size() - 1);
  }

  /// A reload moves it to another table, where a violation may weigh otherwise: as many as before.
  void Reprice(const PenaltySpec& before, const PenaltySpec& after, std::uint64_t now_ns) {
    using Wide = unsigned __int128;
    const Wide owed = owed_until_ns_ > now_ns ? Wide{owed_until_ns_ - now_ns} * Price(after) : 0;
    const Wide owed_ns = (owed + Price(before) - 1) / Price(before);
    owed_until_ns_ = owed_ns == 0 ? 0 : now_ns + static_cast<std::uint64_t>(owed_ns);
  }

 private:
  static constexpr std::uint64_t kDayNs = 86'400'000'000'000;

  static std::uint64_t Price(const PenaltySpec& penalty) {
    return (penalty.within_ns + penalty.violations - 1) / penalty.violations;
  }
  static std::uint64_t LengthAt(const PenaltySpec& penalty, std::size_t level) {
    return penalty.ban_ns * penalty.escalate[std::min(level, penalty.escalate.size() - 1)];
  }
  [[nodiscard]] std::uint64_t UnitsOwed(const PenaltySpec& penalty, std::uint64_t now_ns) const {
    return (owed_until_ns_ - now_ns + Price(penalty) - 1) / Price(penalty);
  }
  void LoseLevels(std::uint64_t now_ns) {
    while (level_ > 0 && now_ns >= clean_since_ns_ + kDayNs) {
      clean_since_ns_ += kDayNs;
      --level_;
    }
    clean_since_ns_ = std::max(clean_since_ns_, now_ns);
  }

  std::uint64_t owed_until_ns_ = 0;  // When no violation counts any more.
  std::uint64_t until_ns_ = 0;
  std::uint64_t clean_since_ns_ = 0;
  std::size_t level_ = 0;
};

}  // namespace sluicegate::sim
