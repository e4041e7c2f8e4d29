#include "app/configuration.h"

#include <fmt/format.h>

#include <utility>

#include "config/identity_files.h"

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

}  // namespace

std::expected<Configuration, Lines> Configuration::Load(const PolicySource& source) {
  auto policy = source.Load();
  if (!policy) return std::unexpected(std::move(policy.error()));
  Configuration loaded{
      .policy = *std::move(policy), .upstream = {}, .identities = {}, .admin_token = {}};
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
  if (auto identities = config::LoadIdentities(settings.clients.identity)) {
    loaded.identities = *std::move(identities);
  } else {
    for (std::string& line : identities.error()) mistakes.push_back(std::move(line));
  }
  if (!settings.admin_token_file.empty()) {
    Take(admin::AdminToken::Load(settings.admin_token_file), "admin.token_file", loaded.admin_token,
         mistakes);
  }
  if (!mistakes.empty()) return std::unexpected(std::move(mistakes));
  return loaded;
}

}  // namespace sluicegate::app
