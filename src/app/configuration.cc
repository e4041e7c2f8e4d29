#include "app/configuration.h"

#include <fmt/format.h>

#include <utility>

#include "config/identity_files.h"
#include "config/tls_files.h"

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

std::expected<Configuration, Lines> Configuration::Load(const PolicySource& source,
                                                        const Configuration* before) {
  auto policy = source.Load();
  if (!policy) return std::unexpected(std::move(policy.error()));
  Configuration loaded{
      .policy = *std::move(policy), .with = {}, .admin_token = {}, .access_log = {}};
  const policy::Settings& settings = loaded.policy->settings();
  Lines mistakes;
  if (settings.gateway.empty()) {
    mistakes.push_back(
        fmt::format("{}: no door is named, so there is nothing to open. Write listen: {{gateway: "
                    "\"127.0.0.1:8080\"}}, or pass --listen HOST:PORT.",
                    source.name()));
  }
  if (settings.upstream) {
    const gateway::UpstreamGroup* const known =
        before == nullptr ? nullptr : before->with.upstream.get();
    Take(gateway::UpstreamGroup::Resolve(*settings.upstream, known), "upstream",
         loaded.with.upstream, mistakes);
  } else {
    mistakes.push_back(
        fmt::format("{}: no server to protect is named. Write upstream: {{url: "
                    "\"http://HOST:PORT\"}}, or pass --upstream URL.",
                    source.name()));
  }
  if (auto identities = config::LoadIdentities(settings.clients.identity)) {
    loaded.with.identities = *std::move(identities);
  } else {
    for (std::string& line : identities.error()) mistakes.push_back(std::move(line));
  }
  if (auto files = config::CheckTlsFiles(settings); !files) {
    for (std::string& line : files.error()) mistakes.push_back(std::move(line));
  } else {
    Take(gateway::Certificates::Load(settings.gateway), "listen.gateway", loaded.with.certificates,
         mistakes);
  }
  if (!settings.admin_token_file.empty()) {
    Take(admin::AdminToken::Load(settings.admin_token_file), "admin.token_file", loaded.admin_token,
         mistakes);
  }
  Take(AccessFile::Open(settings.access_log), "access_log", loaded.access_log, mistakes);
  if (!mistakes.empty()) return std::unexpected(std::move(mistakes));
  return loaded;
}

}  // namespace sluicegate::app
