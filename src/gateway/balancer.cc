#include "gateway/balancer.h"

#include <algorithm>
#include <optional>
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

// In turn also where all rest: none is known to be better, and one alone would get everything.
TargetPtr Balancer::Choose(std::uint64_t now_ns, std::uint64_t& tried) {
  std::optional<std::size_t> chosen;
  for (std::size_t i = 0; i < servers_.size(); ++i) {
    const std::size_t place = (next_ + i) % servers_.size();
    if ((tried & (std::uint64_t{1} << place)) != 0) continue;
    const bool rests = servers_[place].rests_until_ns > now_ns;
    if (!rests || !chosen) chosen = place;
    if (!rests) break;
  }
  if (!chosen) return nullptr;
  next_ = *chosen + 1;
  tried |= std::uint64_t{1} << *chosen;
  return servers_[*chosen].target;
}

Balancer::Server* Balancer::Find(const UpstreamTarget& target) {
  const auto found = std::ranges::find_if(
      servers_, [&target](const Server& server) { return server.target.get() == &target; });
  return found == servers_.end() ? nullptr : &*found;
}

bool Balancer::Rest(Server& server, std::uint64_t now_ns) const {
  const bool known = alone() ? server.failing : server.rests_until_ns > now_ns;
  server.failures = 0;
  if (!alone()) server.rests_until_ns = now_ns + static_cast<std::uint64_t>(group_->rest.count());
  if (known || server.quiet_until_ns > now_ns) return false;
  server.failing = true;
  const Duration quiet = std::max(group_->rest, kQuiet);
  server.quiet_until_ns = now_ns + static_cast<std::uint64_t>(quiet.count());
  return true;
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
  server->failing = false;
  server->rests_until_ns = 0;
}

}  // namespace sluicegate::gateway
