#include "identity/api_keys.h"

#include <openssl/sha.h>

#include <algorithm>
#include <optional>

namespace sluicegate::identity {
namespace {

constexpr std::string_view kScheme = "sha256:";
constexpr std::size_t kMaxKeyBytes = 512;

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<ApiKeys::Digest> ParseDigest(std::string_view hex) {
  ApiKeys::Digest digest;
  if (hex.size() != 2 * digest.size()) return std::nullopt;
  for (std::size_t i = 0; i < digest.size(); ++i) {
    const int high = HexDigit(hex[2 * i]);
    const int low = HexDigit(hex[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    digest[i] = static_cast<std::uint8_t>(high * 16 + low);
  }
  return digest;
}

}  // namespace

bool ApiKeys::IsId(std::string_view id) noexcept {
  constexpr std::size_t kMaxBytes = 64;
  return !id.empty() && id.size() <= kMaxBytes && std::ranges::all_of(id, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-_.@").find(c) != std::string_view::npos;
  });
}

std::expected<ApiKeys, std::string> ApiKeys::Parse(std::string_view text) {
  ApiKeys keys;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    const std::size_t space = std::min(line.find(' '), line.size());
    const bool scheme = line.starts_with(kScheme);
    const auto digest =
        scheme ? ParseDigest(line.substr(kScheme.size(), space - kScheme.size())) : std::nullopt;
    std::string_view id = line.substr(std::min(space + 1, line.size()));
    if (!digest || !IsId(id)) {
      return std::unexpected("line " + std::to_string(number) +
                             " is no API key. Write sha256:<64 hex digits> <id>, as sluicegate "
                             "api-key prints it.");
    }
    if (!keys.ids_.emplace(*digest, id).second) {
      return std::unexpected("line " + std::to_string(number) +
                             " has a key that stands above already. Remove one of the two lines.");
    }
  }
  return keys;
}

std::string_view ApiKeys::IdOf(std::string_view key) const {
  if (ids_.empty() || key.empty() || key.size() > kMaxKeyBytes) return {};
  Digest digest;
  ::SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), digest.data());
  const auto found = ids_.find(digest);
  return found == ids_.end() ? std::string_view() : std::string_view(found->second);
}

}  // namespace sluicegate::identity
