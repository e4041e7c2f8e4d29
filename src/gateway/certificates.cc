#include "gateway/certificates.h"

#include <utility>

#include "net/address.h"

namespace sluicegate::gateway {

std::expected<std::shared_ptr<const Certificates>, std::vector<std::string>> Certificates::Load(
    std::span<const policy::GatewayListener> listeners) {
  auto loaded = std::make_shared<Certificates>();
  std::vector<std::string> faults;
  for (const policy::GatewayListener& listener : listeners) {
    auto& context = loaded->listeners.emplace_back();
    if (!listener.tls) continue;
    auto made = net::TlsContext::ForServer(
        {.certificate = listener.tls->certificate_file, .key = listener.tls->key_file});
    if (made) {
      context = *std::move(made);
      continue;
    }
    const net::SocketAddress address(listener.endpoint.address, listener.endpoint.port);
    faults.push_back("listen.gateway " + address.Text() + ": " + made.error());
  }
  if (!faults.empty()) return std::unexpected(std::move(faults));
  return loaded;
}

}  // namespace sluicegate::gateway
