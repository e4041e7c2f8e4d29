// Balancer: which server of a group gets the next request: each in its turn, and one that failed
// rests for a while, unless it is alone. Bound to one loop, which judges by what it saw itself.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "gateway/upstream_target.h"

namespace sluicegate::gateway {

class Balancer {
 public:
  static constexpr unsigned kMostFailures = 3;  ///< In a row, then it rests.
  /// People are told of a server once in the time that it rests, and not more often than this:
  /// clients may be what makes it fail and answer in turn.
  static constexpr Duration kQuiet = std::chrono::seconds(1);

  /// From now on of this group, if it is another one. What is known of servers that were there
  /// before stays.
  void Take(const std::shared_ptr<const UpstreamGroup>& group);

  /// The next one that does not rest and is not `tried` (bits by place). Where all of these rest,
  /// the next one; null: all were tried. `now_ns`: engine time.
  [[nodiscard]] TargetPtr Choose(std::uint64_t now_ns, std::uint64_t& tried);
  /// It could not be connected to: it rests at once. True: it begins to, which is to be told.
  [[nodiscard]] bool NoteUnreachable(const UpstreamTarget& target, std::uint64_t now_ns);
  /// It broke off or took too long, and rests after some of that. True: as above.
  [[nodiscard]] bool NoteFailure(const UpstreamTarget& target, std::uint64_t now_ns);
  /// It answered.
  void NoteAnswer(const UpstreamTarget& target);
  /// No other stands in, so that it never rests; what begins, and is told, is that it fails.
  [[nodiscard]] bool alone() const noexcept { return servers_.size() == 1; }

 private:
  struct Server {
    TargetPtr target;
    unsigned failures = 0;
    bool failing = false;  // That was told, and it has not answered since.
    std::uint64_t rests_until_ns = 0;
    std::uint64_t quiet_until_ns = 0;
  };
  [[nodiscard]] Server* Find(const UpstreamTarget& target);
  [[nodiscard]] bool Rest(Server& server, std::uint64_t now_ns) const;

  std::shared_ptr<const UpstreamGroup> group_;
  std::vector<Server> servers_;
  std::size_t next_ = 0;
};

}  // namespace sluicegate::gateway
