#include "app/api_key.h"

#include <fmt/format.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <array>
#include <cstdint>

#include "identity/api_keys.h"

namespace sluicegate::app {
namespace {

template <std::size_t N>
std::string Hex(const std::array<std::uint8_t, N>& bytes) {
  std::string hex;
  for (const std::uint8_t byte : bytes) hex += fmt::format("{:02x}", byte);
  return hex;
}

}  // namespace

std::string ApiKeyLine(std::string_view key, std::string_view id) {
  std::array<std::uint8_t, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), digest.data());
  return fmt::format("sha256:{} {}", Hex(digest), id);
}

std::expected<ApiKey, std::string> ApiKey::Make(std::string_view id) {
  if (!identity::ApiKeys::IsId(id)) {
    return std::unexpected(
        "an id has 1 to 64 letters, digits and the characters - _ . @; for example: acme-mobile");
  }
  std::array<std::uint8_t, 32> random{};
  if (RAND_bytes(random.data(), static_cast<int>(random.size())) != 1) {
    return std::unexpected("the system has no random numbers to give; try again");
  }
  ApiKey made;
  // The prefix lets people and secret scanners see what it is.
  made.key = "sgk_" + Hex(random);
  made.line = ApiKeyLine(made.key, id);
  return made;
}

}  // namespace sluicegate::app
