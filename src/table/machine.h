// Machine: which boot of which machine this is, and what its clocks say. Pure data.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "sluicegate/time.h"

namespace sluicegate::table {

/// What a state file needs to know of the machine it is on. A value type.
struct Machine {
  std::array<std::byte, 16> boot_id{};  ///< Another one after each boot.
  std::uint64_t time_namespace = 0;     ///< CLOCK_BOOTTIME counts from another instant in each.
  std::uint64_t boottime_ns = 0;
  std::int64_t unix_ns = 0;

  [[nodiscard]] static Machine Here() noexcept;
};

}  // namespace sluicegate::table
