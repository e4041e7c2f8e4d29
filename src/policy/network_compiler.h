// NetworkCompiler: what a rule says of its clients' networks -> its ceilings, and its budget of new
// keys. Bound to one rule's compile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "policy/config.h"
#include "policy/mistakes.h"
#include "policy/rule.h"

namespace sluicegate::policy {

class NetworkCompiler {
 public:
  /// The rule as it was written, and its key and limits as far as they could be understood.
  NetworkCompiler(const RuleConfig& config, std::span<const KeyPart> key,
                  std::span<const LimitSet> variants, Mistakes& mistakes)
      : config_(config), key_(key), variants_(variants), mistakes_(mistakes) {}

  /// The longest prefix first.
  [[nodiscard]] std::vector<Ceiling> ReadCeilings();
  /// `offset`: where its state lies, behind the rates.
  [[nodiscard]] std::optional<BoundLimit> ReadNewKeys(std::size_t offset);
  /// Puts the budget behind the limits of every limit set.
  static void Append(Layout& layout, const BoundLimit& new_keys);

 private:
  /// A ceiling and the place of its factor.
  using Placed = Located<Ceiling>;
  std::optional<Placed> ReadCeiling(const CeilingConfig& config);
  void CheckOrder(const Placed& longer, const Placed& shorter);
  void CheckRule(Position at, const std::string& what);
  [[nodiscard]] Layout Multiply(std::uint64_t factor, Position at);

  const RuleConfig& config_;
  const std::span<const KeyPart> key_;
  const std::span<const LimitSet> variants_;
  Mistakes& mistakes_;
};

}  // namespace sluicegate::policy
