// A new API key: what the client gets, and the line that the server keeps. A value type.
#pragma once

#include <expected>
#include <string>
#include <string_view>

namespace sluicegate::app {

struct ApiKey {
  std::string key;   ///< 256 random bits. Shown once, never stored.
  std::string line;  ///< "sha256:HEX ID", for the file that clients.identity.api_keys names.

  /// Makes a key for `id`. The error says which ids there are.
  [[nodiscard]] static std::expected<ApiKey, std::string> Make(std::string_view id);
};

/// The line for a key that exists. Pure.
[[nodiscard]] std::string ApiKeyLine(std::string_view key, std::string_view id);

}  // namespace sluicegate::app
