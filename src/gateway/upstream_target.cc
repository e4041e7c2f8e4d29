#include "gateway/upstream_target.h"

#include <netdb.h>

#include <cstring>

namespace sluicegate::gateway {

std::expected<std::shared_ptr<const UpstreamTarget>, std::string> UpstreamTarget::Resolve(
    const policy::Upstream& upstream) {
  addrinfo* found = nullptr;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  const int error =
      ::getaddrinfo(upstream.host.c_str(), std::to_string(upstream.port).c_str(), &hints, &found);
  auto target = std::make_shared<UpstreamTarget>();
  target->host = upstream.host;
  const bool bare_v6 = upstream.host.find(':') != std::string::npos;
  target->authority =
      (bare_v6 ? "[" + upstream.host + "]" : upstream.host) + ":" + std::to_string(upstream.port);
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    sockaddr_storage raw{};
    std::memcpy(&raw, entry->ai_addr, entry->ai_addrlen);
    target->endpoints.push_back(net::SocketAddress::From(raw, entry->ai_addrlen));
  }
  if (found != nullptr) ::freeaddrinfo(found);
  if (target->endpoints.empty()) {
    return std::unexpected("the upstream's host " + upstream.host +
                           " cannot be found: " + std::string(::gai_strerror(error)) +
                           ". Check its name, or write its address.");
  }
  return target;
}

}  // namespace sluicegate::gateway
