#include "app/overrides.h"

#include <fmt/format.h>

#include "policy/mistakes.h"
#include "policy/values.h"

namespace sluicegate::app {
namespace {

using policy::Text;

Text FlagText(const std::string& value) { return {.value = value, .at = {}}; }

void Tell(policy::Mistakes& mistakes, std::string_view flag, Lines& lines) {
  for (const policy::Mistake& mistake : mistakes.TakeMistakes()) {
    lines.push_back(fmt::format("{}: {} {}", flag, mistake.what, mistake.mend));
  }
}

/// One listener at this address; it stays as the file has its first: the flag must not be a way to
/// lose TLS.
void Listen(policy::ListenConfig& listen, const std::string& address) {
  listen.gateway.resize(1);
  listen.gateway.front().address = FlagText(address);
}

void CheckEndpoint(const std::string& value, std::string_view flag, Lines& lines) {
  policy::Mistakes mistakes;
  (void)policy::ReadEndpoint(FlagText(value), "The listener", mistakes);
  Tell(mistakes, flag, lines);
}

}  // namespace

std::expected<Overrides, Lines> Overrides::Read(const ServeOptions& options) {
  Overrides overrides;
  Lines lines;
  overrides.defaults = options.defaults;
  overrides.gateway = options.listen;
  if (options.listen) CheckEndpoint(*options.listen, "--listen", lines);
  overrides.no_admin = options.admin == "off";
  if (!overrides.no_admin) overrides.admin = options.admin;
  if (overrides.admin) CheckEndpoint(*overrides.admin, "--admin", lines);
  overrides.upstream = options.upstream;
  if (options.upstream) {
    policy::Mistakes mistakes;
    (void)policy::ReadUpstreamServer(FlagText(*options.upstream), mistakes);
    Tell(mistakes, "--upstream", lines);
  }
  if (!lines.empty()) return std::unexpected(lines);
  return overrides;
}

void Overrides::Apply(policy::Config& config) const {
  policy::ListenConfig& listen = config.listen;
  if (gateway) Listen(listen, *gateway);
  if (admin) listen.admin = FlagText(*admin);
  if (defaults && listen.gateway.empty()) Listen(listen, kGateway);
  if (defaults && !listen.admin) listen.admin = FlagText(kAdmin);
  if (no_admin) listen.admin.reset();
  if (upstream) {
    config.upstream.urls = {FlagText(*upstream)};
    // It was for the servers that this one stands in for.
    if (!upstream->starts_with("https://")) config.upstream.tls.reset();
  }
  if (!config.upstream.urls && !demo_upstream.empty()) {
    config.upstream.urls = {FlagText(demo_upstream)};
  }
}

}  // namespace sluicegate::app
