// LimiterTables: what a Limiter keeps, as a rule of a policy without what a rule has beside its
// limits and its penalty.
#pragma once

#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/kept_layout.h"
#include "policy/capacity.h"
#include "policy/layout.h"
#include "shield/bans.h"
#include "sluicegate/limiter.h"
#include "table/state_file.h"
#include "table/table.h"

namespace sluicegate::engine {

/// A limiter's limits, and how they lie in its slots. A value type.
struct LimiterLimits {
  /// The error is a sentence that says what is wrong and what to write instead.
  [[nodiscard]] static std::expected<LimiterLimits, std::string> Compile(std::vector<Limit> limits);

  policy::LimitSet set;  ///< In the order that they were given.
  policy::Layout rates;
  policy::Layout leases;
};

struct LimiterTables {
  /// The error says which option is wrong, or what of the file.
  [[nodiscard]] static std::expected<LimiterTables, std::string> Make(const LimiterLimits& limits,
                                                                      const LimiterOptions& options,
                                                                      table::StateFile* file,
                                                                      Now now);

  std::shared_ptr<table::Table> rates;     ///< Null: all limits are of units in flight.
  std::shared_ptr<table::Table> leases;    ///< Null: none is.
  std::shared_ptr<table::Table> overflow;  ///< As leases.
  std::shared_ptr<shield::Bans> bans;      ///< Null: there is no penalty.
};

/// The file that the options name; null: they name none.
[[nodiscard]] std::expected<std::shared_ptr<table::StateFile>, std::string> OpenLimiterState(
    const LimiterOptions& options);

/// What a penalty is in the units of the arithmetic. REQUIRES: it is one that Make takes.
[[nodiscard]] shield::PenaltyTerms TermsOf(const Penalty& penalty) noexcept;

}  // namespace sluicegate::engine
