#include "gateway/upstream_target.h"

#include <netdb.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace sluicegate::gateway {
namespace {

std::string AuthorityOf(const policy::UpstreamServer& server) {
  if (!server.socket_path.empty()) return "localhost";
  const bool bare_v6 = server.host.find(':') != std::string::npos;
  return (bare_v6 ? "[" + server.host + "]" : server.host) + ":" + std::to_string(server.port);
}

std::expected<void, std::string> LookUp(const policy::UpstreamServer& server,
                                        UpstreamTarget& target) {
  addrinfo* found = nullptr;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  const int error =
      ::getaddrinfo(server.host.c_str(), std::to_string(server.port).c_str(), &hints, &found);
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    sockaddr_storage raw{};
    std::memcpy(&raw, entry->ai_addr, entry->ai_addrlen);
    target.endpoints.push_back(net::SocketAddress::From(raw, entry->ai_addrlen));
  }
  if (found != nullptr) ::freeaddrinfo(found);
  if (!target.endpoints.empty()) return {};
  return std::unexpected("the upstream's host " + server.host + " cannot be found: " +
                         ::gai_strerror(error) + ". Check its name, or write its address.");
}

/// Null where no server is reached by TLS.
std::expected<std::shared_ptr<const net::TlsContext>, std::string> MakeContext(
    const policy::Upstream& upstream) {
  if (std::ranges::none_of(upstream.servers, &policy::UpstreamServer::tls)) return nullptr;
  return net::TlsContext::ForClient(
      {.ca_file = upstream.tls.ca_file, .verify = upstream.tls.verify});
}

std::expected<TargetPtr, std::string> ResolveOne(
    const policy::UpstreamServer& server, const policy::UpstreamTls& tls,
    const std::shared_ptr<const net::TlsContext>& context) {
  auto target = std::make_shared<UpstreamTarget>();
  target->authority = AuthorityOf(server);
  if (!server.socket_path.empty()) {
    target->url = "unix:" + server.socket_path;
    const auto address = net::SocketAddress::Unix(server.socket_path);
    if (!address) {
      return std::unexpected("the path of the upstream's socket " + server.socket_path +
                             " is longer than the system takes. Choose one of at most 107 bytes.");
    }
    target->endpoints.push_back(*address);
    return target;
  }
  target->url = (server.tls ? "https://" : "http://") + target->authority;
  if (auto found = LookUp(server, *target); !found) return std::unexpected(found.error());
  if (server.tls) {
    target->tls = context;
    target->tls_name = tls.name.empty() ? server.host : tls.name;
  }
  return target;
}

}  // namespace

std::expected<std::shared_ptr<const UpstreamGroup>, std::string> UpstreamGroup::Resolve(
    const policy::Upstream& upstream, const UpstreamGroup* before) {
  auto group = std::make_shared<UpstreamGroup>();
  group->rest = upstream.rest;
  const auto context = MakeContext(upstream);
  if (!context) return std::unexpected(context.error());
  for (const policy::UpstreamServer& server : upstream.servers) {
    auto target = ResolveOne(server, upstream.tls, *context);
    if (!target) return std::unexpected(std::move(target.error()));
    const auto same = [&made = **target](const TargetPtr& known) {
      return known->tls == nullptr && made.tls == nullptr && known->url == made.url &&
             known->endpoints == made.endpoints;
    };
    if (before != nullptr) {
      const auto known = std::ranges::find_if(before->targets, same);
      if (known != before->targets.end()) *target = *known;
    }
    group->targets.push_back(*std::move(target));
  }
  return group;
}

std::expected<void, std::string> UpstreamGroup::CheckTls(const policy::Upstream& upstream) {
  if (const auto context = MakeContext(upstream); !context) return std::unexpected(context.error());
  return {};
}

}  // namespace sluicegate::gateway
