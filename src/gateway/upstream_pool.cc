#include "gateway/upstream_pool.h"

#include <sys/socket.h>

#include <cerrno>

namespace sluicegate::gateway {
namespace {

// Whether the peer closed, or sent what nobody asked for.
bool IsSpoiled(net::Socket& socket) { return socket.HasBytesOrEnded(); }

}  // namespace

UpstreamPtr UpstreamPool::Take(const std::shared_ptr<const UpstreamTarget>& target) {
  while (!idle_.empty()) {
    UpstreamPtr connection = std::move(idle_.back());
    idle_.pop_back();
    if (connection->target != target) continue;  // From before a reload.
    if (IsSpoiled(connection->socket)) continue;
    connection->reused = true;
    return connection;
  }
  return nullptr;
}

void UpstreamPool::Return(UpstreamPtr connection) {
  connection->begin = connection->end = 0;
  if (idle_.size() < kMaxIdle) idle_.push_back(std::move(connection));
}

void UpstreamPool::Sweep(const std::shared_ptr<const UpstreamTarget>& target) {
  std::erase_if(idle_, [&target](const UpstreamPtr& connection) {
    return connection->target != target || IsSpoiled(connection->socket);
  });
}

}  // namespace sluicegate::gateway
