#include "gateway/certificates.h"

#include <utility>

namespace sluicegate::gateway {

std::expected<std::shared_ptr<const Certificates>, std::string> Certificates::Load(
    std::span<const policy::GatewayListener> listeners) {
  auto loaded = std::make_shared<Certificates>();
  for (const policy::GatewayListener& listener : listeners) {
    auto& context = loaded->listeners.emplace_back();
    if (!listener.tls) continue;
    auto made = net::TlsContext::ForServer(
        {.certificate = listener.tls->certificate_file, .key = listener.tls->key_file});
    if (!made) return std::unexpected(std::move(made.error()));
    context = *std::move(made);
  }
  return loaded;
}

}  // namespace sluicegate::gateway
