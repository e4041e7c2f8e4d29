// StateClock: time of a state file, which goes on over boots. Thread-safe. The machine's clock and
// the file outlive it.
#pragma once

#include "sluicegate/time.h"
#include "table/state_file.h"

namespace sluicegate::table {

class StateClock final : public Clock {
 public:
  StateClock(const Clock& machine, const StateFile& file) noexcept
      : machine_(machine), offset_ns_(file.offset_ns()) {}

  [[nodiscard]] Now Read() const noexcept override {
    Now now = machine_.Read();
    now.engine_ns =
        static_cast<std::uint64_t>(static_cast<std::int64_t>(now.engine_ns) + offset_ns_);
    return now;
  }

 private:
  const Clock& machine_;
  const std::int64_t offset_ns_;
};

}  // namespace sluicegate::table
