#include "app/configuration.h"

#include <fmt/format.h>

#include <utility>

#include "config/load.h"

namespace sluicegate::app {
namespace {

/// Takes what was read, or adds why it was not.
template <class T, class Value>
void Take(std::expected<T, std::string> read, std::string_view setting, Value& into,
          Lines& mistakes) {
  if (read) {
    into = *std::move(read);
  } else {
    mistakes.push_back(fmt::format("{}: {}", setting, read.error()));
  }
}

std::expected<std::shared_ptr<const http::ApiKeys>, std::string> LoadApiKeys(
    const std::string& file) {
  if (file.empty()) return std::make_shared<const http::ApiKeys>();
  constexpr std::size_t kMost = std::size_t{16} << 20U;  // 150,000 keys.
  const auto text = config::ReadFile(file, kMost);
  if (!text) return std::unexpected(config::FormatMistake(file, text.error()));
  auto keys = http::ApiKeys::Parse(*text);
  if (!keys) return std::unexpected(file + ": " + keys.error());
  return std::make_shared<const http::ApiKeys>(*std::move(keys));
}

}  // namespace

std::expected<Configuration, Lines> Configuration::Load(const PolicySource& source) {
  auto policy = source.Load();
  if (!policy) return std::unexpected(std::move(policy.error()));
  Configuration loaded{
      .policy = *std::move(policy), .upstream = {}, .api_keys = {}, .admin_token = {}};
  const policy::Settings& settings = loaded.policy->settings();
  Lines mistakes;
  if (!settings.gateway) {
    mistakes.push_back(
        fmt::format("{}: no door is named, so there is nothing to open. Write listen: {{gateway: "
                    "\"127.0.0.1:8080\"}}, or pass --listen HOST:PORT.",
                    source.name()));
  }
  if (settings.upstream) {
    Take(gateway::UpstreamTarget::Resolve(*settings.upstream), "upstream.url", loaded.upstream,
         mistakes);
  } else {
    mistakes.push_back(
        fmt::format("{}: no server to protect is named. Write upstream: {{url: "
                    "\"http://HOST:PORT\"}}, or pass --upstream URL.",
                    source.name()));
  }
  Take(LoadApiKeys(settings.clients.identity.api_keys_file), "clients.identity.api_keys",
       loaded.api_keys, mistakes);
  if (!settings.admin_token_file.empty()) {
    Take(admin::AdminToken::Load(settings.admin_token_file), "admin.token_file", loaded.admin_token,
         mistakes);
  }
  if (!mistakes.empty()) return std::unexpected(std::move(mistakes));
  return loaded;
}

}  // namespace sluicegate::app
