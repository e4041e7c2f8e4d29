// Regions: what one rule, or one limiter, keeps in a state file. Each is found as others left it,
// or is made from what had its name under another policy: the file says what that was. Bound to one
// thread; the file outlives it, and what it attaches.
#pragma once

#include <cstddef>
#include <expected>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/kept_layout.h"
#include "shield/bans.h"
#include "table/state_file.h"
#include "table/table.h"

namespace sluicegate::engine {

class Regions {
 public:
  /// Called once, before anything is copied that this process may use under another policy.
  using BeforeCopying = std::function<void()>;
  /// `owner`: the rule's or limiter's name. `now`: when what is there is taken over.
  Regions(table::StateFile& file, std::string_view owner, Now now, BeforeCopying before = {})
      : file_(file), owner_(owner), now_(now), before_copying_(std::move(before)) {}

  using SketchPtr = std::shared_ptr<table::BlockedSketch>;
  using TablePtr = std::shared_ptr<table::Table>;
  /// The error says what is wrong with the file, and the mend.
  [[nodiscard]] std::expected<TablePtr, std::string> AttachTable(const KeptLayout& layout,
                                                                 std::size_t bytes,
                                                                 SketchPtr sketch);
  /// `layouts`: of the tables whose victims it remembers.
  [[nodiscard]] std::expected<SketchPtr, std::string> AttachSketch(
      const std::vector<KeptLayout>& layouts, const table::BlockedSketch::Options& options);
  [[nodiscard]] std::expected<std::shared_ptr<shield::Bans>, std::string> AttachBans(
      const shield::PenaltyTerms& terms, std::size_t bytes);

  /// How the file calls a part of what the owner has: "api/rates".
  [[nodiscard]] std::string NameOf(std::string_view part) const;

  /// Names of limits that began with nothing, in tables that were there before.
  [[nodiscard]] const std::set<std::string>& afresh() const noexcept { return afresh_; }

 private:
  void Announce(const table::StateFile::Fresh& fresh);

  table::StateFile& file_;
  const std::string owner_;
  const Now now_;
  BeforeCopying before_copying_;  // Nothing: nobody is to know, or all know already.
  std::set<std::string> afresh_;
};

}  // namespace sluicegate::engine
