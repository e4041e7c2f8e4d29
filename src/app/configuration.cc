#include "app/configuration.h"

#include <fmt/format.h>
#include <unistd.h>

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

void Take(Lines told, Lines& mistakes) {
  for (std::string& line : told) mistakes.push_back(std::move(line));
}

/// What the files hold that the policy names, but for the upstream's. False: one of those for TLS
/// cannot be read, which is told; whatever else reads them would tell it again.
bool ReadFiles(const policy::Settings& settings, admin::AdminToken::Owner owner,
               Configuration& into, Lines& mistakes) {
  if (auto identities = config::LoadIdentities(settings.clients.identity)) {
    into.with.identities = *std::move(identities);
  } else {
    Take(std::move(identities.error()), mistakes);
  }
  if (!settings.admin_token_file.empty()) {
    Take(admin::AdminToken::Load(settings.admin_token_file, owner), "admin.token_file",
         into.admin_token, mistakes);
  }
  if (auto files = config::CheckTlsFiles(settings); !files) {
    Take(std::move(files.error()), mistakes);
    return false;
  }
  if (auto certificates = gateway::Certificates::Load(settings.gateway)) {
    into.with.certificates = *std::move(certificates);
  } else {
    Take(std::move(certificates.error()), mistakes);
  }
  return true;
}

}  // namespace

std::expected<Configuration, Lines> Configuration::Load(const PolicySource& source,
                                                        const Configuration* before) {
  auto policy = source.Load();
  if (!policy) return std::unexpected(std::move(policy.error()));
  Configuration loaded{
      .policy = *std::move(policy), .with = {}, .admin_token = {}, .access_log = {}};
  const policy::Settings& settings = loaded.policy->settings();
  Lines mistakes = FindMissing(source, settings);
  const bool readable = ReadFiles(settings, admin::AdminToken::Owner::kThisUser, loaded, mistakes);
  if (settings.upstream && readable) {
    const gateway::UpstreamGroup* const known =
        before == nullptr ? nullptr : before->with.upstream.get();
    Take(gateway::UpstreamGroup::Resolve(*settings.upstream, known), "upstream",
         loaded.with.upstream, mistakes);
  }
  Take(AccessFile::Open(settings.access_log), "access_log", loaded.access_log, mistakes);
  if (!mistakes.empty()) return std::unexpected(std::move(mistakes));
  return loaded;
}

Lines Configuration::FindMistakes(const policy::Settings& settings) {
  const auto owner =
      ::geteuid() == 0 ? admin::AdminToken::Owner::kAnybody : admin::AdminToken::Owner::kThisUser;
  Lines mistakes;
  Configuration unused;
  const bool readable = ReadFiles(settings, owner, unused, mistakes);
  if (settings.upstream && readable) {
    if (const auto good = gateway::UpstreamGroup::CheckTls(*settings.upstream); !good) {
      mistakes.push_back("upstream: " + good.error());
    }
  }
  if (const auto good = AccessFile::Check(settings.access_log); !good) {
    mistakes.push_back("access_log: " + good.error());
  }
  return mistakes;
}

Lines Configuration::FindMissing(const PolicySource& source, const policy::Settings& settings) {
  Lines missing;
  if (settings.gateway.empty()) {
    missing.push_back(
        fmt::format("{}: no door is named, so 'sluicegate run' would have nothing to open. Write "
                    "listen: {{gateway: "
                    "\"127.0.0.1:8080\"}}, or pass --listen HOST:PORT.",
                    source.name()));
  }
  if (!settings.upstream) {
    missing.push_back(
        fmt::format("{}: no server to protect is named. Write upstream: {{url: "
                    "\"http://HOST:PORT\"}}, or pass --upstream URL.",
                    source.name()));
  }
  return missing;
}

}  // namespace sluicegate::app
