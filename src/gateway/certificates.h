// Certificates: what the gateway's listeners show to clients. Immutable, so thread-safe.
#pragma once

#include <expected>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "net/tls.h"
#include "policy/settings.h"

namespace sluicegate::gateway {

struct Certificates {
  /// In the listeners' order; null: plain. A listener beyond them is plain.
  std::vector<std::shared_ptr<const net::TlsContext>> listeners;

  /// Reads the files. The error has a line for each listener whose files cannot be used: the
  /// setting and the listener's address, the file at fault, and the mend.
  [[nodiscard]] static std::expected<std::shared_ptr<const Certificates>, std::vector<std::string>>
  Load(std::span<const policy::GatewayListener> listeners);
};

}  // namespace sluicegate::gateway
