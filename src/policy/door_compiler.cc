#include "policy/door_compiler.h"

#include <algorithm>
#include <string>
#include <utility>

#include "policy/values.h"

namespace sluicegate::policy {
namespace {

constexpr std::string_view kLater = " comes with a later version.";

void RefuseLater(const MaybeText& text, std::string what, std::string mend, Mistakes& mistakes) {
  if (text) mistakes.Add(text->at, std::move(what) + std::string(kLater), std::move(mend));
}

ServerTls CompileServerTls(const ServerTlsConfig& config, Mistakes& mistakes) {
  if (!config.certificate || !config.key) {
    mistakes.Add(config.at, "This listener's tls has no certificate or no key.",
                 "Write tls: {certificate: FILE, key: FILE}, both in PEM.");
    return {};
  }
  return {.certificate_file = ReadPath(*config.certificate, mistakes),
          .key_file = ReadPath(*config.key, mistakes)};
}

std::optional<GatewayListener> CompileListener(const GatewayListenerConfig& config,
                                               bool trusts_proxies, Mistakes& mistakes) {
  GatewayListener listener;
  if (config.tls) listener.tls = CompileServerTls(*config.tls, mistakes);
  if (config.proxy_protocol) {
    const Text& text = *config.proxy_protocol;
    listener.proxy_protocol = ReadBool(text, "proxy_protocol", mistakes).value_or(false);
    if (listener.proxy_protocol && !trusts_proxies) {
      mistakes.Add(text.at, "No proxy is trusted, so nobody could begin with a PROXY header here.",
                   "Write clients: {trusted_proxies: [ADDRESS]} for the proxy that sends it, or "
                   "leave proxy_protocol out.");
    }
  }
  if (!config.address) {
    mistakes.Add(config.at, "This listener has no address.",
                 "Write {address: ADDRESS:PORT}, like {address: 0.0.0.0:8443}.");
    return std::nullopt;
  }
  const auto endpoint = ReadEndpoint(*config.address, "The gateway's listener", mistakes);
  if (!endpoint) return std::nullopt;
  listener.endpoint = *endpoint;
  return listener;
}

/// Port 0 is another port each time.
bool Collide(const Endpoint& a, const Endpoint& b) { return a.port != 0 && a == b; }

bool HasListenerAt(const Settings& settings, const Endpoint& endpoint) {
  return std::ranges::any_of(settings.gateway, [&endpoint](const GatewayListener& listener) {
    return Collide(listener.endpoint, endpoint);
  });
}

UpstreamTls CompileUpstreamTls(const UpstreamTlsConfig& config, Mistakes& mistakes) {
  UpstreamTls tls;
  if (config.ca) tls.ca_file = ReadPath(*config.ca, mistakes);
  if (config.name) tls.name = ReadServerName(*config.name, mistakes).value_or("");
  if (config.verify) tls.verify = ReadBool(*config.verify, "verify", mistakes).value_or(true);
  if (!tls.verify) {
    mistakes.Warn(config.verify->at,
                  "The upstream's certificate is not verified, so whoever stands between can read "
                  "and change everything.",
                  "Write tls: {ca: FILE} with the authority that signed it.");
  }
  return tls;
}

std::vector<UpstreamServer> CompileServers(const std::vector<Text>& urls, Mistakes& mistakes) {
  std::vector<UpstreamServer> servers;
  if (urls.size() > kMaxServers) {
    mistakes.Add(urls[kMaxServers].at, "An upstream has at most 64 servers.",
                 "Leave some out, or put a balancer before them.");
    return servers;
  }
  for (const Text& url : urls) {
    auto server = ReadUpstreamServer(url, mistakes);
    if (!server) continue;
    if (std::ranges::find(servers, *server) != servers.end()) {
      mistakes.Add(url.at, "This server is named twice.", "Remove one of them.");
      continue;
    }
    servers.push_back(*std::move(server));
  }
  return servers;
}

}  // namespace

void CompileListeners(const Config& config, Mistakes& mistakes, Settings& settings) {
  const ListenConfig& listen = config.listen;
  if (listen.gateway.size() > kMaxListeners) {
    mistakes.Add(listen.gateway[kMaxListeners].at, "The gateway has at most 16 listeners.",
                 "Leave some out: one at 0.0.0.0 or [::] serves every address of the machine.");
    return;
  }
  const bool trusts_proxies = !config.clients.trusted_proxies.empty();
  for (const GatewayListenerConfig& one : listen.gateway) {
    auto listener = CompileListener(one, trusts_proxies, mistakes);
    if (!listener) continue;
    if (HasListenerAt(settings, listener->endpoint)) {
      mistakes.Add(one.address->at, "Two listeners of the gateway have this address.",
                   "Write another port for one of them.");
      continue;
    }
    settings.gateway.push_back(*std::move(listener));
  }
  if (listen.admin) settings.admin = ReadEndpoint(*listen.admin, "The admin listener", mistakes);
  if (settings.admin && HasListenerAt(settings, *settings.admin)) {
    mistakes.Add(listen.admin->at, "The admin door and the gateway have the same listener.",
                 "Write another port for one of them.");
  }
  RefuseLater(listen.rls, "The Envoy RLS door", "Leave listen.rls out and use the gateway.",
              mistakes);
  RefuseLater(listen.resp, "The RESP door", "Leave listen.resp out and use the gateway.", mistakes);
  RefuseLater(listen.check, "The HTTP check door", "Leave listen.check out and use the gateway.",
              mistakes);
}

std::optional<Upstream> CompileUpstream(const UpstreamConfig& config, Mistakes& mistakes) {
  Upstream upstream;
  if (config.tls) upstream.tls = CompileUpstreamTls(*config.tls, mistakes);
  if (config.rest) {
    if (const auto rest = ReadDuration(*config.rest, "upstream.rest", mistakes))
      upstream.rest = *rest;
  }
  if (!config.urls) return std::nullopt;
  upstream.servers = CompileServers(*config.urls, mistakes);
  if (upstream.servers.empty()) return std::nullopt;
  const bool all_read = upstream.servers.size() == config.urls->size();
  // A url that could not be read may be the one that tls is for.
  if (config.tls && all_read && std::ranges::none_of(upstream.servers, &UpstreamServer::tls)) {
    mistakes.Add(config.tls->at, "No server of the upstream is reached by TLS.",
                 "Write https://HOST:PORT as its url, or leave tls out.");
  }
  return upstream;
}

Connections CompileConnections(const ConnectionsConfig& config, Mistakes& mistakes) {
  constexpr std::uint32_t kMostConnections = 1'000'000;
  constexpr std::uint32_t kMostBytes = 1'000'000'000;  // A second, of one connection.
  Connections connections;
  const auto read = [&mistakes](const MaybeText& text, std::string_view what, std::uint32_t most,
                                std::uint32_t& into) {
    if (!text) return;
    if (const auto bound = ReadBound(*text, what, most, mistakes)) into = *bound;
  };
  read(config.most, "connections.most", kMostConnections, connections.most);
  read(config.per_client, "connections.per_client", kMostConnections, connections.per_client);
  read(config.new_per_second, "connections.new_per_second", kMostConnections,
       connections.new_per_second);
  read(config.body_rate, "connections.body_rate", kMostBytes, connections.body_rate);
  read(config.drain_rate, "connections.drain_rate", kMostBytes, connections.drain_rate);
  return connections;
}

}  // namespace sluicegate::policy
