#include "gateway/upstream_pool.h"

#include <algorithm>

namespace sluicegate::gateway {

UpstreamPtr UpstreamPool::Take(const TargetPtr& target) {
  for (std::size_t i = idle_.size(); i-- > 0;) {
    if (idle_[i]->target != target) continue;
    UpstreamPtr connection = std::move(idle_[i]);
    idle_.erase(idle_.begin() + static_cast<std::ptrdiff_t>(i));
    if (connection->socket.HasBytesOrEnded()) continue;
    connection->reused = true;
    return connection;
  }
  return nullptr;
}

void UpstreamPool::Return(UpstreamPtr connection) {
  connection->begin = connection->end = 0;
  if (idle_.size() < kMaxIdle) idle_.push_back(std::move(connection));
}

void UpstreamPool::Sweep(const UpstreamGroup& group) {
  std::erase_if(idle_, [&group](const UpstreamPtr& connection) {
    const bool known = std::ranges::find(group.targets, connection->target) != group.targets.end();
    return !known || connection->socket.HasBytesOrEnded();
  });
}

}  // namespace sluicegate::gateway
