// KeptLayout: what the slots of a table hold, with all that a later policy needs to know to take it
// over: limits by their names, limit sets by their `when`. Goes with a table in a file, as text. A
// value type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/rule.h"
#include "table/table.h"

namespace sluicegate::engine {

struct KeptLimit {
  std::string name;
  std::uint32_t offset = 0;  ///< As policy::BoundLimit's.
  limit::CompiledLimit limit;
};

struct KeptSet {
  std::uint64_t when = 0;  ///< Rule::OverrideHash; 0: the rule's own.
  std::vector<KeptLimit> limits;
};

struct KeptLayout {
  /// Begins what describes a sketch; the layouts of the tables whose victims it remembers follow.
  static constexpr std::string_view kSketchLine = "sketch\n";

  std::string part;  ///< Which of a rule's tables: "rates", "leases", "ceiling/56".
  std::size_t slot_bytes = 0;
  std::vector<KeptSet> sets;

  /// Of a rule's table, or of one of limits that no `when` tells apart.
  [[nodiscard]] static KeptLayout Of(std::string_view part, const policy::Rule& rule,
                                     const policy::Layout& layout);
  [[nodiscard]] static KeptLayout Of(std::string_view part, const policy::LimitSet& limits,
                                     const policy::Layout& layout);

  /// Lines that say what the bytes of a slot mean, and nothing else: of a limit its price or window
  /// and not its quota, so that another quota is no other table. See doc/table-format.md.
  [[nodiscard]] std::string Text() const;
  /// What Text wrote, of one layout or of several; those that it cannot have written are left out.
  /// A limit's quota is the least that has such states.
  [[nodiscard]] static std::vector<KeptLayout> Read(std::string_view text);

  [[nodiscard]] table::Table::Shape shape() const noexcept {
    return {.state_bytes = slot_bytes, .tagged = sets.size() > 1};
  }
  /// For the longest of its limits: until all that was counted is past.
  [[nodiscard]] std::uint64_t LastsNs() const noexcept;
  /// Whether it holds what is in flight, and no rates.
  [[nodiscard]] bool of_leases() const noexcept;
  /// As tables weigh by it.
  [[nodiscard]] policy::Layout Bound() const;
};

/// The layout of that part; null: it is not among them.
[[nodiscard]] const KeptLayout* FindPart(const std::vector<KeptLayout>& layouts,
                                         std::string_view part) noexcept;

}  // namespace sluicegate::engine
