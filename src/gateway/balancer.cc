#include "gateway/balancer.h"

#include <algorithm>
#include <utility>

namespace sluicegate::gateway {

void Balancer::Take(const std::shared_ptr<const UpstreamGroup>& group) {
  if (group == group_) return;
  std::vector<Server> servers;
  for (const TargetPtr& target : group->targets) {
    const Server* const known = Find(*target);
    servers.push_back(known != nullptr ? *known : Server{.target = target});
  }
  servers_ = std::move(servers);
  group_ = group;
  next_ = 0;
}

TargetPtr Balancer::Choose(std::uint64_t now_ns, std::uint64_t& tried) {
  const Server* resting = nullptr;
  for (std::size_t i = 0; i < servers_.size(); ++i) {
    const std::size_t place = (next_ + i) % servers_.size();
    const std::uint64_t bit = std::uint64_t{1} << place;
    if ((tried & bit) != 0) continue;
    const Server& server = servers_[place];
    if (server.rests_until_ns > now_ns) {
      if (resting == nullptr || server.rests_until_ns < resting->rests_until_ns) resting = &server;
      continue;
    }
    next_ = place + 1;
    tried |= bit;
    return server.target;
  }
  if (resting == nullptr) return nullptr;
  tried |= std::uint64_t{1} << static_cast<std::size_t>(resting - servers_.data());
  return resting->target;
}

Balancer::Server* Balancer::Find(const UpstreamTarget& target) {
  const auto found = std::ranges::find_if(
      servers_, [&target](const Server& server) { return server.target.get() == &target; });
  return found == servers_.end() ? nullptr : &*found;
}

bool Balancer::Rest(Server& server, std::uint64_t now_ns) const {
  const bool rested = server.rests_until_ns > now_ns;
  server.failures = 0;
  server.rests_until_ns = now_ns + static_cast<std::uint64_t>(group_->rest.count());
  return !rested;
}

bool Balancer::NoteUnreachable(const UpstreamTarget& target, std::uint64_t now_ns) {
  Server* const server = Find(target);
  return server != nullptr && Rest(*server, now_ns);
}

bool Balancer::NoteFailure(const UpstreamTarget& target, std::uint64_t now_ns) {
  Server* const server = Find(target);
  return server != nullptr && ++server->failures >= kMostFailures && Rest(*server, now_ns);
}

void Balancer::NoteAnswer(const UpstreamTarget& target) {
  Server* const server = Find(target);
  if (server == nullptr) return;
  server->failures = 0;
  server->rests_until_ns = 0;
}

}  // namespace sluicegate::gateway
