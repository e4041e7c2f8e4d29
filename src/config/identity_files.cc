#include "config/identity_files.h"

#include <sys/stat.h>

#include <string_view>
#include <utility>

#include "config/load.h"

namespace sluicegate::config {
namespace {

std::unexpected<std::string> Refuse(std::string_view setting, const std::string& file,
                                    const std::string& why) {
  return std::unexpected(std::string(setting) + ": " +
                         FormatMistake(file, {.at = {}, .what = why, .mend = {}}));
}

std::expected<std::string, std::string> Read(std::string_view setting, const std::string& file,
                                             std::size_t most) {
  auto text = ReadFile(file, most);
  if (text) return *std::move(text);
  return std::unexpected(std::string(setting) + ": " + FormatMistake(file, text.error()));
}

std::expected<identity::ApiKeys, std::string> LoadApiKeys(const std::string& file) {
  constexpr std::string_view kSetting = "clients.identity.api_keys";
  constexpr std::size_t kMost = std::size_t{16} << 20U;  // 150,000 keys.
  if (file.empty()) return {};
  const auto text = Read(kSetting, file, kMost);
  if (!text) return std::unexpected(text.error());
  auto keys = identity::ApiKeys::Parse(*text);
  if (!keys) return Refuse(kSetting, file, keys.error());
  return *std::move(keys);
}

// Who may read a secret can sign tokens with it.
bool OthersMayRead(const std::string& file) {
  struct stat about{};
  return ::stat(file.c_str(), &about) == 0 && (about.st_mode & (S_IRWXG | S_IRWXO)) != 0;
}

std::expected<identity::TokenVerifier, std::string> LoadTokens(
    const policy::TokenIdentity& settings) {
  constexpr std::string_view kSetting = "clients.identity.jwt.key";
  const std::string& file = settings.key_file;
  const auto text = Read(kSetting, file, kMaxFileBytes);
  if (!text) return std::unexpected(text.error());
  auto keys = identity::TokenKeys::Parse(*text);
  if (!keys) return Refuse(kSetting, file, keys.error());
  if (keys->has_secret() && OthersMayRead(file)) {
    return Refuse(
        kSetting, file,
        "It holds a secret, and others than its owner may reach it. Run: chmod 600 FILE.");
  }
  return identity::TokenVerifier(
      *std::move(keys),
      {.issuer = settings.issuer, .audiences = settings.audiences, .claim = settings.claim});
}

}  // namespace

std::expected<std::shared_ptr<const identity::Identities>, std::vector<std::string>> LoadIdentities(
    const policy::Identity& settings) {
  auto identities = std::make_shared<identity::Identities>();
  std::vector<std::string> faults;
  if (auto keys = LoadApiKeys(settings.api_keys_file)) {
    identities->api_keys = *std::move(keys);
  } else {
    faults.push_back(std::move(keys.error()));
  }
  if (settings.jwt) {
    if (auto tokens = LoadTokens(*settings.jwt)) {
      identities->tokens = *std::move(tokens);
    } else {
      faults.push_back(std::move(tokens.error()));
    }
  }
  if (!faults.empty()) return std::unexpected(std::move(faults));
  return identities;
}

}  // namespace sluicegate::config
