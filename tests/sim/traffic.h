// Traffic: who asks for what. A few clients ask most of the time, thousands of others now and then,
// and a flood brings one that was never seen with each request. Bound to one thread.
#pragma once

#include <cstdint>
#include <vector>

#include "laid_policy.h"
#include "random.h"

namespace sluicegate::sim {

class Traffic {
 public:
  /// `clients`: how many there are.
  Traffic(Random& random, std::size_t clients);

  [[nodiscard]] Ask Next();
  /// A client that never asked before, of a few networks.
  [[nodiscard]] Ask Fresh();

 private:
  [[nodiscard]] IpAddress Client();
  [[nodiscard]] std::uint64_t Cost();

  Random& random_;
  std::vector<IpAddress> clients_;
  std::size_t busiest_ = 0;
  std::uint64_t fresh_ = 0;
};

}  // namespace sluicegate::sim
