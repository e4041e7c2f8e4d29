// The file of API keys: any bytes are keys or an error that names the line; a key is known exactly
// where its hash stands, under a name that may stand in a log.
#include <openssl/sha.h>

#include <algorithm>
#include <string>

#include "fuzz_target.h"
#include "identity/api_keys.h"

using sluicegate::fuzz::Require;
using sluicegate::identity::ApiKeys;

namespace {

std::string LineFor(std::string_view key, std::string_view id) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  ApiKeys::Digest digest{};
  ::SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), digest.data());
  std::string line = "sha256:";
  for (const std::uint8_t byte : digest) {
    line += kDigits[byte >> 4U];
    line += kDigits[byte & 0xFU];
  }
  return line + " " + std::string(id) + "\n";
}

}  // namespace

SG_FUZZ_TARGET(api_keys) {
  const auto lines = static_cast<std::size_t>(std::ranges::count(bytes, '\n')) + 1;
  const auto keys = ApiKeys::Parse(bytes);
  if (keys) {
    Require(keys->size() <= lines);
    const std::string_view id = keys->IdOf(bytes);
    Require(id.size() <= 64);
  } else {
    Require(keys.error().starts_with("line ") && keys.error().ends_with('.'));
    Require(std::stoul(keys.error().substr(5)) <= lines);
  }
  // The text as a key, and one more line behind it as a file: the error stays, or the key is known.
  const std::string_view key = bytes.substr(0, 512);
  const auto more = ApiKeys::Parse(std::string(bytes) + "\n" + LineFor(key, "the-key"));
  Require(more.has_value() == keys.has_value());
  if (!more) return;
  Require(more->IdOf(key) == (key.empty() ? "" : "the-key"));
  Require(more->size() - keys->size() <= 1);
}
