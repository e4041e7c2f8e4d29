// Probe: looks into the engine's tables without changing them. The oracle asks it for the one thing
// that it cannot know, which key still has its place, and compares states with it. Bound to one
// thread, which decides as well.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "engine/engine.h"

namespace sluicegate::sim {

/// A table of a rule. That of its bans cannot be looked into.
enum class Part : std::uint8_t { kRates, kLeases, kOverflow, kParents, kCeiling, kBans };

/// Which one, and whose key.
struct Spot {
  std::size_t rule = 0;  ///< In the policy's order.
  Part part = Part::kRates;
  unsigned bits = 0;  ///< Of a ceiling.
  std::uint64_t hash = 0;
};

/// "never" for Decision::kNever.
[[nodiscard]] std::string NumberText(std::uint64_t value);

class Probe {
 public:
  Probe(engine::Engine& engine, const HashSecret& secret) : engine_(engine), secret_(secret) {
    Refresh();
  }
  /// After a reload.
  void Refresh() { rules_ = engine_.rulesets().Get(); }

  [[nodiscard]] const engine::Ruleset& rules() const { return *rules_; }
  [[nodiscard]] const std::shared_ptr<const engine::Ruleset>& shared_rules() const {
    return rules_;
  }
  [[nodiscard]] const policy::Rule& Rule(std::size_t rule) const {
    return rules_->policy().rules()[rule];
  }

  // The hashes of a request's keys.
  [[nodiscard]] policy::KeyHashes HashKeys(std::size_t rule, const Request& request,
                                           std::size_t variant) const;
  [[nodiscard]] std::uint64_t HashParent(std::size_t rule, const Request& request,
                                         std::size_t variant) const;
  [[nodiscard]] std::uint64_t HashCeiling(std::size_t rule, const Request& request,
                                          std::size_t variant, unsigned bits) const;

  struct Seen {
    bool present = false;
    std::uint8_t generation = 0;
    std::uint64_t blocked_ns = 0;  ///< Of an absent key.
    bool crowded = false;          ///< An absent lease would find no place.
  };
  [[nodiscard]] Seen Look(const Spot& spot, Now now) const;

  struct BanSeen {
    std::uint64_t left_ns = 0;
    bool no_place = false;
  };
  [[nodiscard]] BanSeen LookAtBan(std::size_t rule, std::uint64_t client_hash, Now now) const;

  /// What a state says of a limit.
  struct Numbers {
    std::uint64_t remaining = 0;
    std::uint64_t hold_ns = 0;
    std::uint64_t reset_ns = 0;
    std::array<std::uint64_t, 4> retry_ns{};  ///< Of the costs of CostsOf.
    friend bool operator==(const Numbers&, const Numbers&) = default;
    [[nodiscard]] std::string ToText() const;
  };
  [[nodiscard]] static std::array<std::uint64_t, 4> CostsOf(std::uint64_t quota) {
    return {1, 2, quota / 2 + 1, quota};
  }
  /// Of limit `line` of the spot's layout.
  [[nodiscard]] Numbers Read(const Spot& spot, std::size_t variant, std::size_t line,
                             Now now) const;

  /// Null: the rule has none.
  [[nodiscard]] static const std::shared_ptr<table::Table>& TableAt(const engine::Ruleset& rules,
                                                                    std::size_t rule, Part part,
                                                                    unsigned bits);
  [[nodiscard]] bool Has(std::size_t rule, Part part, unsigned bits) const;
  [[nodiscard]] table::Table& TableOf(const Spot& spot) const;

 private:
  [[nodiscard]] const policy::Layout& LayoutOf(const Spot& spot) const;

  engine::Engine& engine_;
  const HashSecret secret_;
  std::shared_ptr<const engine::Ruleset> rules_;
};

}  // namespace sluicegate::sim
