#include "gateway/api_keys.h"

#include <openssl/sha.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <optional>

namespace sluicegate::gateway {
namespace {

constexpr std::string_view kScheme = "sha256:";
constexpr std::size_t kMaxFileBytes = std::size_t{16} << 20U;  // 150,000 keys.
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

bool IsId(std::string_view id) {
  return !id.empty() && id.size() <= 64 && std::ranges::all_of(id, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  });
}

}  // namespace

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
    keys.ids_[*digest] = id;
  }
  return keys;
}

std::expected<ApiKeys, std::string> ApiKeys::Load(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return std::unexpected("the API keys in " + path +
                           " cannot be read. Check the path and its permissions.");
  }
  std::string text(std::istreambuf_iterator<char>(file), {});
  if (text.size() > kMaxFileBytes) {
    return std::unexpected("the API keys in " + path + " are more than 16 MiB. Remove old ones.");
  }
  auto keys = Parse(text);
  if (!keys) return std::unexpected(path + ": " + keys.error());
  return keys;
}

std::string_view ApiKeys::IdOf(std::string_view key) const {
  if (key.empty() || key.size() > kMaxKeyBytes) return {};
  Digest digest;
  ::SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), digest.data());
  const auto found = ids_.find(digest);
  return found == ids_.end() ? std::string_view() : std::string_view(found->second);
}

}  // namespace sluicegate::gateway
