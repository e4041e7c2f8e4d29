#include "config/door_reader.h"

#include <optional>
#include <utility>

#include "config/keys.h"

namespace sluicegate::config {
namespace {

using policy::GatewayListenerConfig;

GatewayListenerConfig ReadGateway(const YAML::Node& node, MistakeList& mistakes) {
  GatewayListenerConfig listener;
  listener.at = PositionOf(node);
  if (!node.IsMap()) {
    listener.address = ScalarOf(node, "gateway", mistakes);
    return listener;
  }
  const MapReader map(node, "listen.gateway", keys::kGateway, mistakes);
  listener.address = map.Scalar("address");
  listener.proxy_protocol = map.Scalar("proxy_protocol");
  map.With("tls", [&](const YAML::Node& child) {
    const MapReader tls(child, "listen.gateway.tls", keys::kServerTls, mistakes);
    // What is no map is told; that it has no certificate either helps nobody.
    if (!child.IsMap()) return;
    listener.tls = policy::ServerTlsConfig{.at = PositionOf(child),
                                           .certificate = tls.Scalar("certificate"),
                                           .key = tls.Scalar("key")};
  });
  return listener;
}

}  // namespace

policy::ListenConfig ReadListen(const YAML::Node& node, MistakeList& mistakes) {
  const MapReader map(node, "listen", keys::kListen, mistakes);
  policy::ListenConfig listen;
  map.ForEach(
      "gateway",
      [&](const YAML::Node& child) {
        GatewayListenerConfig one = ReadGateway(child, mistakes);
        if (one.address || child.IsMap()) listen.gateway.push_back(std::move(one));
      },
      MapReader::kOneAlone);
  listen.admin = map.Scalar("admin");
  listen.rls = map.Scalar("rls");
  listen.resp = map.Scalar("resp");
  listen.check = map.Scalar("check");
  return listen;
}

policy::UpstreamConfig ReadUpstream(const YAML::Node& node, MistakeList& mistakes) {
  const MapReader map(node, "upstream", keys::kUpstream, mistakes);
  policy::UpstreamConfig upstream;
  if (map.Has("url")) upstream.urls = map.List("url");
  upstream.rest = map.Scalar("rest");
  map.With("tls", [&](const YAML::Node& child) {
    const MapReader tls(child, "upstream.tls", keys::kUpstreamTls, mistakes);
    if (!child.IsMap()) return;
    upstream.tls = policy::UpstreamTlsConfig{.at = PositionOf(child),
                                             .ca = tls.Scalar("ca"),
                                             .name = tls.Scalar("name"),
                                             .verify = tls.Scalar("verify")};
  });
  return upstream;
}

policy::ConnectionsConfig ReadConnections(const YAML::Node& node, MistakeList& mistakes) {
  const MapReader map(node, "connections", keys::kConnections, mistakes);
  return {.most = map.Scalar("most"),
          .per_client = map.Scalar("per_client"),
          .new_per_second = map.Scalar("new_per_second"),
          .body_rate = map.Scalar("body_rate"),
          .drain_rate = map.Scalar("drain_rate")};
}

}  // namespace sluicegate::config
