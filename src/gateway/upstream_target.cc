#include "gateway/upstream_target.h"

namespace sluicegate::gateway {

std::expected<std::shared_ptr<const UpstreamTarget>, std::string> UpstreamTarget::Resolve(
    const policy::Upstream& upstream) {
  net::asio::io_context io;
  net::Tcp::resolver resolver(io);
  net::ErrorCode error;
  const auto found = resolver.resolve(upstream.host, std::to_string(upstream.port),
                                      net::Tcp::resolver::numeric_service, error);
  auto target = std::make_shared<UpstreamTarget>();
  target->host = upstream.host;
  const bool bare_v6 = upstream.host.find(':') != std::string::npos;
  target->authority =
      (bare_v6 ? "[" + upstream.host + "]" : upstream.host) + ":" + std::to_string(upstream.port);
  if (!error) {
    for (const auto& entry : found) target->endpoints.push_back(entry.endpoint());
  }
  if (target->endpoints.empty()) {
    return std::unexpected("the upstream's host " + upstream.host + " cannot be found: " +
                           error.message() + ". Check its name, or write its address.");
  }
  return target;
}

}  // namespace sluicegate::gateway
